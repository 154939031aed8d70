from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import norm
from sklearn.metrics import log_loss

from edge_cns.contract import Decision
from edge_cns.decision.calibration import TEMPERATURES, fit_temperature, fit_thresholds, patient_shares
from edge_cns.decision.verdict import softmax

MANY = 10**9  # trials, which leave nothing of the prior


def drawn(true_temperature: float, n: int = 4000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are wrong by a known temperature, and labels drawn from what they should say."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3, (n, 4))
    shares = softmax(logits, Decision(temperature=true_temperature)).cumsum(axis=1)
    return logits, (rng.random((n, 1)) > shares[:, :-1]).sum(axis=1)


@pytest.mark.parametrize("true_temperature", [0.5, 1.0, 2.5])
def test_the_temperature_behind_the_labels_is_found(true_temperature):
    assert fit_temperature(*drawn(true_temperature)) == pytest.approx(true_temperature, rel=0.07)


def test_it_is_the_minimum_that_scipy_finds_of_sklearns_log_loss():
    logits, labels = drawn(1.7, n=300)
    weights = np.random.default_rng(1).uniform(0.2, 2, 300)

    def loss(exponent: float) -> float:
        probabilities = softmax(logits, Decision(temperature=float(np.exp(exponent))))
        return log_loss(labels, probabilities, sample_weight=weights, labels=range(4))

    best = minimize_scalar(loss, bounds=np.log(TEMPERATURES), method="bounded", options={"xatol": 1e-9})
    assert fit_temperature(logits, labels, weights=weights, trials=MANY) == pytest.approx(np.exp(best.x), rel=1e-5)


def test_a_few_patients_without_an_error_do_not_make_the_model_certain():
    logits = np.tile([4.0, 0.0], (12, 1))
    labels = np.zeros(12, np.int64)
    few, more, no_end = (fit_temperature(logits, labels, trials=n) for n in (6, 600, MANY))
    assert no_end < 0.2 < more < few < 1
    assert few > 0.9
    with_an_error = fit_temperature(logits, np.r_[labels[1:], 1], trials=6)
    assert with_an_error > 1


def test_the_prior_is_that_of_the_docstring():
    logits, labels = drawn(1.7, n=40)

    def loss(exponent: float) -> float:
        probabilities = softmax(logits, Decision(temperature=float(np.exp(exponent))))
        return 9 * log_loss(labels, probabilities, labels=range(4)) - norm.logpdf(exponent, scale=np.log(2) / 2)

    best = minimize_scalar(loss, bounds=np.log(TEMPERATURES), method="bounded", options={"xatol": 1e-9})
    assert fit_temperature(logits, labels, trials=9) == pytest.approx(np.exp(best.x), rel=1e-5)


def test_thresholds_by_hand():
    scores = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4], [0.2, 0.8], [0.5, 0.5]])
    labels = np.array([0, 0, 0, 0, 1, 1])
    assert fit_thresholds(scores, labels, 0.75).tolist() == [0.6, 0.5]
    assert fit_thresholds(scores, labels, 0.76).tolist() == [0.3, 0.5]
    assert fit_thresholds(scores, labels, 0.5).tolist() == [0.8, 0.8]
    with pytest.raises(ValueError, match="class 1 has no case"):
        fit_thresholds(scores[:4], labels[:4], 0.9)


@given(st.integers(1, 60), st.floats(0.01, 0.99), st.integers(0, 99))
def test_thresholds_reach_the_target_and_no_larger_one_does(n, target, seed):
    scores = np.random.default_rng(seed).random((n, 1))
    (threshold,) = fit_thresholds(scores, np.zeros(n, np.int64), target)
    assert (scores >= threshold).mean() >= target - 1e-9
    assert (scores > threshold).mean() < target


def test_twenty_cases_at_95_percent_are_nineteen():
    scores = np.arange(20.0)[:, None] / 20
    assert (scores >= fit_thresholds(scores, np.zeros(20, np.int64), 0.95)).sum() == 19


def test_patients_weigh_the_same():
    shares = patient_shares(["a", "b", "a", "a", "c"])
    assert shares.sum() == pytest.approx(1)
    np.testing.assert_allclose(shares, [1 / 9, 1 / 3, 1 / 9, 1 / 9, 1 / 3])
