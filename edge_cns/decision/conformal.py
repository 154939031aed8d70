"""Conformal sets: the classes that a frame may be, chosen so that the true one is among them at a stated rate.

Split conformal prediction with one threshold a class: a class is in a frame's set when its probability is at least the
class's threshold (Sadinle, Lei & Wasserman 2019, J. Am. Stat. Assoc. 114:223: the smallest sets on average that cover
every class alike). Frames of one patient resemble each other, so patients are what is exchangeable, not frames: each
patient weighs 1 in all, and the new patient is one of n + 1 (hierarchical conformal prediction: Lee, Barber & Willett
2023, arXiv:2306.06342). The promise is then about a frame drawn from a new patient of that class.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge_cns.contract import ConformalRule
from edge_cns.decision.quantile import largest_reached
from edge_cns.errors import BadInputError

__all__ = ["fit_conformal", "prediction_set", "single_class"]


def fit_conformal(
    probabilities: NDArray[np.float64],
    labels: NDArray[np.int64],
    patients: Sequence[str],
    classes: Sequence[str],
    coverage: float,
) -> ConformalRule:
    """Fit the thresholds on patients from whom the model has learned nothing.

    A class with fewer patients than `fewest_patients` cannot keep the promise by itself. It gets the threshold of all
    classes together (the null cluster of Ding et al. 2023, NeurIPS, arXiv:2306.09335), which covers frames of a new
    patient of any class on average, not of this class. With too few patients even for that, the threshold is 0:
    every class is in every set.

    Args:
        probabilities: ``(N, K)`` calibrated probabilities of frames that show what their label says.
        labels: ``(N,)`` int64, index of the true class.
        patients: N patient ids; one patient may have frames of several classes.
        classes: K names.
        coverage: share of sets that shall have the true class, above 0 and below 1.

    Returns:
        The rule; its ``pooled`` names the classes with the common threshold.

    Raises:
        BadInputError: shapes that do not fit, a label out of range, probabilities outside 0 to 1, or such a coverage.
    """
    n, k = len(patients), len(classes)
    if not 0 < coverage < 1:
        raise BadInputError(f"conformal coverage is {coverage}; give a share above 0 and below 1, such as 0.9")
    if probabilities.shape != (n, k) or labels.shape != (n,):
        raise BadInputError(
            f"conformal: probabilities {probabilities.shape} and labels {labels.shape} of {n} frames and {k} classes; "
            f"they need ({n}, {k}) and ({n},)"
        )
    if n and not (labels.min() >= 0 and labels.max() < k):
        raise BadInputError(f"conformal: labels go from {labels.min()} to {labels.max()}; give 0 to {k - 1}")
    if not ((probabilities >= 0) & (probabilities <= 1)).all():
        raise BadInputError("conformal: probabilities are not all from 0 to 1; fit on the outputs of softmax")
    true = probabilities[np.arange(n), labels]
    ids = np.array(patients, dtype=str)
    common = largest_reached(true, patients, coverage)
    own = [largest_reached(true[labels == c], ids[labels == c].tolist(), coverage) for c in range(k)]
    return ConformalRule(
        coverage=coverage,
        thresholds=tuple((common or 0.0) if threshold is None else threshold for threshold in own),
        pooled=tuple(name for name, threshold in zip(classes, own, strict=True) if threshold is None),
    )


def prediction_set(probabilities: NDArray[np.float64], rule: ConformalRule) -> NDArray[np.bool_]:
    """Which classes are in the set: ``(..., K)`` bool from ``(..., K)`` probabilities. A set may be empty."""
    members: NDArray[np.bool_] = np.asarray(probabilities) >= np.array(rule.thresholds)
    return members


def single_class(members: NDArray[np.bool_]) -> int | None:
    """The class of a set ``(K,)`` that has exactly one, else ``None``: only such a frame gets a class."""
    return int(members.argmax()) if np.count_nonzero(members) == 1 else None
