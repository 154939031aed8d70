from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_cns.contract import Aggregation
from edge_cns.decision.aggregation import RULES, aggregate, aggregate_cases, effective_frames, frame_weights

RULE = st.sampled_from(RULES)


def shares(n: int, seed: int, k: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.ones(k), n)


def by(rule: str, **numbers: object) -> Aggregation:
    return Aggregation(rule=rule, **numbers)  # type: ignore[arg-type]


@given(RULE, st.integers(1, 30), st.integers(0, 999), st.none() | st.integers(0, 2), st.booleans())
def test_scores_are_shares(rule, n, seed, negative, timed):
    seconds = np.sort(np.random.default_rng(seed).uniform(0, 20, n)) if timed else None
    scores = aggregate(shares(n, seed), by(rule), negative=negative, seconds=seconds)
    assert scores.shape == (3,)
    assert (scores >= 0).all()
    assert scores.sum() == pytest.approx(1)


@given(RULE, st.integers(0, 999))
def test_one_frame_speaks_for_itself(rule, seed):
    frame = shares(1, seed)
    scores = aggregate(frame, by(rule))
    assert scores.argmax() == frame[0].argmax()
    if rule != "majority_vote":
        np.testing.assert_allclose(scores, frame[0], atol=1e-5)


@given(RULE, st.integers(2, 12), st.integers(0, 999))
def test_the_order_of_stills_does_not_matter(rule, n, seed):
    frames = shares(n, seed)
    np.testing.assert_allclose(aggregate(frames, by(rule)), aggregate(frames[::-1], by(rule)), atol=1e-12)


def test_mean_and_vote_by_hand():
    frames = np.array([[0.6, 0.4], [0.6, 0.4], [0.0, 1.0]])
    np.testing.assert_allclose(aggregate(frames, by("mean_softmax")), [0.4, 0.6])
    assert aggregate(frames, by("majority_vote")).argmax() == 0, "two votes against one, whatever the mean says"
    tied = np.array([[0.9, 0.1], [0.4, 0.6]])
    assert aggregate(tied, by("majority_vote")).argmax() == 0, "a tie goes to the larger mean"


def test_evidence_adds_up_but_not_without_end():
    independent = by("log_odds", correlation=0.0)
    np.testing.assert_allclose(aggregate(np.tile([0.8, 0.2], (3, 1)), independent), [64 / 65, 1 / 65])
    alike = by("log_odds", correlation=0.5)
    assert effective_frames(1000, alike) == pytest.approx(2, rel=0.01)
    thousand = aggregate(np.tile([0.8, 0.2], (1000, 1)), alike)
    np.testing.assert_allclose(thousand, [16 / 17, 1 / 17], rtol=0.01)


def test_a_lesion_on_few_frames_is_diluted_by_the_mean_and_sustained_by_the_rule():
    frames = np.array([[0.05, 0.95]] * 8 + [[0.9, 0.1]] * 2)  # lesion, negative
    assert aggregate(frames, by("mean_softmax"), negative=1).argmax() == 1
    np.testing.assert_allclose(aggregate(frames, by("sustained_evidence"), negative=1), [0.9, 0.1])
    assert aggregate(frames, by("sustained_evidence", frames=3), negative=1).argmax() == 1, "three do not agree"


def test_sustained_evidence_must_come_within_its_window():
    frames = np.array([[0.9, 0.1], [0.1, 0.9], [0.9, 0.1]])
    seconds = np.array([0.0, 2.0, 4.0])
    rule = by("sustained_evidence", window_seconds=3.0)
    assert aggregate(frames, rule, negative=1, seconds=seconds)[0] == pytest.approx(0.1)
    assert aggregate(frames, replace(rule, window_seconds=4.0), negative=1, seconds=seconds)[0] == pytest.approx(0.9)


def test_where_nothing_is_sustained_no_class_is_ahead():
    rule = by("sustained_evidence", window_seconds=1.0)
    apart = np.array([[0.9, 0.1], [0.9, 0.1]])
    np.testing.assert_allclose(aggregate(apart, rule, seconds=np.array([0.0, 5.0])), [0.5, 0.5])


def test_neighbouring_frames_are_one_piece_of_evidence():
    rule = by("sustained_evidence", frames=2, window_seconds=5.0)
    flash = np.array([[0.1, 0.9]] * 60 + [[0.95, 0.05]] * 10 + [[0.1, 0.9]] * 60)
    seconds = np.arange(130) / 30
    assert aggregate(flash, rule, negative=1, seconds=seconds)[0] == pytest.approx(0.1), "a third of a second is no two"
    held = np.array([[0.1, 0.9]] * 30 + [[0.95, 0.05]] * 70 + [[0.1, 0.9]] * 30)
    assert aggregate(held, rule, negative=1, seconds=seconds)[0] == pytest.approx(0.95)


@pytest.mark.parametrize("rule", ["mean_softmax", "majority_vote", "log_odds"])
def test_filming_faster_is_no_more_evidence(rule):
    def film(fps: int) -> np.ndarray:
        seconds = np.arange(4 * fps) / fps
        frames = np.where((seconds < 2)[:, None], [0.7, 0.3], [0.4, 0.6])
        return aggregate(frames, by(rule), seconds=seconds)

    np.testing.assert_allclose(film(30), film(60), atol=0.02)


def test_weights_of_frames():
    weights = frame_weights(np.array([5.0, 5.0, 5.25, 9.0]), by("mean_softmax", correlation_seconds=0.5))
    np.testing.assert_allclose(weights, [1, 0, 0.5, 1])


@given(RULE, st.integers(1, 40), st.integers(0, 999), st.booleans())
def test_cases_are_what_each_would_be_alone(rule, n, seed, timed):
    rng = np.random.default_rng(seed)
    frames, seconds = shares(n, seed), rng.uniform(0, 9, n) if timed else None
    case = np.unique(rng.integers(0, 5, n), return_inverse=True)[1]
    together = aggregate_cases(frames, case, by(rule), negative=0, seconds=seconds)
    for m in range(case.max() + 1):
        rows = np.flatnonzero(case == m)
        if seconds is not None:
            rows = rows[np.argsort(seconds[rows], kind="stable")]
        times = None if seconds is None else seconds[rows]
        np.testing.assert_allclose(together[m], aggregate(frames[rows], by(rule), negative=0, seconds=times))
