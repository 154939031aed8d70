"""What follows from the classes that were said: accuracy, confusion, sensitivity, specificity, predictive values."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_cns.evaluation.rows import Rows

__all__ = ["agreement", "class_rates"]


def agreement(rows: Rows, predicted: NDArray[np.int64]) -> dict[str, Any]:
    """Accuracy, balanced accuracy (mean sensitivity of the classes present) and the confusion matrix.

    Args:
        rows: N rows.
        predicted: ``(N,)`` index of the class that was said.
    """
    k = len(rows.classes)
    right = predicted == rows.labels
    confusion = np.bincount(rows.labels * k + predicted, minlength=k * k).reshape(k, k)
    present = np.flatnonzero(confusion.sum(axis=1))
    of_class = [rows.labels == c for c in present]
    trials = rows.by_patient(of_class)
    with np.errstate(invalid="ignore"):
        samples = (rows.weights @ rows.by_patient([right & own for own in of_class])) / (rows.weights @ trials)
    sensitivity = [float(right[own].mean()) for own in of_class]
    balanced, balanced_interval = rows.macro(sensitivity, samples, np.count_nonzero(trials, axis=0).tolist())
    accuracy = rows.rates([right], [np.ones_like(right)])[0]
    return {
        "n": len(rows),
        "accuracy": accuracy["value"],
        "accuracy_interval": accuracy["interval"],
        "accuracy_wilson": accuracy["wilson"],
        "balanced_accuracy": balanced,
        "balanced_accuracy_interval": balanced_interval,
        "classes_without_rows": [name for c, name in enumerate(rows.classes) if c not in present],
        "confusion": confusion.tolist(),
    }


def class_rates(rows: Rows, called: NDArray[np.bool_], count: str = "n_predicted") -> dict[str, dict[str, Any]]:
    """Sensitivity, specificity and predictive values of each class against the rest, with both intervals.

    Args:
        rows: N rows.
        called: ``(N, K)`` whether the class was said; one class a row, none or several.
        count: name of the number of rows for which the class was said.

    Returns:
        By class. Predictive values are those of these rows, whose classes are as frequent as they are here.
    """
    own, said = list(rows.one_hot.T), list(called.T)
    hits = [p & q for p, q in zip(own, said, strict=True)]
    rejected = [~p & ~q for p, q in zip(own, said, strict=True)]
    rates = rows.rates([*hits, *rejected, *hits, *rejected], [*own, *(~p for p in own), *said, *(~q for q in said)])
    k = len(rows.classes)
    return {
        name: {
            "n": int(own[c].sum()),
            "n_patients": rows.n_patients(own[c]),
            count: int(said[c].sum()),
            "sensitivity": rates[c],
            "specificity": rates[k + c],
            "ppv": rates[2 * k + c],
            "npv": rates[3 * k + c],
        }
        for c, name in enumerate(rows.classes)
    }
