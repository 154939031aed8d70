"""Risk against coverage: how wrong the answers are if only the surest rows are answered."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_cns.evaluation.auroc import draws, row_counts, running_sums
from edge_cns.evaluation.rows import Rows

__all__ = ["selective"]

_STEPS = 20  # points of the curve


def selective(rows: Rows, probabilities: NDArray[np.float64]) -> dict[str, Any]:
    """The risk-coverage curve and the area under it (Geifman & El-Yaniv 2017, Selective classification).

    Rows are answered from the largest probability downwards; the risk is the share of wrong answers among those given.
    ``aurc`` is its mean over the rows, each taken as the last that is answered, with all that are equally sure;
    ``aurc_best`` is that of the same errors ranked perfectly, and ``aurc_random`` of a sureness that says nothing.

    Args:
        rows: N rows.
        probabilities: ``(N, K)``, each row summing to 1.
    """
    confidence = probabilities.max(axis=1)
    wrong = probabilities.argmax(axis=1) != rows.labels
    value = float(_areas(confidence, wrong, np.arange(len(rows)), np.ones((1, len(rows))))[0])
    samples = _areas(confidence, wrong, rows.patient, rows.weights)
    answered = np.arange(1, len(rows) + 1)
    return {
        "aurc": value,
        "aurc_interval": rows.interval(value, samples, rows.weights.shape[1]),
        "aurc_best": float(np.mean(np.maximum(0, answered - np.count_nonzero(~wrong)) / answered)),
        "aurc_random": float(wrong.mean()),
        "curve": _curve(rows, confidence, wrong),
    }


def _areas(
    confidence: NDArray[np.float64],
    wrong: NDArray[np.bool_],
    patient: NDArray[np.int64],
    weights: NDArray[np.float64],
) -> NDArray[np.float64]:
    """``(R,)``: area of each resample."""
    levels, level = np.unique(-confidence, return_inverse=True)
    shape = (len(levels), weights.shape[1])
    rows, errors = row_counts(level, patient, shape), row_counts(level[wrong], patient[wrong], shape)
    result = np.empty(len(weights))
    for some, drawn in draws(weights, len(levels)):
        at = rows @ drawn
        answered = running_sums(at)
        risk = np.divide(running_sums(errors @ drawn), answered, out=np.zeros_like(answered), where=answered > 0)
        result[some] = np.einsum("lr,lr->r", at, risk) / answered[-1]
    return result


def _curve(rows: Rows, confidence: NDArray[np.float64], wrong: NDArray[np.bool_]) -> list[dict[str, Any]]:
    """Points at about every twentieth of the rows, with rising coverage; equals are answered together."""
    ranked = np.sort(confidence)[::-1]
    places = np.ceil(np.arange(1, _STEPS + 1) / _STEPS * len(rows)).astype(int) - 1
    thresholds = np.unique(ranked[places])[::-1]
    answered = [confidence >= threshold for threshold in thresholds]
    rates = rows.rates([wrong & mask for mask in answered], answered)
    return [
        {
            "coverage": rate["n"] / len(rows),
            "threshold": float(threshold),
            "n": rate["n"],
            "risk": rate["value"],
            "interval": rate["interval"],
        }
        for threshold, rate in zip(thresholds, rates, strict=True)
    ]
