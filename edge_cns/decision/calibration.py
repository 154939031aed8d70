"""Calibration: a temperature that makes probabilities mean what they say, and thresholds that find enough cases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_cns.contract import Aggregation, Rule
from edge_cns.decision.aggregation import RULES, aggregate_cases

__all__ = ["TEMPERATURES", "choose_aggregation", "fit_temperature", "fit_thresholds", "patient_shares"]

TEMPERATURES = (0.05, 20.0)
"""Range that is searched."""

_PRIOR_DEVIATION = np.log(2.0) / 2
_STEPS = 60  # of golden section: the interval shrinks by 0.618 each time
_GOLDEN = (np.sqrt(5) - 1) / 2


def fit_temperature(
    logits: NDArray[np.floating[Any]],
    labels: NDArray[np.int64],
    *,
    weights: NDArray[np.float64] | None = None,
    trials: int | None = None,
) -> float:
    """The most probable temperature (Guo et al. 2017, "On Calibration of Modern Neural Networks").

    Where a few calibration patients are all classified rightly, the likelihood alone would have the model claim to be
    certain. So the temperature has a prior: its logarithm is normal about 0, and two standard deviations are a factor
    of 2. Few patients then leave it near 1, and many overrule the prior.

    Args:
        logits: ``(N, K)`` of calibration frames.
        labels: ``(N,)`` index of the true class.
        weights: ``(N,)`` of the frames, such as `patient_shares`; all equal if left out.
        trials: independent trials behind the frames, such as the number of patients; N if left out.

    Returns:
        A number within `TEMPERATURES`.
    """
    count = len(labels)
    share = np.full(count, 1 / count) if weights is None else weights / weights.sum()
    n = count if trials is None else trials
    shifted = np.asarray(logits, np.float64) - np.max(logits, axis=1, keepdims=True)
    of_label = share @ shifted[np.arange(count), labels]

    def loss(exponent: float) -> float:
        inverse = np.exp(-exponent)
        cross_entropy = share @ np.log(np.exp(shifted * inverse).sum(axis=1)) - of_label * inverse
        return float(n * cross_entropy + 0.5 * (exponent / _PRIOR_DEVIATION) ** 2)

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


def choose_aggregation(
    probabilities: NDArray[np.float64],
    labels: NDArray[np.int64],
    case: NDArray[np.int64],
    *,
    negative: int | None = None,
    seconds: NDArray[np.float64] | None = None,
) -> tuple[Aggregation, dict[Rule, float]]:
    """The rule with the best balanced accuracy on calibration cases; of equals the simplest, first in `RULES`.

    Args:
        probabilities: ``(N, K)`` of the frames.
        labels: ``(M,)`` index of each case's true class.
        case: ``(N,)`` case of each frame, 0 to M - 1.
        negative, seconds: see `edge_cns.decision.aggregation.aggregate_cases`.

    Returns:
        The choice, and the balanced accuracy of each rule.
    """
    accuracy: dict[Rule, float] = {}
    for rule in RULES:
        aggregation = Aggregation(rule)
        right = (
            aggregate_cases(probabilities, case, aggregation, negative=negative, seconds=seconds).argmax(1) == labels
        )
        accuracy[rule] = float(np.mean([right[labels == c].mean() for c in np.unique(labels)]))
    return Aggregation(max(RULES, key=accuracy.__getitem__)), accuracy


def patient_shares(patients: Sequence[str]) -> NDArray[np.float64]:
    """``(N,)`` weights that sum to 1 and count every patient once, however many frames they have."""
    _, index, counts = np.unique(np.array(patients), return_inverse=True, return_counts=True)
    return np.asarray(1.0 / (counts[index] * len(counts)))
