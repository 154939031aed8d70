from __future__ import annotations

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edge_cns.decision.drift import DriftMonitor, DriftReference, Histogram, fit_reference, psi
from edge_cns.errors import BadInputError


def draw(random: np.random.Generator, n: int, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Novelty scores and largest probabilities of n frames."""
    return random.beta(4, 12, n) + shift, 1 - 0.6 * random.beta(1, 6, n)


def reference(n: int = 4000) -> DriftReference:
    return fit_reference(*draw(np.random.default_rng(0), n), np.ones(n))


def fed(novelty: np.ndarray, confidence: np.ndarray, monitor: DriftMonitor | None = None) -> DriftMonitor:
    monitor = monitor or DriftMonitor(reference())
    for sample, (a, b) in enumerate(zip(novelty, confidence, strict=True)):
        monitor.add(float(a), float(b), sample * 30.0)
    return monitor


def test_the_index_by_hand():
    then, now = np.array([0.5, 0.3, 0.2]), np.array([0.4, 0.3, 0.3])
    by_hand = (0.4 - 0.5) * math.log(0.4 / 0.5) + 0 + (0.3 - 0.2) * math.log(0.3 / 0.2)
    assert by_hand == pytest.approx(0.0223144 + 0.0405465, abs=1e-6)
    assert psi(then, now) == pytest.approx(by_hand)
    assert psi(then, then) == 0


def test_a_monitor_by_hand():
    """Two bins of a half each, 200 samples, all in one: half a sample a bin keeps the logarithm finite."""
    even = Histogram((0.5,), (0.5, 0.5))
    monitor = fed(np.full(200, 0.9), np.tile([0.1, 0.9], 100), DriftMonitor(DriftReference(even, even, 10)))
    full, empty = 200.5 / 201, 0.5 / 201
    by_hand = (full - 0.5) * math.log(full / 0.5) + (empty - 0.5) * math.log(empty / 0.5)
    assert monitor.status() == {
        "flag": True,
        "psi_novelty": pytest.approx(by_hand),
        "psi_confidence": pytest.approx(0, abs=1e-12),
        "n": 200,
    }


def test_bins_are_the_deciles_of_patients_that_weigh_the_same():
    values = np.concatenate([np.linspace(0, 1, 901), np.linspace(2, 3, 101)])
    weights = np.concatenate([np.full(901, 1 / 901), np.full(101, 1 / 101)])
    found = fit_reference(values, values, weights).novelty
    assert found.edges == pytest.approx([0.2, 0.4, 0.6, 0.8, 2.0, 2.2, 2.4, 2.6, 2.8], abs=0.02)
    assert found.shares == pytest.approx([0.1] * 10, abs=0.01)


def test_ties_are_one_bin():
    confidence = np.concatenate([np.full(700, 1.0), np.linspace(0.5, 0.9, 300)])
    found = fit_reference(confidence, confidence, np.ones(1000)).confidence
    assert found.edges[-1] == 1.0
    assert found.shares[-1] == pytest.approx(0.7)
    same = fit_reference(np.ones(50), np.ones(50), np.ones(50)).novelty
    assert (same.edges, same.shares) == ((), (1.0,))


def test_the_same_distribution_is_seldom_flagged():
    """Of 150 monitors over 400 independent samples each, looked at after every one: at most 1 % ever raise a flag."""
    random, against = np.random.default_rng(1), reference()
    raised, last = 0, []
    for _ in range(150):
        monitor, ever = DriftMonitor(against), False
        for sample, (a, b) in enumerate(zip(*draw(random, 400), strict=True)):
            monitor.add(float(a), float(b), sample * 30.0)
            ever |= monitor.status()["flag"]
        raised += ever
        last.append(monitor.status()["psi_novelty"])
    assert raised <= 1
    assert np.mean(last) == pytest.approx(9 / 300, rel=0.35), "(B - 1) / n"


def test_patients_that_differ_are_seldom_flagged():
    """Half of the variance is between patients, who are on the screen for ten minutes each, at 2 frames a second."""
    random, flagged = np.random.default_rng(3), []

    def exams(patients: int, frames: int) -> np.ndarray:
        own = random.normal(0, np.sqrt(0.5), (patients, 1))
        return (own + random.normal(0, np.sqrt(0.5), (patients, frames))).ravel()

    for _ in range(4):
        monitor = DriftMonitor(fit_reference(exams(100, 20), exams(100, 20), np.ones(2000)))
        for number, (a, b) in enumerate(zip(exams(40, 1200), exams(40, 1200), strict=True)):
            monitor.add(float(a), float(b), number / 2)
            if number % 60 == 0 and monitor.status()["n"] == 300:
                flagged.append(monitor.status()["flag"])
    assert len(flagged) > 1000
    assert np.mean(flagged) < 0.1


@pytest.mark.parametrize("which", ["novelty", "confidence"])
def test_a_shift_is_flagged_and_taken_back(which):
    random = np.random.default_rng(2)
    novelty, confidence = draw(random, 300)
    shifted = (novelty + 0.12, confidence) if which == "novelty" else (novelty, 0.5 + confidence / 3)
    monitor = fed(*draw(random, 300))
    assert not monitor.status()["flag"]
    fed(*shifted, monitor)
    said = monitor.status()
    assert said["flag"]
    assert said[f"psi_{which}"] > 0.25
    assert said[f"psi_{'confidence' if which == 'novelty' else 'novelty'}"] < 0.1
    fed(*draw(random, 300), monitor)
    assert not monitor.status()["flag"]


def test_a_flag_is_not_taken_back_just_below_its_limit():
    even = Histogram((0.5,), (0.5, 0.5))
    monitor = DriftMonitor(DriftReference(even, even, 10))
    flags, values = [], []
    for sample in range(1300):
        share = 0.8 if sample < 600 else 0.5
        monitor.add(float(sample % 10 < share * 10), sample % 2, sample * 30.0)
        flags.append(monitor.status()["flag"])
        values.append(monitor.status()["psi_novelty"] or 0.0)
    held = [v for flag, v in zip(flags, values, strict=True) if flag]
    assert max(v for flag, v in zip(flags, values, strict=True) if not flag) <= 0.25
    assert 0.2 < min(held) < 0.25
    assert np.count_nonzero(np.diff(flags)) == 2, "on once, off once"


def test_neighbours_count_once_and_little_says_nothing():
    monitor = DriftMonitor(reference())
    for number in range(6000):
        monitor.add(0.9, 0.4, number / 2)
    assert monitor.status()["n"] == 100
    assert monitor.status()["flag"]
    monitor = fed(np.full(99, 0.9), np.full(99, 0.4))
    assert monitor.status() == {"flag": False, "psi_novelty": None, "psi_confidence": None, "n": 99}
    monitor.add(0.9, 0.4, -5.0)
    assert monitor.status()["n"] == 100, "a clock that starts again is another session's"


@pytest.mark.parametrize(("novelty", "confidence"), [(math.nan, 0.5), (0.5, math.nan), (math.inf, 0.5)])
def test_a_frame_without_numbers_is_skipped(novelty, confidence):
    monitor = DriftMonitor(reference())
    monitor.add(novelty, confidence, 0.0)
    assert monitor.status()["n"] == 0


def test_it_comes_back_from_json():
    before = reference()
    assert DriftReference.from_json(json.loads(json.dumps(before.to_json()))) == before


def changed(**changes: object) -> dict:
    value = reference().to_json()
    value["novelty"] |= changes
    return value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "drift is NoneType"),
        ({}, "lacks the field"),
        (reference().to_json() | {"more": 1}, "unknown field 'more'"),
        (changed(edges=[2.0, 1.0]), "do not rise"),
        (changed(edges=[1.0, 1.0], shares=[0.5, 0.3, 0.2]), "do not rise"),
        (changed(shares=[1.0]), "has 1 shares"),
        (changed(edges=[0.5], shares=[0.5, 0.6]), "sum to 1, not to 1.1"),
        (changed(edges=[0.5], shares=[0.0, 1.0]), "are positive"),
        (changed(edges=["a"], shares=[0.5, 0.5]), "expected float"),
        (changed(edges=[], shares=[]), "has 0 shares"),
        (changed(edges=list(range(200)), shares=[1 / 201] * 201), "has 201 shares"),
    ],
)
def test_a_reference_that_is_none(value, text):
    with pytest.raises(BadInputError) as caught:
        DriftReference.from_json(value)
    assert text in str(caught.value)


def test_nothing_to_fit():
    for values in (np.empty(0), np.array([math.nan])):
        with pytest.raises(BadInputError, match="needs frames"):
            fit_reference(values, values, np.ones(len(values)))


def test_the_monitor_of_a_bundle():
    def bundle(**files: object) -> SimpleNamespace:
        return SimpleNamespace(files={name: json.dumps(value).encode() for name, value in files.items()})

    assert DriftMonitor.of(bundle()) is None
    assert DriftMonitor.of(bundle(**{"calibration.json": {"temperature": 1.0}})) is None
    assert DriftMonitor.of(bundle(**{"calibration.json": []})) is None
    assert DriftMonitor.of(bundle(**{"calibration.json": {"drift": reference().to_json()}})) is not None
    with pytest.raises(BadInputError):
        DriftMonitor.of(bundle(**{"calibration.json": {"drift": {}}}))


@settings(deadline=None)
@given(
    arrays(np.float64, st.integers(1, 40), elements=st.floats(-1e6, 1e6)),
    st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=20),
)
def test_any_numbers(values, seen):
    found = fit_reference(values, values, np.ones(len(values)))
    assert DriftReference.from_json(found.to_json()) == found
    monitor = DriftMonitor(found)
    for sample in range(120):
        monitor.add(seen[sample % len(seen)] if seen else 0.0, 0.5, sample * 30.0)
    said = monitor.status()
    assert said["psi_novelty"] is None or math.isfinite(said["psi_novelty"])
