"""Areas under the ROC and the precision-recall curve, for one set of weights or for thousands of resamples at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_cns.extras import require

__all__ = ["Areas", "areas", "areas_resampled", "auroc", "auroc_resampled", "draws", "row_counts", "running_sums"]

_CELLS = 1 << 20  # of an array of resamples: 8 MB
_BLOCK = 32  # rows summed together


class Areas(NamedTuple):
    """Area under the ROC curve and average precision, of each resample or of all rows."""

    auroc: NDArray[np.float64]
    average_precision: NDArray[np.float64]


def auroc(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> float | None:
    """Probability that a positive frame scores above a negative one; ties count half (Hanley & McNeil 1982).

    Args:
        scores: ``(N,)`` float64.
        positive: ``(N,)`` bool.

    Returns:
        0 to 1, or ``None`` where one of the two groups is empty.
    """
    both = areas(scores, positive)
    return None if both is None else both[0]


def areas(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> tuple[float, float] | None:
    """Area under the ROC curve, and average precision.

    Average precision is the mean, over the positive rows, of the precision among the rows that score at least as high:
    ``sum (R_n - R_(n-1)) P_n`` over the thresholds, without interpolation.

    Args:
        scores: ``(N,)`` float64.
        positive: ``(N,)`` bool.

    Returns:
        Each 0 to 1, or ``None`` where one of the two groups is empty.
    """
    if positive.all() or not positive.any():
        return None
    both = areas_resampled(scores, positive, np.arange(len(scores)), np.ones((1, len(scores))))
    return float(both.auroc[0]), float(both.average_precision[0])


def auroc_resampled(
    scores: NDArray[np.float64],
    positive: NDArray[np.bool_],
    patient: NDArray[np.int64],
    weights: NDArray[np.float64],
) -> NDArray[np.float64]:
    """The area under the ROC curve of each resample: see `areas_resampled`."""
    return areas_resampled(scores, positive, patient, weights).auroc


def areas_resampled(
    scores: NDArray[np.float64],
    positive: NDArray[np.bool_],
    patient: NDArray[np.int64],
    weights: NDArray[np.float64],
) -> Areas:
    """Both areas for each resample of patients, from one sorting of the scores of the positive rows.

    Args:
        scores: ``(N,)`` float64.
        positive: ``(N,)`` bool.
        patient: ``(N,)`` index of each frame's patient, 0 to P - 1.
        weights: ``(R, P)`` how often each patient was drawn.

    Returns:
        ``(R,)`` float64 each, NaN where a resample lacks positives or negatives.

    Raises:
        MissingExtraError: SciPy, which comes with the ``evaluate`` extra, is not installed.
    """
    levels, level = np.unique(scores[positive], return_inverse=True)
    negative = scores[~positive]
    # Negatives between two levels are one group, those at a level another: groups 0 to 2 L, in the order of the score.
    group = np.searchsorted(levels, negative, side="left") + np.searchsorted(levels, negative, side="right")
    n_patients = weights.shape[1]
    positives = row_counts(level, patient[positive], (len(levels), n_patients))
    negatives = row_counts(group, patient[~positive], (2 * len(levels) + 1, n_patients))
    result = Areas(np.empty(len(weights)), np.empty(len(weights)))
    for some, drawn in draws(weights, negatives.shape[0]):
        at = positives @ drawn
        reached = running_sums(negatives @ drawn)
        all_positive, all_negative = at.sum(axis=0), reached[-1]
        below, up_to = reached[0:-1:2], reached[1::2]
        found = all_positive - running_sums(at) + at
        with np.errstate(invalid="ignore"):
            wins = np.einsum("lr,lr->r", at, below + up_to) / 2
            result.auroc[some] = wins / (all_positive * all_negative)
            # Above the best of the patients who were drawn nothing is found: no precision, and no weight.
            precision = np.divide(found, found + all_negative - below, out=np.zeros_like(found), where=found > 0)
            mean = np.einsum("lr,lr->r", at, precision) / all_positive
            result.average_precision[some] = np.where(all_negative > 0, mean, np.nan)
    return result


def row_counts(group: NDArray[np.int64], patient: NDArray[np.int64], shape: tuple[int, int]) -> Any:
    """Sparse matrix ``shape`` of how many of the ``(N,)`` rows are of each group (down) and patient (across).

    Times the weights of a resample, it gives the rows of each group in that resample.

    Raises:
        MissingExtraError: SciPy, which comes with the ``evaluate`` extra, is not installed.
    """
    matrix = require("scipy.sparse", "evaluate").csr_array
    return matrix((np.ones(len(group)), (group, patient)), shape=shape)


def draws(weights: NDArray[np.float64], height: int) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """The ``(R, P)`` weights in parts ``(P, r)``, a resample a column; ``(height, r)`` then takes bounded memory."""
    step = max(1, _CELLS // height)
    for start in range(0, len(weights), step):
        some = slice(start, start + step)
        yield some, np.ascontiguousarray(weights[some].T)


def running_sums(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums down the ``(L, R)`` values, as ``cumsum(axis=0)``: in blocks, so that whole rows are added at once."""
    n, width = values.shape
    blocks = np.zeros((-(-n // _BLOCK), _BLOCK, width))
    blocks.reshape(-1, width)[:n] = values
    for row in range(1, _BLOCK):
        blocks[:, row] += blocks[:, row - 1]
    for block in range(1, len(blocks)):
        blocks[block] += blocks[block - 1, -1]
    sums: NDArray[np.float64] = blocks.reshape(-1, width)[:n]
    return sums
