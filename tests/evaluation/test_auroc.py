from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from edge_cns.evaluation.auroc import areas, areas_resampled, auroc, auroc_resampled
from edge_cns.evaluation.intervals import patient_weights


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=40))
def test_agrees_with_scikit_learn_with_many_ties(rows: list[tuple[int, bool]]) -> None:
    scores = np.array([score / 5 for score, _ in rows])
    positive = np.array([flag for _, flag in rows])
    if positive.all() or not positive.any():
        assert auroc(scores, positive) is None
        assert areas(scores, positive) is None
    else:
        expected = roc_auc_score(positive, scores), average_precision_score(positive, scores)
        assert areas(scores, positive) == pytest.approx(expected, abs=1e-12)
        assert auroc(scores, positive) == areas(scores, positive)[0]


def test_each_resample_is_the_area_with_those_weights() -> None:
    rng = np.random.default_rng(3)
    patient = rng.integers(0, 12, 80)
    scores = np.round(rng.random(80), 1)
    positive = rng.random(80) < 0.3
    weights = patient_weights(12, 150, rng)
    both = areas_resampled(scores, positive, patient, weights)
    for found, reference in zip(both, (roc_auc_score, average_precision_score), strict=True):
        expected = [reference(positive, scores, sample_weight=row[patient]) for row in weights]
        np.testing.assert_allclose(found, expected, atol=1e-12)
    np.testing.assert_array_equal(auroc_resampled(scores, positive, patient, weights), both.auroc)


def test_a_resample_without_positives_or_negatives_is_not_a_number() -> None:
    weights = np.array([[2.0, 0.0], [0.0, 2.0], [1.0, 1.0]])
    both = areas_resampled(np.array([0.1, 0.9]), np.array([False, True]), np.array([0, 1]), weights)
    for found in both:
        assert np.isnan(found[:2]).all()
        assert found[2] == 1.0
