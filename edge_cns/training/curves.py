"""The training curves as a picture."""

from __future__ import annotations

import io
from typing import Any

from edge_cns.extras import require
from edge_cns.training.run import kept_epoch

__all__ = ["draw_curves"]


def draw_curves(history: list[dict[str, float]], *, phantom: bool) -> bytes:
    """Draw loss and accuracy by epoch.

    Args:
        history: rows with ``epoch``, ``loss``, ``stop_loss`` and ``stop_accuracy``.
        phantom: whether the frames are simulated; the title says so.

    Returns:
        A PNG.
    """
    figure: Any = require("matplotlib.figure", "evaluate").Figure(figsize=(8, 3.2), dpi=120, layout="constrained")
    ticker: Any = require("matplotlib.ticker", "evaluate")
    epochs = [row["epoch"] for row in history]
    left, right = figure.subplots(1, 2)
    left.plot(epochs, [row["loss"] for row in history], "o-", label="fit (augmented)", color="#0072B2")
    left.plot(epochs, [row["stop_loss"] for row in history], "s-", label="stop", color="#D55E00")
    left.set(xlabel="epoch", ylabel="cross-entropy", yscale="log")
    left.yaxis.set_major_locator(ticker.LogLocator(subs=(1.0, 2.0, 5.0)))
    left.yaxis.set_major_formatter("{x:g}")
    left.yaxis.set_minor_formatter(ticker.NullFormatter())
    left.legend(frameon=False)
    right.plot(epochs, [row["stop_accuracy"] for row in history], "s-", color="#D55E00")
    right.set(xlabel="epoch", ylabel="accuracy on stop patients")
    best = kept_epoch(history)["epoch"]
    for axes in (left, right):
        axes.axvline(best, color="grey", linewidth=0.8, linestyle=":")
        axes.spines[["top", "right"]].set_visible(False)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set_xlim(0.5, epochs[-1] + 0.5)
    figure.suptitle(f"{'PHANTOM DATA: ' if phantom else ''}fine-tuning; the dotted epoch was kept", fontsize=10)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
