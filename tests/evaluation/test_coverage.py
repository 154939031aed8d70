"""Whether an interval that says 95 % holds the truth 95 times in a hundred, where frames of a patient hang together."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest

from edge_cns.evaluation.auroc import auroc, auroc_resampled
from edge_cns.evaluation.intervals import clustered_ratios, patient_weights, wilson
from edge_cns.evaluation.rows import Rows

RESAMPLES = 200


def covered_by_accuracy(patients: int, truth: float, rng: np.random.Generator) -> tuple[float, float]:
    """Share of simulations whose interval holds the true accuracy: over patients, and Wilson's over frames."""
    simulations, mine, wilsons = 2500, 0, 0
    for _ in range(simulations):
        frames = rng.integers(2, 12, patients)
        events = rng.binomial(frames, rng.beta(2 * truth, 2 * (1 - truth), patients))
        weights = patient_weights(patients, RESAMPLES, rng)
        low, high = clustered_ratios(events[:, None].astype(float), frames[:, None].astype(float), weights)[0]
        mine += low <= truth <= high
        low, high = wilson(int(events.sum()), int(frames.sum()))
        wilsons += low <= truth <= high
    return mine / simulations, wilsons / simulations


def covered_by_auroc(patients: int, rng: np.random.Generator) -> float:
    """Share of simulations whose interval holds the true area; a third of the patients is positive."""
    shift, spread = 1.8, 1.0  # between the groups, and of a patient's own level beside that of a frame
    truth = NormalDist().cdf(shift / np.sqrt(2 * (1 + spread**2)))
    simulations, covered = 1000, 0
    for _ in range(simulations):
        patient = np.repeat(np.arange(patients), rng.integers(1, 6, patients))
        positive = patient % 3 == 0
        scores = rng.normal(size=len(patient)) + spread * rng.normal(size=patients)[patient] + shift * positive
        weights = patient_weights(patients, RESAMPLES, rng)
        rows = Rows(positive.astype(np.int64), patient, weights, ("no", "yes"))
        samples = auroc_resampled(scores, positive, patient, weights)
        low, high = rows.interval(auroc(scores, positive), samples, rows.n_patients(positive))
        covered += low <= truth <= high
    return covered / simulations


@pytest.mark.parametrize(("patients", "truth"), [(30, 0.8), (120, 0.9)])
def test_accuracy(patients: int, truth: float) -> None:
    covered, by_wilson = covered_by_accuracy(patients, truth, np.random.default_rng(patients))
    assert 0.93 <= covered <= 0.97
    assert by_wilson < 0.85  # it takes frames as independent


def test_auroc() -> None:
    assert 0.93 <= covered_by_auroc(60, np.random.default_rng(0)) <= 0.97
