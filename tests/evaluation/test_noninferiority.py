from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_cns.errors import BadInputError
from edge_cns.evaluation.intervals import clopper_pearson
from edge_cns.evaluation.noninferiority import NonInferiority, compare


def several_classes(
    frames: np.ndarray, lost: np.ndarray, gained: np.ndarray, n_classes: int, **settings_
) -> NonInferiority:
    """As many patients of each class: their ``frames``, and how many of them int8 alone gets wrong and right."""
    patient = np.repeat(np.arange(len(frames)), frames)
    position = np.arange(len(patient)) - np.repeat(np.cumsum(frames) - frames, frames)
    int8_wrong = position < lost[patient]
    float_wrong = (position >= lost[patient]) & (position < (lost + gained)[patient])
    labels = patient * n_classes // len(frames)
    names = [f"c{i}" for i in range(n_classes + 1)]
    return compare(labels, labels + float_wrong, labels + int8_wrong, patient.astype(str), names, **settings_)


def one_class(frames: np.ndarray, lost: np.ndarray, **settings_) -> NonInferiority:
    """One class, whose patients lose ``lost`` of their ``frames``."""
    return several_classes(frames, lost, np.zeros_like(lost), 1, **settings_)


@pytest.mark.parametrize(("patients", "outcome"), [(149, "passed"), (148, "undecided")])
def test_no_discordance_needs_149_patients_for_two_points(patients: int, outcome: str) -> None:
    result = one_class(np.full(patients, 3), np.zeros(patients, dtype=int))
    row = result.classes[0]
    assert row.outcome == outcome
    assert row.method == "exact"
    assert row.lower == -(1 - 0.05 ** (1 / patients))
    assert row.upper == -row.lower
    assert row.difference == 0
    if outcome == "undecided":
        assert "148 of the 149 patients" in row.reason


@pytest.mark.parametrize(("lost", "patients"), [(1, 20), (2, 10), (5, 60), (12, 15)])
def test_one_frame_a_patient_is_the_exact_binomial_bound(lost: int, patients: int) -> None:
    changes = (np.arange(patients) < lost).astype(int)
    row = one_class(np.ones(patients, dtype=int), changes, resamples=100_000).classes[0]
    assert row.lower == pytest.approx(-clopper_pearson(lost, patients)[1], abs=0.004)
    assert row.discordant_frames == row.discordant_patients == lost


def test_two_discordant_patients_of_ten_bound_wider_than_the_percentile_bootstrap() -> None:
    changes = (np.arange(10) < 2).astype(int)
    row = one_class(np.ones(10, dtype=int), changes).classes[0]
    draws = np.random.default_rng(0).multinomial(10, [0.1] * 10, size=20_000) @ -changes / 10
    assert row.lower < np.quantile(draws, 0.05) - 0.08
    assert row.upper > np.quantile(draws, 0.95)


@pytest.mark.parametrize(
    ("kind", "margin", "patients"),
    [
        ("whole patients", 0.02, 149),
        ("uneven patients", 0.02, 200),
        ("gains too", 0.02, 250),
        ("frames alone", 0.1, 60),
        ("whole patients", 0.1, 60),
        ("uneven patients", 0.1, 30),
        ("half and half", 0.1, 60),
        ("gains too", 0.1, 60),
    ],
)
def test_a_model_that_loses_exactly_the_margin_passes_in_at_most_five_percent(
    kind: str, margin: float, patients: int
) -> None:
    rng = np.random.default_rng(7)
    simulations = 300
    n = simulations * patients
    frames = np.full(n, 4)
    gained = np.zeros(n, dtype=int)
    if kind == "frames alone":
        lost = rng.binomial(frames, margin)
    elif kind == "whole patients":
        lost = frames * (rng.random(n) < margin)
    elif kind == "uneven patients":
        frames = 1 + np.minimum(rng.geometric(0.15, n), 40)
        lost = frames * (rng.random(n) < margin)
    elif kind == "half and half":
        lost = rng.binomial(frames, rng.beta(margin / 2, (1 - margin) / 2, n))
    else:
        frames = np.ones(n, dtype=int)
        draw = rng.random(n)
        lost, gained = (draw < 1.5 * margin).astype(int), (draw > 1 - 0.5 * margin).astype(int)
    result = several_classes(frames, lost, gained, simulations, margin=margin, resamples=400)
    passed = sum(row.outcome == "passed" for row in result.classes)
    assert passed / simulations <= 0.05 + 2.33 * np.sqrt(0.05 * 0.95 / simulations)


@pytest.mark.parametrize(("patients", "changed"), [(500, 0.003), (15, 0.15)])
def test_an_equal_model_seldom_fails_and_passes_with_enough_patients(patients: int, changed: float) -> None:
    rng = np.random.default_rng(8)
    simulations = 200
    frames = rng.integers(1, 6, simulations * patients)
    lost = rng.binomial(frames, changed)
    gained = rng.binomial(frames - lost, changed / (1 - changed))
    result = several_classes(frames, lost, gained, simulations, resamples=400)
    outcomes = [row.outcome for row in result.classes[:simulations]]
    assert outcomes.count("failed") <= 0.05 * simulations
    assert patients < 149 or outcomes.count("passed") > 0.95 * simulations


