"""What a fold chooses, and from what."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs the evaluate extra")
from sklearn.metrics import log_loss

from edge_cns.training.cross_validation.choices import balanced_log_loss, choose, statement
from edge_cns.training.cross_validation.problem import labelled
from tests.training.cross_validation.made import draw, probabilities_of


@pytest.fixture
def scene():
    """Rows of 30 patients, and logits that three penalties may have given: useless, right, overconfident."""
    _, rows = draw(classes=3, seed=2)
    known = labelled(rows, None)
    rng = np.random.default_rng(0)
    right = 2.0 * np.eye(3)[known.labels] + rng.normal(size=(len(rows), 3))
    logits = np.stack([rng.normal(size=right.shape), right, 40 * right]).astype(np.float32)
    return known, logits, np.ones(len(rows), bool)


def test_the_loss_is_scikit_learns_with_balanced_weights(scene) -> None:
    known, logits, _ = scene
    weights = 1 / np.bincount(known.labels)[known.labels]
    expected = [log_loss(known.labels, probabilities_of(one), sample_weight=weights) for one in logits[:2]]
    patient = np.arange(len(known.labels)) // 3
    loss, error = balanced_log_loss(logits[:2], known.labels, patient)
    np.testing.assert_allclose(loss, expected, rtol=1e-6)
    alone = balanced_log_loss(logits[:2], known.labels, np.arange(len(known.labels)))[1]
    copies = [np.repeat(a, 3, axis=axis) for a, axis in ((logits[:2], 1), (known.labels, 0))]
    copied = balanced_log_loss(*copies, np.repeat(np.arange(len(known.labels)), 3))[1]
    np.testing.assert_allclose(copied, alone, rtol=1e-6)  # copies of a frame are no evidence
    assert error.shape == (2,)


def test_the_best_penalty_is_chosen_and_thresholds_find_what_was_asked(scene) -> None:
    known, logits, everyone = scene
    choice = choose(logits, known, everyone, everyone, 0.8)
    assert choice.penalty == 1  # the first is far worse, the third overconfident
    _, cases, scores, calls = statement(logits[1], known, np.arange(len(known.labels)), choice.operating)
    for c in range(3):
        own = known.case_labels[cases] == c
        assert calls[own, c].mean() >= 0.8
        assert (scores[own, c] > choice.operating.thresholds[c]).mean() < 0.8  # the largest that does


def test_nothing_but_training_rows_is_looked_at(scene) -> None:
    known, logits, everyone = scene
    train = np.array([patient >= "p003" for patient in known.patients])
    expected = choose(logits, known, train, everyone, 0.9)
    spoilt = np.where(train[:, None], logits, np.float32(np.nan))
    found = choose(spoilt, known, train, everyone, 0.9)
    assert found.penalty == expected.penalty
    assert found.operating.temperature == expected.operating.temperature
    assert found.operating.rule == expected.operating.rule
    np.testing.assert_array_equal(found.operating.thresholds, expected.operating.thresholds)


def test_a_class_that_nobody_could_have_known_is_never_called(scene) -> None:
    known, logits, everyone = scene
    learnable = known.labels != 2
    logits[:, known.labels == 2, 2] = -30
    choice = choose(logits, known, everyone, learnable, 0.9)
    assert choice.operating.thresholds.tolist()[2] == np.inf
    assert np.isfinite(choice.operating.thresholds[:2]).all()
    assert 0.3 < choice.operating.temperature < 3  # frames that no model could have known do not drive it up
    assert not statement(logits[1], known, np.flatnonzero(everyone), choice.operating)[3][:, 2].any()


def test_of_penalties_that_chance_could_have_ordered_the_strongest_is_chosen(scene) -> None:
    known, logits, everyone = scene
    nearly = np.stack([logits[1] * np.float32(scale) for scale in (0.9, 0.97, 1.0)])
    labels = known.labels
    loss, error = balanced_log_loss(nearly, labels, np.arange(len(labels)) // 3)
    assert np.ptp(loss) < error.min()
    assert choose(nearly, known, everyone, everyone, 0.8).penalty == 0


def test_the_temperature_mends_overconfidence(scene) -> None:
    known, _, everyone = scene
    unsure = np.eye(3)[known.labels] + np.random.default_rng(1).normal(size=(len(known.labels), 3))
    scaled = [(factor * unsure).astype(np.float32)[None] for factor in (1, 3)]
    fitted = [choose(logits, known, everyone, everyone, 0.8).operating.temperature for logits in scaled]
    assert 1.5 < fitted[1] / fitted[0] < 3  # drawn a little towards 1


def test_the_temperature_stays_near_one_where_labels_say_nothing(scene) -> None:
    known, logits, everyone = scene
    chance = logits[[0]] * np.float32(1e-3)
    assert 0.8 < choose(chance, known, everyone, everyone, 0.8).operating.temperature < 1.25
