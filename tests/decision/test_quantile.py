from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_cns.decision.quantile import fewest_patients, largest_reached


def test_by_hand():
    """Four patients weigh a fifth each, the new one the last fifth."""
    values = np.array([0.9, 0.8, 0.7, 0.6, 0.1])
    patients = ["a", "b", "c", "d", "d"]
    assert largest_reached(values, patients, 0.6) == 0.7
    assert largest_reached(values, patients, 0.7) == 0.6, "half of d's fifth"
    assert largest_reached(values, patients, 0.8) == 0.1
    assert largest_reached(values, patients, 0.81) is None
    assert largest_reached(np.array([]), [], 0.1) is None


@pytest.mark.parametrize(("share", "patients"), [(0.8, 4), (0.9, 9), (0.95, 19), (0.99, 99)])
def test_fewest_patients_is_sharp(share, patients):
    assert fewest_patients(share) == patients
    values, ids = np.arange(float(patients)), [str(i) for i in range(patients)]
    assert largest_reached(values, ids, share) == 0.0
    assert largest_reached(values[1:], ids[1:], share) is None


@given(st.integers(5, 60), st.floats(0.05, 0.8), st.integers(0, 999))
def test_enough_of_the_patients_reach_it(n_patients, share, seed):
    rng = np.random.default_rng(seed)
    index = np.concatenate([np.full(rng.integers(1, 6), p) for p in range(n_patients)])
    values = rng.normal(size=len(index))
    reached = largest_reached(values, [str(p) for p in index], share)
    shares = [np.mean(values[index == p] >= reached) for p in range(n_patients)]
    assert sum(shares) / (n_patients + 1) >= share - 1e-9


def test_a_new_patients_frames_reach_it_as_often_as_promised():
    rng = np.random.default_rng(0)
    reached = []
    for _ in range(2000):
        own = rng.normal(size=(30, 1)) + 0.3 * rng.normal(size=(30, 4))
        limit = largest_reached(own[:29].ravel(), [str(p) for p in range(29) for _ in range(4)], 0.9)
        reached.append(np.mean(own[29] >= limit))
    assert 0.89 <= np.mean(reached) <= 0.94, "at least the promise, and no more than a patient's weight above it"
