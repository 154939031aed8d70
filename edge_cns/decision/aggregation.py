"""From the frames of a patient to one score for each class: four rules, for stills and for live frames alike.

Neighbouring frames show the same thing, so they are not counted in full. A frame weighs as much as time has passed
since the one before (`frame_weights`), and n frames of one patient say no more than ``n / (1 + (n - 1) correlation)``
independent ones (Kish 1965, the design effect of a cluster sample).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_cns.contract import Aggregation

__all__ = ["RULES", "aggregate", "aggregate_cases", "effective_frames", "frame_weights"]

RULES = ("mean_softmax", "majority_vote", "log_odds", "sustained_evidence")
"""In the order in which equals are preferred: the simplest first."""

_FLOOR = 1e-6  # of a probability before its logarithm: int8 outputs cannot tell smaller ones apart


def aggregate(
    probabilities: NDArray[np.float64],
    aggregation: Aggregation,
    *,
    negative: int | None = None,
    seconds: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Scores of one patient, exam or case.

    ``mean_softmax``
        the weighted mean of the probabilities.
    ``majority_vote``
        the weighted share of frames that each class leads; a tie is broken by the mean.
    ``log_odds``
        evidence added up: the softmax of the mean log probability times the effective number of frames.
    ``sustained_evidence``
        for each class the highest level that `Aggregation.frames` frames reach within `Aggregation.window_seconds`: a
        lesion shows on few frames, and a mean dilutes it. The negative class has what the strongest finding leaves.

    Args:
        probabilities: ``(N, K)`` of the frames in order of time, N at least 1, each row summing to 1.
        aggregation: rule and its numbers.
        negative: index of the class that means none of the findings.
        seconds: ``(N,)`` capture times, not falling; ``None`` for stills, which are acquisitions of their own.

    Returns:
        ``(K,)`` float64, at least 0, summing to 1.
    """
    weights = frame_weights(seconds, aggregation) if seconds is not None else np.ones(len(probabilities))
    mean = np.asarray(weights @ probabilities / weights.sum(), np.float64)
    if aggregation.rule == "mean_softmax":
        scores = mean
    elif aggregation.rule == "majority_vote":
        votes = np.bincount(probabilities.argmax(axis=1), weights, probabilities.shape[1])
        scores = votes + 0.5 * weights.min() * mean
    elif aggregation.rule == "log_odds":
        logarithms = weights @ np.log(np.maximum(probabilities, _FLOOR)) / weights.sum()
        scores = _softmax(logarithms * effective_frames(float(weights.sum()), aggregation))
    else:
        scores = _sustained(probabilities, weights, aggregation, seconds)
        if negative is not None:
            scores[negative] = 1.0 - np.delete(scores, negative).max()
    return np.asarray(scores / scores.sum(), np.float64)


def aggregate_cases(
    probabilities: NDArray[np.float64],
    case: NDArray[np.int64],
    aggregation: Aggregation,
    *,
    negative: int | None = None,
    seconds: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Scores of M cases.

    Args:
        probabilities: ``(N, K)``.
        case: ``(N,)`` case of each frame, 0 to M - 1, every one with a frame.
        aggregation, negative: see `aggregate`.
        seconds: ``(N,)`` capture time within the case.

    Returns:
        ``(M, K)`` float64.
    """
    order = np.argsort(case, kind="stable") if seconds is None else np.lexsort((seconds, case))
    starts = np.flatnonzero(np.diff(case[order], prepend=-1))
    scores = np.empty((len(starts), probabilities.shape[1]))
    for m, rows in enumerate(np.split(order, starts[1:])):
        times = None if seconds is None else seconds[rows]
        scores[m] = aggregate(probabilities[rows], aggregation, negative=negative, seconds=times)
    return scores


def frame_weights(seconds: NDArray[np.float64], aggregation: Aggregation) -> NDArray[np.float64]:
    """``(N,)`` how much of a frame is new: 1 for the first, then the time since the last by ``correlation_seconds``.

    Never above 1, and never quite 0, so that a frame without a clock's tick still has a place in a mean.
    """
    gaps = np.diff(seconds, prepend=-np.inf) / aggregation.correlation_seconds
    return np.asarray(np.clip(gaps, 1e-6, 1.0), np.float64)


def effective_frames(frames: float, aggregation: Aggregation) -> float:
    """How many independent frames so many frames of one patient are worth; at least one frame is taken for one."""
    return frames / (1.0 + max(0.0, frames - 1.0) * aggregation.correlation)


def _sustained(
    probabilities: NDArray[np.float64],
    weights: NDArray[np.float64],
    aggregation: Aggregation,
    seconds: NDArray[np.float64] | None,
) -> NDArray[np.float64]:
    """``(K,)``: highest level that enough frames within one window reach; where there are fewer in all, all of them."""
    needed = min(float(aggregation.frames), float(weights.sum())) - 1e-9
    best = np.zeros(probabilities.shape[1])
    starts = range(1) if seconds is None else range(len(probabilities))
    for start in starts:
        end = len(probabilities)
        if seconds is not None:
            end = int(np.searchsorted(seconds, seconds[start] + aggregation.window_seconds, side="right"))
        order = np.argsort(-probabilities[start:end], axis=0, kind="stable")
        reached = np.cumsum(weights[start:end][order], axis=0) >= needed
        enough = reached.any(axis=0)
        row = reached.argmax(axis=0)
        level = np.take_along_axis(probabilities[start:end], np.take_along_axis(order, row[None], 0), 0)[0]
        best = np.maximum(best, np.where(enough, level, 0.0))
    return best


def _softmax(values: NDArray[np.float64]) -> NDArray[np.float64]:
    exponentials = np.exp(values - values.max())
    return np.asarray(exponentials / exponentials.sum())