@pytest.mark.parametrize("seed", range(8))
def test_a_broken_model_fails_with_ten_patients(seed: int) -> None:
    rng = np.random.default_rng(seed)
    frames = rng.integers(2, 7, 10)
    lost = rng.binomial(frames, 0.7)
    result = one_class(frames, lost)
    assert result.outcome == result.classes[0].outcome == "failed"
    assert "loses sensitivity in: c0, all classes" in result.reason


def test_few_patients_of_each_class_fail_together() -> None:
    rng = np.random.default_rng(1)
    patient = np.repeat(np.arange(10), 6)
    labels = patient % 5
    int8 = np.where(rng.random(60) < 0.75, (labels + 1) % 5, labels)
    result = compare(labels, labels, int8, [f"p{i}" for i in patient], tuple("abcde"))
    assert {row.outcome for row in result.classes} == {"undecided"}
    assert result.pooled.outcome == result.outcome == "failed"


def test_the_whole_passes_only_if_every_class_does() -> None:
    labels = np.repeat([0, 1], 160)
    ids = [str(i) for i in range(320)]
    assert compare(labels, labels, labels, ids, ("a", "b")).outcome == "passed"
    lopsided = np.repeat([0, 1], [300, 20])
    result = compare(lopsided, lopsided, lopsided, ids, ("a", "b"))
    assert [row.outcome for row in result.classes] == ["passed", "undecided"]
    assert result.pooled.outcome == "passed"
    assert result.outcome == "undecided"
    assert "b" in result.reason


def test_a_class_without_frames_is_undecided_and_says_why() -> None:
    labels = np.zeros(200, dtype=np.int64)
    result = compare(labels, labels, labels, [str(i) for i in range(200)], ("a", "b"))
    empty = result.classes[1]
    assert (empty.outcome, empty.method, empty.difference, empty.n_patients) == ("undecided", "none", None, 0)
    assert "b: no frames" in empty.reason
    assert result.outcome == "undecided"


def test_agreement_and_shift() -> None:
    before = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.5, 0.5]])
    after = np.array([[0.9, 0.1], [0.45, 0.55], [0.2, 0.8], [0.52, 0.48]])
    labels = np.array([0, 0, 1, 1])
    result = compare(
        labels,
        before.argmax(axis=1),
        after.argmax(axis=1),
        ["p", "q", "r", "s"],
        ("a", "b"),
        float_probabilities=before,
        int8_probabilities=after,
    )
    assert result.agreement == 0.75
    assert result.largest_probability_shift == pytest.approx(0.15)
    assert result.mean_probability_shift == pytest.approx(0.17 / 4)
    row = result.classes[0]
    assert (row.float_sensitivity, row.int8_sensitivity, row.difference) == (1.0, 0.5, -0.5)


def test_both_wrong_in_different_ways_is_disagreement_without_discordance() -> None:
    labels = np.zeros(6, dtype=np.int64)
    result = compare(labels, labels + 1, labels + 2, list("pqrstu"), ("a", "b", "c"))
    assert result.agreement == 0
    assert result.classes[0].discordant_frames == 0
    assert result.classes[0].float_sensitivity == 0


def test_as_dict_is_json_and_repeats_with_the_seed() -> None:
    frames, lost = np.full(12, 3), (np.arange(12) < 2).astype(int)
    first = one_class(frames, lost, seed=3).as_dict()
    assert json.loads(json.dumps(first, allow_nan=False)) == first == one_class(frames, lost, seed=3).as_dict()
    assert list(first["classes"]) == ["c0", "c1"]
    assert first["classes"]["c0"]["n_patients"] == 12
    assert first["pooled"]["name"] == "all classes"
    assert (first["margin"], first["alpha"], first["seed"]) == (0.02, 0.05, 3)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(1, 30), st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=25))
def test_bounds_enclose_the_difference(patients: list[tuple[int, int, int]]) -> None:
    frames = np.array([n for n, _, _ in patients])
    lost = np.array([min(n, k) for n, k, _ in patients])
    gained = np.minimum([g for _, _, g in patients], frames - lost)
    row = several_classes(frames, lost, gained, 1, resamples=2000).classes[0]
    assert -1 <= row.lower <= row.difference + 1e-12
    assert row.difference - 1e-12 <= row.upper <= 1
    assert row.difference == pytest.approx((gained.sum() - lost.sum()) / frames.sum())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"margin": 0.0}, "margin is 0.0"),
        ({"margin": 1.5}, "margin is 1.5"),
        ({"patient_ids": []}, "no gate frame"),
        ({"patient_ids": ["p"]}, r"labels has shape \(2,\)"),
        ({"int8_predicted": np.array([0, 2])}, "int8_predicted holds classes 0 to 2; use 0 to 1"),
        ({"int8_probabilities": np.full((2, 2), np.nan)}, "not finite"),
    ],
)
def test_bad_input(changes: dict, message: str) -> None:
    arguments = {
        "labels": np.array([0, 1]),
        "float_predicted": np.array([0, 1]),
        "int8_predicted": np.array([0, 1]),
        "patient_ids": ["p", "q"],
        "classes": ("a", "b"),
        "float_probabilities": np.full((2, 2), 0.5),
        "int8_probabilities": np.full((2, 2), 0.5),
    }
    with pytest.raises(BadInputError, match=message):
        compare(**arguments | changes)
