"""How well the probabilities rank: areas under the ROC and precision-recall curves, and points of those curves."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_cns.evaluation.auroc import areas, areas_resampled, auroc, auroc_resampled
from edge_cns.evaluation.rows import Rows
from edge_cns.extras import require

__all__ = ["curve_points", "ranking"]

_POINTS = 65  # of a curve in JSON: enough to see its shape

_Area = dict[str, Any]


def ranking(
    rows: Rows, scores: NDArray[np.float64], *, whole: bool = True
) -> tuple[dict[str, Any], dict[str, dict[str, _Area]]]:
    """One-vs-rest areas, each class's and their mean over the classes that have positive and negative rows.

    Args:
        rows: N rows.
        scores: ``(N, K)`` float64.
        whole: also the average precision, and the micro area: all N x K scores in one ranking.

    Returns:
        Figures over all classes, and by class ``auroc`` and, where asked for, ``average_precision``.
    """
    k = len(rows.classes)
    values: list[tuple[float, float] | None] = []
    samples = np.full((2, len(rows.weights), k), np.nan)
    n_patients = []
    for c, own in enumerate(rows.one_hot.T):
        values.append(areas(scores[:, c], own))
        n_patients.append(min(rows.n_patients(own), rows.n_patients(~own)))
        if n_patients[c] >= 2:  # one patient alone on either side cannot show how much patients differ
            samples[:, :, c] = areas_resampled(scores[:, c], own, rows.patient, rows.weights)
    figures: dict[str, Any] = {}
    by_class: dict[str, dict[str, _Area]] = {name: {} for name in rows.classes}
    for i, (kind, mean) in enumerate((("auroc", "auroc_macro"), ("average_precision", "average_precision_macro"))):
        if i == 1 and not whole:
            continue
        usable = [(c, both[i]) for c, both in enumerate(values) if both is not None]
        columns = [c for c, _ in usable]
        figures[mean], figures[f"{mean}_interval"] = rows.macro(
            [value for _, value in usable], samples[i][:, columns], [n_patients[c] for c in columns]
        )
        figures[f"{kind}_left_out"] = [name for c, name in enumerate(rows.classes) if values[c] is None]
        for name in rows.classes:
            by_class[name][kind] = {"value": None, "interval": None}
        for c, value in usable:
            interval = rows.interval(value, samples[i][:, c], n_patients[c])
            by_class[rows.classes[c]][kind] = {"value": value, "interval": interval}
    if whole:
        figures |= _micro(rows, scores)
        for c, name in enumerate(rows.classes):
            by_class[name]["average_precision"]["chance"] = float((rows.labels == c).mean())
    return figures, by_class


def _micro(rows: Rows, scores: NDArray[np.float64]) -> dict[str, Any]:
    """The area over all pairs of row and class, in one ranking."""
    k = len(rows.classes)
    flat, own = scores.ravel(), rows.one_hot.ravel()
    value = auroc(flat, own)
    n_patients = rows.n_patients(np.ones(len(rows), dtype=np.bool_))
    interval = None
    if value is not None and n_patients >= 2:
        samples = auroc_resampled(flat, own, np.repeat(rows.patient, k), rows.weights)
        interval = rows.interval(value, samples, n_patients)
    return {"auroc_micro": value, "auroc_micro_interval": interval}


def curve_points(
    labels: NDArray[np.int64], scores: NDArray[np.float64], classes: tuple[str, ...]
) -> dict[str, dict[str, dict[str, list[float]]]]:
    """Some points of the ROC and precision-recall curves of each class that has positive and negative rows.

    Args:
        labels: ``(N,)`` index of the true class.
        scores: ``(N, K)``.
        classes: K names.

    Returns:
        By class: ``roc`` with ``false_positive_rate`` and ``sensitivity``, ``pr`` with ``sensitivity`` and ``ppv``;
        both in the order of rising sensitivity, at most 65 points.

    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    metrics = require("sklearn.metrics", "evaluate")
    curves = {}
    for c, name in enumerate(classes):
        own = labels == c
        if own.all() or not own.any():
            continue
        false_alarms, found, _ = metrics.roc_curve(own, scores[:, c])
        precision, recall, _ = metrics.precision_recall_curve(own, scores[:, c], drop_intermediate=True)
        curves[name] = {
            "roc": {"false_positive_rate": _thinned(false_alarms), "sensitivity": _thinned(found)},
            # Scikit-learn's last point, sensitivity 0 with a predictive value of 1, is no threshold's.
            "pr": {"sensitivity": _thinned(recall[-2::-1]), "ppv": _thinned(precision[-2::-1])},
        }
    return curves


def _thinned(values: NDArray[np.float64]) -> list[float]:
    chosen = np.unique(np.linspace(0, len(values) - 1, _POINTS).round().astype(int))
    return [float(value) for value in values[chosen]]
