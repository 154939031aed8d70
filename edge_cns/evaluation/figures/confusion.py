"""The confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge_cns.evaluation.figures.style import WIDTH, blues, drawing, short

__all__ = ["confusion_png"]


def confusion_png(
    confusion: Sequence[Sequence[int]], classes: Sequence[str], title: str, *, phantom: bool = False
) -> bytes:
    """Counts and, below them, the share of each true class.

    Args:
        confusion: ``K x K`` counts, a row for each true class.
        classes: K names.
        title: whose rows these are.
        phantom: say so above the title.
    """
    counts = np.asarray(confusion, dtype=np.int64)
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    k = len(classes)
    names = [short(name) for name in classes]
    side = WIDTH + max(0.0, 0.45 * (k - 6))
    with drawing(side, side, title, phantom=phantom) as (figure, buffer):
        axes = figure.subplots()
        axes.imshow(shares, cmap=blues(), vmin=0, vmax=1)
        size = 11 if k <= 5 else 9 if k <= 8 else 7
        for (i, j), count in np.ndenumerate(counts):
            text = f"{count}\n{shares[i, j]:.0%}" if totals[i] else "-"
            colour = "white" if shares[i, j] > 0.55 else "black"
            axes.text(j, i, text, ha="center", va="center", color=colour, fontsize=size)
        axes.set_xticks(range(k), names, rotation=40, ha="right", rotation_mode="anchor", fontsize=size)
        axes.set_yticks(range(k), [f"{n}\n(n={t})" for n, t in zip(names, totals[:, 0], strict=True)], fontsize=size)
        axes.set_xlabel("the model says")
        axes.set_ylabel("true class")
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
    return buffer.getvalue()
