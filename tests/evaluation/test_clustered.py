from __future__ import annotations

import numpy as np
import pytest

from edge_cns.evaluation.clustered import clustered_mean, clustered_ratio


def test_mean_of_the_finite_values() -> None:
    found = clustered_mean(np.array([1.0, np.nan, 4.0, 4.0]), ["a", "a", "b", "c"])
    assert (found["value"], found["n"], found["n_patients"]) == (3.0, 3, 3)
    low, high = found["interval"]
    assert 1 <= low < 3 < high <= 4


def test_frames_of_one_patient_do_not_narrow_the_interval() -> None:
    rng = np.random.default_rng(0)
    values, patients = rng.normal(size=20), [f"p{i}" for i in range(20)]
    one = clustered_mean(values, patients)["interval"]
    ten = clustered_mean(np.repeat(values, 10), np.repeat(patients, 10).tolist())["interval"]
    assert ten == pytest.approx(one)
    assert one[1] - one[0] == pytest.approx(2 * 1.96 * values.std() / np.sqrt(20), rel=0.25)


def test_shares_of_all_and_of_none_keep_a_limit() -> None:
    patients = [f"p{i}" for i in range(10)]
    limit = 1 - 0.025 ** (1 / 10)  # Clopper and Pearson, ten patients without an event
    assert clustered_mean(np.ones(10), patients)["interval"] == pytest.approx([1 - limit, 1])
    assert clustered_mean(np.zeros(10), patients)["interval"] == pytest.approx([0, limit])


def test_ratio_of_sums_counts_no_row_without_a_denominator() -> None:
    found = clustered_ratio(np.array([1.0, 3.0, 9.0]), np.array([2.0, 6.0, 0.0]), ["a", "b", "c"])
    assert (found["value"], found["n"], found["n_patients"]) == (0.5, 2, 2)


def test_nothing_and_one_patient() -> None:
    assert clustered_mean(np.array([np.nan]), ["a"]) == {"value": None, "interval": None, "n": 0, "n_patients": 0}
    assert clustered_mean(np.array([0.2, 0.8]), ["a", "a"])["interval"] is None
