"""The batched solver against scikit-learn run to convergence."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs the evaluate extra")
from sklearn.linear_model import LogisticRegression

from edge_cns.errors import BadInputError, OperationError
from edge_cns.training.cross_validation import logistic
from edge_cns.training.cross_validation.logistic import fit_path, refit, standardise
from edge_cns.training.head import fit_head
from tests.training.cross_validation.made import draw, probabilities_of

PENALTIES = (1e-4, 1e-2, 1.0)


def frames(classes: int, channels: int = 25):
    features, rows = draw(patients=30, channels=channels, classes=classes, seed=classes)
    features[:, 0] = 3.0  # a channel that never changes
    return features, np.array(["abcdefgh".index(row.label) for row in rows])


def by_sklearn(features, labels, taught, penalty: float) -> np.ndarray:
    """Probabilities ``(N, classes taught)`` of all frames, on the fold's own standardised features."""
    values = features.astype(np.float64)
    mean, deviation = values[taught].mean(axis=0), values[taught].std(axis=0) + 1e-3
    model = LogisticRegression(C=penalty, max_iter=10_000, tol=1e-10, class_weight="balanced")
    model.fit((values[taught] - mean) / deviation, labels[taught])
    return model.predict_proba((values - mean) / deviation)


def without(labels, rows) -> np.ndarray:
    return np.setdiff1d(np.arange(len(labels)), rows)


@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("channels", [25, 200])  # fewer and more channels than frames
def test_every_fold_is_scikit_learns(classes: int, channels: int) -> None:
    features, labels = frames(classes, channels)
    design = standardise(features, labels, classes)
    removed = [np.arange(start, start + 3) for start in range(0, 30, 9)] + [np.arange(0), np.arange(0, 90, 5)]
    for base in fit_path(design, PENALTIES):
        found = probabilities_of(refit(base, removed).logits(design.x))
        for f, rows in enumerate(removed):
            expected = by_sklearn(features, labels, without(labels, rows), base.inverse_penalty)
            np.testing.assert_allclose(found[f], expected, atol=5e-4)


def test_it_is_the_trainings_head() -> None:
    features, labels = frames(4)
    design = standardise(features, labels, 4)
    (base,) = fit_path(design, [0.01])
    kernel, bias = fit_head(features[3:], labels[3:], 4, inverse_penalty=0.01, tolerance=1e-8)
    found = refit(base, [np.arange(3)]).logits(design.x)[0]
    np.testing.assert_allclose(probabilities_of(found), probabilities_of(features @ kernel[0, 0] + bias), atol=5e-4)


def test_a_class_that_a_fold_has_not_is_out_of_the_question() -> None:
    features, labels = frames(4)
    design = standardise(features, labels, 4)
    (base,) = fit_path(design, [0.01])
    gone = np.flatnonzero(labels == 1)
    found = probabilities_of(refit(base, [gone, np.arange(2)]).logits(design.x))
    assert found[0, :, 1].max() < 1e-12
    expected = by_sklearn(features, labels, without(labels, gone), 0.01)
    np.testing.assert_allclose(np.delete(found[0], 1, axis=1), expected, atol=5e-4)
    np.testing.assert_allclose(found[1], by_sklearn(features, labels, np.arange(2, len(labels)), 0.01), atol=5e-4)


def test_two_classes_left_of_three_are_penalised_as_two() -> None:
    features, labels = frames(3)
    design = standardise(features, labels, 3)
    (base,) = fit_path(design, [0.1])
    gone = np.flatnonzero(labels == 0)
    found = probabilities_of(refit(base, [gone]).logits(design.x))[0]
    np.testing.assert_allclose(found[:, 1:], by_sklearn(features, labels, without(labels, gone), 0.1), atol=5e-4)


def test_one_class_left_is_certain() -> None:
    features, labels = frames(2)
    design = standardise(features, labels, 2)
    (base,) = fit_path(design, [0.1])
    found = probabilities_of(refit(base, [np.flatnonzero(labels == 0)]).logits(design.x))[0]
    assert found[:, 1].min() > 1 - 1e-12


def test_coordinates_are_a_choice_of_units() -> None:
    features, labels = frames(3)
    some = np.arange(60)
    whole = standardise(features, labels, 3).take(some)
    alone = standardise(features[some], labels[some], 3)
    answers = []
    for design in (whole, alone):
        (base,) = fit_path(design, [0.01])
        answers.append(probabilities_of(refit(base, [np.arange(3)]).logits(design.x)))
    np.testing.assert_allclose(*answers, atol=2e-4)


def test_features_that_are_not_numbers() -> None:
    features, labels = frames(3)
    features[7, 2] = np.nan
    with pytest.raises(BadInputError, match=r"features of frame 7 \(of 90, from 0\) are not all finite"):
        standardise(features, labels, 3)


def test_what_has_not_converged_is_refused(monkeypatch) -> None:
    monkeypatch.setattr("edge_cns.training.cross_validation.newton._MAX_STEPS", 2)
    features, labels = frames(3)
    with pytest.raises(OperationError, match=r"did not converge: its probabilities still move by \S+ after 2 steps"):
        fit_path(standardise(features, labels, 3), [1.0])


def test_the_distance_of_an_absent_class_does_not_round_to_nothing() -> None:
    assert 0 < np.exp(logistic.ABSENT) < 1e-12
