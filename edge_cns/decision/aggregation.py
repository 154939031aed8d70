"""From the frames of a patient to one score for each class: four rules, for stills and for live frames alike.

Neighbouring frames show the same thing, so they are not counted in full. A frame weighs as much as time has passed
since the one before (`frame_weights`), and n frames of one patient say no more than ``n / (1 + (n - 1) correlation)``
independent ones (Kish 1965, the design effect of a cluster sample). `edge_cns.decision.accumulator` does the same frame
by frame.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_cns.contract import Aggregation, Rule

__all__ = [
    "ROUNDING",
    "RULES",
    "aggregate",
    "aggregate_cases",
    "class_scores",
    "effective_frames",
    "frame_evidence",
    "frame_weights",
]

RULES: tuple[Rule, ...] = ("mean_softmax", "majority_vote", "log_odds", "sustained_evidence")
"""In the order in which equals are preferred: the simplest first."""

ROUNDING = 1e-9
"""By how much a sum of weights may fall short of the frames that it stands for."""

_FLOOR = 1e-6  # of a probability before its logarithm: int8 outputs cannot tell smaller ones apart
_TIE = 1e-6  # share of a vote that the probabilities decide: less than one frame in a million


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
        ``(K,)`` float64, at least 0, summing to 1; all equal where nothing is sustained.
    """
    one = np.zeros(len(probabilities), np.int64)
    return np.asarray(aggregate_cases(probabilities, one, aggregation, negative=negative, seconds=seconds)[0])


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
    rows, times = probabilities[order], None if seconds is None else seconds[order]
    weights = np.ones(len(rows)) if times is None else frame_weights(times, aggregation)
    weights[starts] = 1.0
    if aggregation.rule == "sustained_evidence":
        gathered = _sustained(rows, weights, aggregation, starts, times)
    else:
        gathered = np.add.reduceat(weights[:, None] * frame_evidence(rows, aggregation), starts)
    return class_scores(gathered, np.add.reduceat(weights, starts), aggregation, negative)


def frame_weights(seconds: NDArray[np.float64], aggregation: Aggregation) -> NDArray[np.float64]:
    """``(N,)`` how much of a frame is new: 1 for the first, then the time since the last by ``correlation_seconds``.

    Never above 1; 0 for a frame of the same instant as the last, which is the same frame.
    """
    gaps = np.diff(seconds, prepend=-np.inf) / aggregation.correlation_seconds
    return np.asarray(np.clip(gaps, 0.0, 1.0), np.float64)


def effective_frames(frames: NDArray[np.float64], aggregation: Aggregation) -> NDArray[np.float64]:
    """How many independent frames so many frames of one patient are worth; at least one frame is taken for one."""
    return np.asarray(frames / (1.0 + np.maximum(0.0, frames - 1.0) * aggregation.correlation))


def frame_evidence(probabilities: NDArray[np.float64], aggregation: Aggregation) -> NDArray[np.float64]:
    """``(..., K)``: what a frame adds to the sum of every rule but sustained evidence, before it is weighed."""
    if aggregation.rule == "mean_softmax":
        return np.asarray(probabilities, np.float64)
    if aggregation.rule == "log_odds":
        return np.asarray(np.log(np.maximum(probabilities, _FLOOR)), np.float64)
    votes = np.arange(probabilities.shape[-1]) == probabilities.argmax(axis=-1)[..., None]
    return np.asarray(votes + _TIE * probabilities, np.float64)


def class_scores(
    gathered: NDArray[np.float64], frames: NDArray[np.float64], aggregation: Aggregation, negative: int | None
) -> NDArray[np.float64]:
    """From what was gathered over the frames to scores.

    Args:
        gathered: ``(M, K)`` weighted sums of `frame_evidence`, or the levels of sustained evidence.
        frames: ``(M,)`` sum of the frames' weights.
        aggregation, negative: see `aggregate`.

    Returns:
        ``(M, K)`` float64, each row at least 0 and summing to 1.
    """
    scores = gathered.copy()
    if aggregation.rule == "log_odds":
        scores *= (effective_frames(frames, aggregation) / frames)[:, None]
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
    elif aggregation.rule == "sustained_evidence" and negative is not None:
        scores[:, negative] = 1.0 - np.delete(scores, negative, axis=1).max(axis=1)
    total = scores.sum(axis=1, keepdims=True)
    equal = np.full_like(scores, 1.0 / scores.shape[1])
    return np.asarray(np.divide(scores, total, out=equal, where=total > 0))


def _sustained(
    probabilities: NDArray[np.float64],
    weights: NDArray[np.float64],
    aggregation: Aggregation,
    starts: NDArray[np.int64],
    seconds: NDArray[np.float64] | None,
) -> NDArray[np.float64]:
    """``(M, K)``: highest level that enough frames within one window reach; with fewer in all, all must reach it."""
    ends = np.append(starts[1:], len(probabilities))
    levels = np.empty((len(starts), probabilities.shape[1]))
    if seconds is None:  # one window, and every frame weighs 1: the n-th largest
        rank = np.minimum(aggregation.frames, ends - starts)
        case = np.repeat(np.arange(len(starts)), ends - starts)
        for c in range(probabilities.shape[1]):
            levels[:, c] = probabilities[np.lexsort((-probabilities[:, c], case)), c][starts + rank - 1]
        return levels
    for m, (start, end) in enumerate(zip(starts, ends, strict=True)):
        needed = min(float(aggregation.frames), float(weights[start:end].sum())) - ROUNDING
        until = np.searchsorted(seconds[start:end], seconds[start:end] + aggregation.window_seconds, side="right")
        windows = [slice(start + i, start + stop) for i, stop in enumerate(until)]
        levels[m] = np.max([_level(probabilities[w], weights[w], needed) for w in windows], axis=0)
    return levels


def _level(probabilities: NDArray[np.float64], weights: NDArray[np.float64], needed: float) -> NDArray[np.float64]:
    """``(K,)``: highest level that frames of so much weight reach; 0 where they weigh less."""
    order = np.argsort(-probabilities, axis=0, kind="stable")
    reached = np.cumsum(weights[order], axis=0) >= needed
    levels = np.take_along_axis(np.take_along_axis(probabilities, order, 0), reached.argmax(axis=0)[None], 0)[0]
    return np.where(reached.any(axis=0), levels, 0.0)
