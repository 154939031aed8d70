from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_cns.contract import Aggregation
from edge_cns.decision.accumulator import Accumulator, Weigher
from edge_cns.decision.aggregation import RULES, aggregate, frame_weights
from edge_cns.errors import BadInputError

GAPS = st.lists(st.sampled_from([0.0, 0.02, 0.3, 0.5, 1.0, 2.7]), min_size=1, max_size=40)
AGGREGATIONS = st.builds(
    Aggregation,
    rule=st.sampled_from(RULES),
    frames=st.integers(1, 5),
    window_seconds=st.sampled_from([0.4, 1.0, 3.0, 20.0]),
    correlation_seconds=st.sampled_from([0.25, 1.0, 2.0]),
    correlation=st.sampled_from([0.0, 0.2, 0.9]),
)


@settings(deadline=None)
@given(AGGREGATIONS, GAPS, st.booleans(), st.none() | st.integers(0, 2), st.integers(0, 999), st.booleans())
def test_frame_by_frame_is_all_at_once(aggregation, gaps, timed, negative, seed, coarse):
    rng = np.random.default_rng(seed)
    frames = rng.dirichlet(np.full(3, 0.5), len(gaps))
    if coarse:  # equal probabilities, zeros and ties
        frames = np.eye(3)[rng.integers(0, 3, len(gaps))]
    seconds = np.cumsum(gaps)
    gathered = Accumulator(aggregation, 3, negative)
    assert gathered.scores() is None
    for n, frame in enumerate(frames, start=1):
        gathered.add(frame, float(seconds[n - 1]) if timed else None)
        expected = aggregate(frames[:n], aggregation, negative=negative, seconds=seconds[:n] if timed else None)
        np.testing.assert_allclose(gathered.scores(), expected, atol=1e-9)


@given(GAPS, AGGREGATIONS)
def test_weights_are_those_of_the_whole_film(gaps, aggregation):
    seconds, clock = np.cumsum(gaps), Weigher(aggregation)
    weights = [clock.weigh(float(s)) for s in seconds]
    np.testing.assert_allclose(weights, frame_weights(seconds, aggregation))


@pytest.mark.parametrize("window", [3.0, 3600.0])
def test_memory_does_not_grow_with_the_exam(window):
    gathered = Accumulator(Aggregation("sustained_evidence", window_seconds=window), 4, 0)
    rng = np.random.default_rng(0)
    sizes = []
    for i in range(4000):
        gathered.add(rng.dirichlet(np.ones(4)), i / 60)
        sizes.append(sum(vars(gathered._sustained)[name].nbytes for name in ("_seconds", "_weights", "_values")))
    assert max(sizes[2000:]) <= max(sizes[:2000])
    assert max(sizes) < 30_000


def test_a_clock_that_stands_still_or_goes_back_adds_nothing():
    gathered = Accumulator(Aggregation(), 2)
    assert gathered.add(np.array([1.0, 0.0]), 5.0) == 1
    assert gathered.add(np.array([0.0, 1.0]), 5.0) == 0
    assert gathered.add(np.array([0.0, 1.0]), 4.0) == 0
    assert gathered.frames == 1
    np.testing.assert_allclose(gathered.scores(), [1, 0])
    assert gathered.add(np.array([0.0, 1.0]), 5.5) == 0.5  # from the latest time, not from the jump back


def test_times_for_all_frames_or_for_none():
    gathered = Accumulator(Aggregation(), 2)
    gathered.add(np.array([1.0, 0.0]), 5.0)
    with pytest.raises(BadInputError, match="give all one, or none"):
        gathered.add(np.array([1.0, 0.0]), None)
