from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, t, ttest_ind

from edge_cns.evaluation.intervals import (
    clopper_pearson,
    clustered_ratios,
    logit_interval,
    patient_weights,
    percentile_interval,
    pooled_freedom,
    trials_for_zero_events,
    wilson,
    zero_event_bound,
)


@pytest.mark.parametrize(
    ("events", "trials", "score", "exact"),
    [  # Newcombe 1998, Statistics in Medicine 17:857, table I, methods 3 and 5
        (81, 263, (0.2553, 0.3662), (0.2527, 0.3676)),
        (15, 148, (0.0624, 0.1605), (0.0578, 0.1617)),
        (0, 20, (0.0000, 0.1611), (0.0000, 0.1684)),
        (1, 29, (0.0061, 0.1718), (0.0009, 0.1776)),
    ],
)
def test_published_worked_examples(events: int, trials: int, score: tuple, exact: tuple) -> None:
    assert wilson(events, trials) == pytest.approx(score, abs=5e-5)
    assert clopper_pearson(events, trials, alpha=0.025) == pytest.approx(exact, abs=5e-5)


@settings(deadline=None)
@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.sampled_from([0.9, 0.95]))
def test_agrees_with_scipy(counts: tuple[int, int], level: float) -> None:
    events, trials = counts
    reference = binomtest(events, trials)
    expected = reference.proportion_ci(level, method="wilson")
    assert wilson(events, trials, level) == pytest.approx((expected.low, expected.high), abs=1e-9)
    expected = reference.proportion_ci(level, method="exact")
    assert clopper_pearson(events, trials, (1 - level) / 2) == pytest.approx(tuple(expected), abs=1e-9)
    low, high = wilson(events, trials, level)
    assert 0 <= low <= events / trials <= high <= 1


def test_zero_events() -> None:
    assert trials_for_zero_events(0.02) == 149
    assert zero_event_bound(149) < 0.02 < zero_event_bound(148)
    assert zero_event_bound(37) == pytest.approx(clopper_pearson(0, 37)[1], abs=1e-12)
    assert zero_event_bound(0) == 1.0
    assert wilson(0, 0) is None
    for rate in (0.5, 0.1, 0.05, 0.01):
        needed = trials_for_zero_events(rate)
        assert zero_event_bound(needed) < rate <= zero_event_bound(needed - 1)


def test_weights_are_draws_with_replacement() -> None:
    weights = patient_weights(50, 3000, np.random.default_rng(0))
    assert weights.shape == (3000, 50)
    assert (weights.sum(axis=1) == 50).all()
    assert weights.mean(axis=0) == pytest.approx(1, abs=0.1)
    assert weights.var() == pytest.approx(1 - 1 / 50, abs=0.02)


def test_percentiles_ignore_what_could_not_be_computed_and_refuse_no_spread() -> None:
    samples = np.concatenate([np.linspace(0, 1, 1001), np.full(300, np.nan)])
    assert percentile_interval(samples) == pytest.approx((0.025, 0.975))
    assert percentile_interval(np.ones(100)) is None
    assert percentile_interval(np.concatenate([np.arange(10.0), np.full(11, np.nan)])) is None


def test_log_odds_interval_by_hand() -> None:
    samples = np.array([0.7, 0.9] * 50)
    error = samples.std(ddof=1) / (0.8 * 0.2)
    odds = np.log(4) + np.array([-1, 1]) * t.ppf(0.975, 11) * error
    assert logit_interval(0.8, samples, 11) == pytest.approx(tuple(1 / (1 + np.exp(-odds))))
    assert logit_interval(1.6, 2 * samples, 11, top=2.0) == pytest.approx(
        tuple(2 * limit for limit in logit_interval(0.8, samples, 11))
    )
    factor = np.exp(t.ppf(0.975, 11) * samples.std(ddof=1) / 0.8)
    assert logit_interval(0.8, samples, 11, top=math.inf) == pytest.approx((0.8 / factor, 0.8 * factor))


def test_log_odds_interval_that_cannot_be_known_is_none() -> None:
    samples = np.linspace(0.4, 0.6, 100)
    assert logit_interval(0.5, samples, 5) is not None
    assert logit_interval(0.0, samples, 5) is None
    assert logit_interval(1.0, samples, 5) is None
    assert logit_interval(0.5, samples, 0) is None
    assert logit_interval(0.5, np.full(100, 0.5), 5) is None
    assert logit_interval(0.5, np.where(np.arange(100) < 60, np.nan, samples), 5) is None


@settings(deadline=None)
@given(st.floats(0.001, 0.999), st.lists(st.floats(0, 1), min_size=5, max_size=30), st.integers(1, 500))
def test_log_odds_interval_holds_its_figure_and_has_no_preferred_side(value: float, drawn: list, freedom: int) -> None:
    samples = np.array(drawn)
    interval = logit_interval(value, samples, freedom)
    if interval is None:
        assert np.ptp(samples) < 1e-12
        return
    low, high = interval
    assert 0 <= low <= value <= high <= 1
    assert logit_interval(1 - value, 1 - samples, freedom) == pytest.approx((1 - high, 1 - low), abs=1e-9)
    narrow = logit_interval(value, samples, freedom, level=0.5)
    assert low <= narrow[0] <= narrow[1] <= high


def test_degrees_of_freedom_of_a_sum() -> None:
    rng = np.random.default_rng(0)
    one, two = rng.normal(0, 1, 7), rng.normal(0, 4, 20)
    variances = np.array([one.var(ddof=1) / 7, two.var(ddof=1) / 20])
    welch = ttest_ind(one, two, equal_var=False).df
    assert pooled_freedom(variances, np.array([6.0, 19.0])) == pytest.approx(welch)
    assert pooled_freedom(np.array([0.0, 1.0]), np.array([0.0, 9.0])) == 9
    assert pooled_freedom(np.array([1.0, 1.0]), np.array([0.0, 9.0])) == 0
    assert pooled_freedom(np.zeros(2), np.array([5.0, 5.0])) == 0


def test_ratio_without_variance_gets_the_exact_limit_over_patients() -> None:
    weights = patient_weights(3, 200, np.random.default_rng(0))
    trials = np.array([[4.0, 0, 4, 0, 4], [4, 0, 0, 0, 4], [4, 0, 0, 0, 4]])
    events = np.array([[4.0, 0, 1, 0, 0], [4, 0, 0, 0, 0], [4, 0, 0, 0, 0]])
    right, none, lone, absent, wrong = clustered_ratios(events, trials, weights)
    assert right == pytest.approx((0.025 ** (1 / 3), 1.0))
    assert wrong == pytest.approx((0.0, 1 - 0.025 ** (1 / 3)))
    assert none is None
    assert absent is None
    assert lone is None  # one patient with both outcomes shows nothing about other patients
