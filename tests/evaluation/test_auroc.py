from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from edge_cns.evaluation.auroc import auroc, auroc_resampled
from edge_cns.evaluation.intervals import patient_weights


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=40))
def test_agrees_with_scikit_learn_with_many_ties(rows: list[tuple[int, bool]]) -> None:
    scores = np.array([score / 5 for score, _ in rows])
    positive = np.array([flag for _, flag in rows])
    if positive.all() or not positive.any():
        assert auroc(scores, positive) is None
    else:
        assert auroc(scores, positive) == pytest.approx(roc_auc_score(positive, scores), abs=1e-12)


def test_each_resample_is_the_area_with_those_weights() -> None:
    rng = np.random.default_rng(3)
    patient = rng.integers(0, 12, 80)
    scores = np.round(rng.random(80), 1)
    positive = rng.random(80) < 0.3
    weights = patient_weights(12, 150, rng)
    areas = auroc_resampled(scores, positive, patient, weights)
    expected = [roc_auc_score(positive, scores, sample_weight=row[patient]) for row in weights]
    np.testing.assert_allclose(areas, expected, atol=1e-12)


def test_a_resample_without_positives_is_not_a_number() -> None:
    areas = auroc_resampled(
        np.array([0.1, 0.9]), np.array([False, True]), np.array([0, 1]), np.array([[2.0, 0.0], [1.0, 1.0]])
    )
    assert np.isnan(areas[0])
    assert areas[1] == 1.0
