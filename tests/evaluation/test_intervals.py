from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from edge_cns.evaluation.intervals import (
    clopper_pearson,
    clustered_ratios,
    patient_weights,
    percentile_interval,
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


def test_clustered_interval_covers_where_frames_of_a_patient_hang_together_and_wilson_does_not() -> None:
    rng = np.random.default_rng(1)
    simulations, patients, truth = 300, 100, 0.8
    covered = covered_by_wilson = 0
    for _ in range(simulations):
        frames = rng.integers(2, 12, patients)
        rates = rng.beta(truth, 1 - truth, patients)
        events = rng.binomial(frames, rates)
        weights = patient_weights(patients, 400, rng)
        column = (events[:, None].astype(float), frames[:, None].astype(float))
        low, high = clustered_ratios(*column, weights)[0]
        covered += low <= truth <= high
        low, high = wilson(int(events.sum()), int(frames.sum()))
        covered_by_wilson += low <= truth <= high
    assert 0.91 <= covered / simulations <= 0.98
    assert covered_by_wilson / simulations < 0.8
