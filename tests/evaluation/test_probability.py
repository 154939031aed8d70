from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, log_loss

from edge_cns.evaluation.probability import BINS, probability_quality
from edge_cns.evaluation.rows import Rows, make_rows


def rows_of(predictions, resamples: int = 200) -> Rows:
    return make_rows(predictions.labels, predictions.patient_ids, predictions.classes, seed=0, resamples=resamples)


@pytest.fixture(scope="module")
def example(make_predictions):
    predictions = make_predictions(several_labels=True, patients=60)
    return predictions, probability_quality(rows_of(predictions), predictions.probabilities, seed=0)


def test_proper_scores_agree_with_scikit_learn(example) -> None:
    predictions, found = example
    truth, p = predictions.labels, predictions.probabilities
    assert found["brier"] == pytest.approx(brier_score_loss(truth, p, labels=[0, 1, 2], scale_by_half=False))
    assert found["log_loss"] == pytest.approx(log_loss(truth, p, labels=[0, 1, 2]))
    for key in ("brier", "log_loss"):
        low, high = found[f"{key}_interval"]
        assert low < found[key] < high


def test_a_class_that_was_ruled_out_has_a_finite_loss(make_predictions) -> None:
    predictions = make_predictions(patients=6)
    certain = np.zeros_like(predictions.probabilities)
    certain[:, 0] = 1.0
    found = probability_quality(rows_of(predictions), certain, seed=0)
    assert found["log_loss"] == pytest.approx(log_loss(predictions.labels, certain, labels=[0, 1, 2]))
    assert found["brier"] == pytest.approx(2 * (predictions.labels != 0).mean())


def test_the_parts_of_the_brier_score_add_up(example) -> None:
    predictions, found = example
    parts = found["brier_parts"]
    assert found["brier"] == pytest.approx(parts["miscalibration"] - parts["discrimination"] + parts["uncertainty"])
    shares = np.bincount(predictions.labels) / len(predictions)
    assert parts["uncertainty"] == pytest.approx(1 - np.square(shares).sum())
    assert found["brier_skill"] == pytest.approx(1 - found["brier"] / parts["uncertainty"])
    constant = probability_quality(rows_of(predictions), np.tile(shares, (len(predictions), 1)), seed=0)
    assert constant["brier_parts"]["miscalibration"] == pytest.approx(0, abs=1e-12)
    assert constant["brier_parts"]["discrimination"] == pytest.approx(0, abs=1e-12)
    assert constant["brier_skill"] == pytest.approx(0)


def test_bins_agree_with_scikit_learn_and_make_up_the_error(example) -> None:
    predictions, found = example
    confidence = predictions.probabilities.max(axis=1)
    right = predictions.predicted == predictions.labels
    bins = found["calibration"]["bins"]
    shares, means = calibration_curve(right, confidence, n_bins=BINS)
    assert [entry["accuracy"] for entry in bins] == pytest.approx(shares)
    assert [entry["confidence"] for entry in bins] == pytest.approx(means)
    assert sum(entry["n"] for entry in bins) == len(predictions)
    assert all(entry["low"] <= entry["confidence"] <= entry["high"] for entry in bins)
    gaps = sum(entry["n"] * abs(entry["accuracy"] - entry["confidence"]) for entry in bins)
    assert found["calibration"]["ece"] == pytest.approx(gaps / len(predictions))
    low, high = found["calibration"]["ece_interval"]
    assert low < found["calibration"]["ece"] < high


def test_calibrated_probabilities_err_as_much_as_chance_and_sharpened_ones_more() -> None:
    rng = np.random.default_rng(0)
    logits = 1.5 * rng.normal(size=(4000, 3))
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (p.cumsum(axis=1) < rng.random((4000, 1))).sum(axis=1).astype(np.int64)
    rows = make_rows(labels, [str(i) for i in range(4000)], ("a", "b", "c"), seed=0, resamples=100)
    honest = probability_quality(rows, p, seed=0)["calibration"]
    assert honest["ece"] == pytest.approx(honest["ece_if_calibrated"], abs=0.008)
    assert max(honest["ece"], honest["ece_equal_mass"], honest["classwise_ece"]) < 0.025
    sharp = np.square(p) / np.square(p).sum(axis=1, keepdims=True)
    boastful = probability_quality(rows, sharp, seed=0)["calibration"]
    assert boastful["confidence"] - boastful["accuracy"] == pytest.approx(boastful["ece"], abs=0.01)
    assert min(boastful["ece"], boastful["ece_equal_mass"]) > 4 * boastful["ece_if_calibrated"]
    assert boastful["ece_interval"][0] > boastful["ece_if_calibrated"]


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.integers(2, 6), st.integers(1, 40))
def test_ranges(seed: int, k: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(k, 0.3), n)
    labels = rng.integers(0, k, n)
    rows = make_rows(labels, [str(i // 3) for i in range(n)], tuple("abcdef"[:k]), seed=0, resamples=50)
    found = probability_quality(rows, p, seed=seed)
    calibration = found["calibration"]
    assert 0 <= found["brier"] <= 2
    assert found["log_loss"] >= 0
    assert all(part >= 0 for part in found["brier_parts"].values())
    for key in ("ece", "ece_equal_mass", "classwise_ece", "ece_if_calibrated"):
        assert 0 <= calibration[key] <= 1
    # Bins can only hide error: the mean gap is the least that any binning can show.
    assert calibration["ece"] >= abs(calibration["accuracy"] - calibration["confidence"]) - 1e-12
