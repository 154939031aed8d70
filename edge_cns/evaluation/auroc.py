"""Area under the ROC curve, for one set of weights or for thousands of resamples at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["auroc", "auroc_resampled"]

_CHUNK = 128  # resamples computed at once: 128 x 10,000 frames are 10 MB an array


def auroc(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> float | None:
    """Probability that a positive frame scores above a negative one; ties count half (Hanley & McNeil 1982).

    Args:
        scores: ``(N,)`` float64.
        positive: ``(N,)`` bool.

    Returns:
        0 to 1, or ``None`` where one of the two groups is empty.
    """
    if positive.all() or not positive.any():
        return None
    index = np.arange(len(scores))
    return float(auroc_resampled(scores, positive, index, np.ones((1, len(scores))))[0])


def auroc_resampled(
    scores: NDArray[np.float64],
    positive: NDArray[np.bool_],
    patient: NDArray[np.int64],
    weights: NDArray[np.float64],
) -> NDArray[np.float64]:
    """The same area for each resample of patients, from one sorting of the scores.

    Args:
        scores: ``(N,)`` float64.
        positive: ``(N,)`` bool.
        patient: ``(N,)`` index of each frame's patient, 0 to P - 1.
        weights: ``(R, P)`` how often each patient was drawn.

    Returns:
        ``(R,)`` float64, NaN where a resample lacks positives or negatives.
    """
    order = np.argsort(scores, kind="stable")
    ranked, is_positive = scores[order], positive[order]
    below = np.searchsorted(ranked[~is_positive], ranked[is_positive], side="left")
    up_to = np.searchsorted(ranked[~is_positive], ranked[is_positive], side="right")
    positive_patient, negative_patient = patient[order][is_positive], patient[order][~is_positive]
    areas = np.empty(len(weights))
    for start in range(0, len(weights), _CHUNK):
        # One resample a column: gathering rows then copies contiguous memory.
        drawn = np.ascontiguousarray(weights[start : start + _CHUNK].T)
        drawn_positive = drawn[positive_patient]
        negatives = np.zeros((len(negative_patient) + 1, drawn.shape[1]))
        np.cumsum(drawn[negative_patient], axis=0, out=negatives[1:])
        beaten = negatives[below]
        beaten += negatives[up_to]
        wins = np.einsum("nr,nr->r", drawn_positive, beaten) / 2
        with np.errstate(invalid="ignore"):
            areas[start : start + _CHUNK] = wins / (drawn_positive.sum(axis=0) * negatives[-1])
    return areas
