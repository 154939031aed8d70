"""Calibration: a temperature that makes probabilities mean what they say, and thresholds that find enough cases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["TEMPERATURES", "fit_temperature", "fit_thresholds", "patient_shares"]

TEMPERATURES = (0.05, 20.0)
"""Range that is searched."""

_STEPS = 60  # of golden section: the interval shrinks by 0.618 each time
_GOLDEN = (np.sqrt(5) - 1) / 2


def fit_temperature(
    logits: NDArray[np.floating[Any]],
    labels: NDArray[np.int64],
    *,
    weights: NDArray[np.float64] | None = None,
    trials: int | None = None,
) -> float:
    """The temperature of the smallest cross-entropy (Guo et al. 2017, "On Calibration of Modern Neural Networks").

    Where a few calibration patients are all classified rightly, the likelihood alone would have the model claim to be
    certain. So the targets are not 1 and 0 but those of Platt (1999, "Probabilistic outputs for support vector
    machines"), for K classes: ``(n + 1) / (n + K)`` for the true class and ``1 / (n + K)`` for each other.

    Args:
        logits: ``(N, K)`` of calibration frames.
        labels: ``(N,)`` index of the true class.
        weights: ``(N,)`` of the frames, such as `patient_shares`; all equal if left out.
        trials: independent trials n behind the frames, such as the number of patients; N if left out.

    Returns:
        A number within `TEMPERATURES`.
    """
    count, k = logits.shape
    share = np.full(count, 1 / count) if weights is None else weights / weights.sum()
    n = count if trials is None else trials
    targets = np.full((count, k), 1 / (n + k))
    targets[np.arange(count), labels] = (n + 1) / (n + k)
    targets *= share[:, None]
    shifted = np.asarray(logits, np.float64) - np.max(logits, axis=1, keepdims=True)

    def loss(exponent: float) -> float:
        scaled = shifted * np.exp(-exponent)
        normaliser = np.log(np.exp(scaled).sum(axis=1))
        return float(share @ normaliser - (targets * scaled).sum())

    # Convex in the inverse temperature, so there is one minimum along any monotone scale of it.
    low, high = np.log(TEMPERATURES)
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    loss_left, loss_right = loss(left), loss(right)
    for _ in range(_STEPS):
        if loss_left <= loss_right:
            high, right, loss_right = right, left, loss_left
            left = high - _GOLDEN * (high - low)
            loss_left = loss(left)
        else:
            low, left, loss_left = left, right, loss_right
            right = low + _GOLDEN * (high - low)
            loss_right = loss(right)
    return float(np.exp((low + high) / 2))


def fit_thresholds(
    scores: NDArray[np.float64], labels: NDArray[np.int64], target_sensitivity: float
) -> NDArray[np.float64]:
    """For each class, the largest threshold at which enough of its cases score at least as much.

    Args:
        scores: ``(M, K)`` aggregated scores of calibration cases.
        labels: ``(M,)`` index of the true class; every class occurs.
        target_sensitivity: share of the cases of each class to find, above 0 and below 1.

    Returns:
        ``(K,)`` float64. Of n cases the one that must still be found is the ``ceil(target * n)``-th largest.

    Raises:
        ValueError: a class has no case.
    """
    thresholds = np.empty(scores.shape[1])
    for c in range(scores.shape[1]):
        own = np.sort(scores[labels == c, c])[::-1]
        if own.size == 0:
            raise ValueError(f"class {c} has no case to set a threshold from")
        # The small term keeps 0.95 * 20 at 19: the product is a hair above it in binary.
        thresholds[c] = own[max(1, int(np.ceil(target_sensitivity * own.size - 1e-9))) - 1]
    return thresholds


def patient_shares(patients: Sequence[str]) -> NDArray[np.float64]:
    """``(N,)`` weights that sum to 1 and count every patient once, however many frames they have."""
    _, index, counts = np.unique(np.array(patients), return_inverse=True, return_counts=True)
    return np.asarray(1.0 / (counts[index] * len(counts)))
