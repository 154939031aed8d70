"""Curves over all thresholds of a class against the rest: ROC, and precision against recall."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from edge_cns.evaluation.figures.style import WIDTH, drawing, legend, line_style, short
from edge_cns.extras import require

__all__ = ["precision_recall_png", "roc_png"]

_Curve = tuple[NDArray[np.float64], NDArray[np.float64], float]


def roc_png(
    labels: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    classes: Sequence[str],
    title: str,
    *,
    phantom: bool = False,
) -> bytes:
    """One-vs-rest ROC curves of the classes that have positive and negative rows.

    Args:
        labels: ``(N,)`` index of the true class.
        probabilities: ``(N, K)``.
        classes: K names.
        title: whose rows these are.
        phantom: say so above the title.
    """
    roc_curve = require("sklearn.metrics", "evaluate").roc_curve
    auc = require("sklearn.metrics", "evaluate").auc

    def curve(positive: NDArray[np.bool_], scores: NDArray[np.float64]) -> _Curve:
        false_alarms, sensitivity, _ = roc_curve(positive, scores)
        return false_alarms, sensitivity, float(auc(false_alarms, sensitivity))

    return _curves_png(
        labels,
        probabilities,
        classes,
        title,
        curve,
        axes_names=("1 - specificity", "sensitivity"),
        heading="area under each curve",
        diagonal=True,
        phantom=phantom,
    )


def precision_recall_png(
    labels: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    classes: Sequence[str],
    title: str,
    *,
    phantom: bool = False,
) -> bytes:
    """One-vs-rest curves of positive predictive value against sensitivity, as `roc_png` otherwise.

    The predictive value is the one at the share of positives *in these rows*; where a finding is rarer it is lower.
    """
    metrics = require("sklearn.metrics", "evaluate")

    def curve(positive: NDArray[np.bool_], scores: NDArray[np.float64]) -> _Curve:
        precision, recall, _ = metrics.precision_recall_curve(positive, scores)
        # The last point, 1 at sensitivity 0, is a convention: where nothing is called there is no predictive value.
        return recall[-2::-1], precision[-2::-1], float(metrics.average_precision_score(positive, scores))

    return _curves_png(
        labels,
        probabilities,
        classes,
        title,
        curve,
        axes_names=("sensitivity", "positive predictive value"),
        heading="average precision",
        diagonal=False,
        phantom=phantom,
    )


def _curves_png(
    labels: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    classes: Sequence[str],
    title: str,
    curve: Callable[[NDArray[np.bool_], NDArray[np.float64]], _Curve],
    *,
    axes_names: tuple[str, str],
    heading: str,
    diagonal: bool,
    phantom: bool,
) -> bytes:
    height = WIDTH + 0.2 * len(classes)
    with drawing(WIDTH, height, title, phantom=phantom) as (figure, buffer):
        axes = figure.subplots()
        if diagonal:
            axes.plot([0, 1], [0, 1], color="#999999", linewidth=1)
        lines, names = [], []
        for c, name in enumerate(classes):
            positive = labels == c
            if positive.all() or not positive.any():
                continue
            x, y, area = curve(positive, probabilities[:, c])
            drawn = axes.plot if diagonal else axes.step
            lines += drawn(x, y, **line_style(c), **({} if diagonal else {"where": "pre"}))
            names.append(f"{short(name)}  {area:.3f}")
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
        axes.set_xlabel(axes_names[0])
        axes.set_ylabel(axes_names[1])
        axes.grid(color="#e6e6e6", linewidth=0.8)
        if lines:
            legend(figure, lines, names, heading=heading)
        else:
            axes.text(0.5, 0.5, "one class only: no curve", ha="center", va="center")
    return buffer.getvalue()
