"""Whether the probabilities mean what they say: Brier score, log loss, calibration error and its diagram."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_cns.evaluation.rows import Rows
from edge_cns.extras import require

__all__ = ["BINS", "probability_quality"]

BINS = 15
"""Bins of the reliability diagram, as in Guo et al. 2017 (On Calibration of Modern Neural Networks, section 2)."""

_CHANCE_DRAWS = 200
_FLOOR = float(np.finfo(np.float64).eps)  # of a probability before its logarithm


def probability_quality(rows: Rows, probabilities: NDArray[np.float64], *, seed: int) -> dict[str, Any]:
    """Proper scores, and calibration of the largest probability and of each class's.

    Args:
        rows: N rows.
        probabilities: ``(N, K)``, each row summing to 1.
        seed: of the draws behind ``ece_if_calibrated``.

    Returns:
        ``brier`` is the sum over the classes of squared errors, 0 to 2 (Brier 1950, Mon. Weather Rev. 78:1), and
        ``brier_parts`` its three terms; ``log_loss`` is in nats; ``calibration`` see `_calibration`.

    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    truth = rows.one_hot
    brier, brier_interval = rows.mean(np.square(probabilities - truth).sum(axis=1), top=2.0)
    surprise = -np.log(np.maximum(probabilities[np.arange(len(rows)), rows.labels], _FLOOR))
    log_loss, log_loss_interval = rows.mean(surprise, top=math.inf)
    parts = _brier_parts(truth, probabilities, brier)
    return {
        "brier": brier,
        "brier_interval": brier_interval,
        "brier_skill": 1 - brier / parts["uncertainty"] if parts["uncertainty"] > 0 else None,
        "brier_parts": parts,
        "log_loss": log_loss,
        "log_loss_interval": log_loss_interval,
        "calibration": _calibration(rows, probabilities, seed),
    }


def _brier_parts(truth: NDArray[np.bool_], probabilities: NDArray[np.float64], brier: float) -> dict[str, float]:
    """Brier score = miscalibration - discrimination + uncertainty, summed over the classes.

    Each class's probabilities are recalibrated by isotonic regression, which needs no bins (CORP: Dimitriadis, Gneiting
    & Jordan 2021, PNAS 118:e2016191118). All three are 0 or more; the first is also above 0 by chance.
    """
    isotonic = require("sklearn.isotonic", "evaluate").IsotonicRegression
    recalibrated = uncertainty = 0.0
    for own, scores in zip(truth.T, probabilities.T, strict=True):
        fitted = isotonic(y_min=0.0, y_max=1.0).fit_transform(scores, own.astype(np.float64))
        recalibrated += float(np.square(fitted - own).mean())
        uncertainty += float(own.mean() * (1 - own.mean()))
    return {
        "miscalibration": max(0.0, brier - recalibrated),
        "discrimination": max(0.0, uncertainty - recalibrated),
        "uncertainty": uncertainty,
    }


def _calibration(rows: Rows, probabilities: NDArray[np.float64], seed: int) -> dict[str, Any]:
    """Expected calibration error of the largest probability, and the bins it is computed from.

    ``ece`` is the mean over the rows of |share right - mean probability| in the row's bin. It is above 0 by chance
    alone: ``ece_if_calibrated`` is its mean where right and wrong are drawn from these very probabilities, row by row
    (consistency resampling, Broecker & Smith 2007, Weather Forecast. 22:651). ``ece_equal_mass`` has bins of equally
    many rows; ``classwise`` does the same with all probabilities of a class (Kull et al. 2019, Beyond temperature
    scaling), and ``classwise_ece`` is the mean of those.
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == rows.labels
    bins = _equal_width(confidence)
    ece = _ece(right - confidence, bins)
    by_bin = np.stack([rows.sums(np.where(bins == b, right - confidence, 0.0)) for b in range(BINS)], axis=1)
    samples = np.abs(rows.weights @ by_bin).sum(axis=1) / (rows.weights @ rows.sums(np.ones(len(rows))))
    drawn = np.random.default_rng(seed).random((_CHANCE_DRAWS, len(rows))) < confidence
    classwise = {
        name: _ece(own - scores, _equal_width(scores))
        for name, own, scores in zip(rows.classes, rows.one_hot.T, probabilities.T, strict=True)
    }
    return {
        "ece": ece,
        "ece_interval": rows.interval(ece, samples, rows.weights.shape[1]),
        "ece_if_calibrated": float(np.mean([_ece(draw - confidence, bins) for draw in drawn])),
        "ece_equal_mass": _ece(right - confidence, _equal_mass(confidence)),
        "classwise_ece": float(np.mean(list(classwise.values()))),
        "classwise": classwise,
        "confidence": float(confidence.mean()),
        "accuracy": float(right.mean()),
        "binning": f"{BINS} equal-width bins of the largest probability",
        "bins": _diagram(rows, confidence, right, bins),
    }


def _diagram(
    rows: Rows, confidence: NDArray[np.float64], right: NDArray[np.bool_], bins: NDArray[np.int64]
) -> list[dict[str, Any]]:
    """The bins that have rows."""
    filled = np.unique(bins)
    inside = [bins == b for b in filled]
    rates = rows.rates([right & mask for mask in inside], inside)
    return [
        {
            "low": float(b / BINS),
            "high": float((b + 1) / BINS),
            "n": rate["n"],
            "n_patients": rows.n_patients(mask),
            "confidence": float(confidence[mask].mean()),
            "accuracy": rate["value"],
            "interval": rate["interval"],
        }
        for b, mask, rate in zip(filled, inside, rates, strict=True)
    ]


def _ece(excess: NDArray[np.float64], bins: NDArray[np.int64]) -> float:
    """Mean over the rows of the absolute mean excess, right less probability, in the row's bin."""
    return float(np.abs(np.bincount(bins, excess)).sum() / len(excess))


def _equal_width(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """``(N,)`` bin of each probability: bin b is above b / BINS, up to and with (b + 1) / BINS."""
    return np.asarray(np.clip(np.ceil(values * BINS) - 1, 0, BINS - 1), np.int64)


def _equal_mass(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """``(N,)`` bin of each probability, bounded by quantiles; equal values share a bin."""
    edges = np.quantile(values, np.arange(1, BINS) / BINS)
    bins: NDArray[np.int64] = np.searchsorted(edges, values, side="left").astype(np.int64)
    return bins
