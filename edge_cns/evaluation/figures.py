"""Pictures of an evaluation: confusion matrix, ROC curves, and sensitivity and specificity with their intervals.

Drawn with matplotlib's object interface at 5 inches across, so that the text can still be read at the width of a
phone; colours are those of Okabe and Ito (2008), which the colour-blind can tell apart, and no line is told from
another by colour alone.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_cns.atomic import write_bytes
from edge_cns.evaluation.metrics import headline
from edge_cns.evaluation.predictions import SEEN_SETS, UNSEEN, Predictions
from edge_cns.extras import require

__all__ = ["confusion_png", "draw", "roc_png", "sensitivity_png", "write_figures"]

_STYLE = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 11.0,
    "text.usetex": False,
    "text.parse_math": False,  # class names are data: a dollar sign is a dollar sign
    "axes.titlesize": 12.0,
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#444444",
    "axes.axisbelow": True,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "savefig.facecolor": "white",
}
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_DASHES = ("solid", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)), (0, (3, 1, 1, 1, 1, 1)))
_WIDTH = 5.0  # inches
_DPI = 180
_LONGEST_NAME = 22  # characters of a class name before it is cut


def draw(predictions: Predictions, metrics: dict[str, Any]) -> dict[str, bytes]:
    """Draw the figures of the patients that ``headline`` names.

    Args:
        predictions: what ``metrics`` was computed from.
        metrics: from ``evaluate``.

    Returns:
        PNG files by name: ``confusion``, ``confusion_patients``, ``roc`` and ``sensitivity``.

    Raises:
        MissingExtraError: matplotlib or scikit-learn is not installed.
    """
    whose, figures = headline(metrics)
    sets = (UNSEEN,) if figures is metrics["by_set"][UNSEEN] else SEEN_SETS
    rows = predictions.select(predictions.in_sets(*sets))
    phantom, unit = predictions.phantom, figures["patient"]["unit"].split(" ")[0]
    classes = predictions.classes
    return {
        "confusion": confusion_png(figures["frame"]["confusion"], classes, f"Frames of {whose}", phantom=phantom),
        "confusion_patients": confusion_png(
            figures["patient"]["confusion"],
            classes,
            f"{unit.capitalize()}: {whose}" if unit == "cases" else whose.capitalize(),
            phantom=phantom,
        ),
        "roc": roc_png(rows.labels, rows.probabilities, classes, f"Frames of {whose}", phantom=phantom),
        "sensitivity": sensitivity_png(figures["frame"]["per_class"], f"Frames of {whose}", phantom=phantom),
    }


def write_figures(folder: Path, figures: dict[str, bytes]) -> list[Path]:
    """Write each figure as ``NAME.png`` into an existing folder, whole or not at all.

    Raises:
        OSError: full disk or read-only folder.
    """
    paths = []
    for name, content in figures.items():
        path = folder / f"{name}.png"
        write_bytes(path, content)
        paths.append(path)
    return paths


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
    names = [_short(name) for name in classes]
    side = _WIDTH + max(0.0, 0.45 * (k - 6))
    with _figure(side, side, title, phantom=phantom) as (figure, buffer):
        axes = figure.subplots()
        axes.imshow(shares, cmap=_blues(), vmin=0, vmax=1)
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
    height = _WIDTH + 0.2 * len(classes)
    with _figure(_WIDTH, height, title, phantom=phantom) as (figure, buffer):
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color="#999999", linewidth=1)
        lines, names = [], []
        for c, name in enumerate(classes):
            positive = labels == c
            if positive.all() or not positive.any():
                continue
            false_alarms, sensitivity, _ = roc_curve(positive, probabilities[:, c])
            style = {"color": _COLOURS[c % len(_COLOURS)], "linestyle": _DASHES[c % len(_DASHES)]}
            lines += axes.plot(false_alarms, sensitivity, linewidth=2, **style)
            names.append(f"{_short(name)}  {auc(false_alarms, sensitivity):.3f}")
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
        axes.set_xlabel("1 - specificity")
        axes.set_ylabel("sensitivity")
        axes.grid(color="#e6e6e6", linewidth=0.8)
        if lines:
            _legend(figure, lines, names, heading="area under each curve")
        else:
            axes.text(0.5, 0.5, "one class only: no curve", ha="center", va="center")
    return buffer.getvalue()


def sensitivity_png(per_class: dict[str, Any], title: str, *, phantom: bool = False) -> bytes:
    """Sensitivity and specificity of each class with 95 % intervals over patients.

    Args:
        per_class: ``frame.per_class`` of the metrics; where the patients are too few for their interval, Wilson's.
        title: whose rows these are.
        phantom: say so above the title.
    """
    kinds = (("sensitivity", _COLOURS[0], "o", -0.14), ("specificity", _COLOURS[1], "s", 0.14))
    names = list(per_class)
    height = 1.6 + 0.55 * len(names) + 0.2 * phantom
    with _figure(_WIDTH, height, title, phantom=phantom) as (figure, buffer):
        axes = figure.subplots()
        handles = []
        for kind, colour, marker, shift in kinds:
            for row, name in enumerate(names):
                rate = per_class[name][kind]
                if rate["value"] is None:
                    continue
                low, high = rate["interval"] or rate["wilson"]
                axes.plot([low, high], [row + shift] * 2, color=colour, linewidth=2)
                axes.plot([rate["value"]], [row + shift], marker=marker, color=colour, markersize=6)
            handles += axes.plot([], [], marker=marker, color=colour, linewidth=2)
        axes.set_yticks(range(len(names)), [f"{_short(name)}\n(n={per_class[name]['n']})" for name in names])
        axes.set(xlim=(-0.02, 1.02), ylim=(len(names) - 0.5, -0.5))
        axes.set_xlabel("share, with 95 % interval over patients")
        axes.grid(axis="x", color="#e6e6e6", linewidth=0.8)
        _legend(figure, handles, [kind for kind, *_ in kinds])
    return buffer.getvalue()


@contextmanager
def _figure(width: float, height: float, title: str, *, phantom: bool) -> Iterator[tuple[Any, io.BytesIO]]:
    """Yield an empty figure in our style, sizes in inches, and the buffer that holds its PNG once the block ends."""
    matplotlib = require("matplotlib", "evaluate")
    figure_class = require("matplotlib.figure", "evaluate").Figure
    require("matplotlib.backends.backend_agg", "evaluate")
    buffer = io.BytesIO()
    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        # A class name in a script that the font lacks is drawn as boxes; the tables of the report have it in full.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from")
        figure = figure_class(figsize=(width, height), layout="constrained")
        yield figure, buffer
        figure.suptitle(f"PHANTOM DATA\n{title}" if phantom else title, fontsize=12, fontweight="bold")
        figure.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": None})


def _legend(figure: Any, lines: list[Any], names: Sequence[str], heading: str | None = None) -> None:
    """Legend below the plot, with its names set afterwards: matplotlib drops those that begin with ``_``."""
    legend = figure.legend(
        lines,
        [str(i) for i in range(len(names))],
        loc="outside lower center",
        ncols=2 if max(map(len, names)) <= 22 else 1,  # half of the width holds about 22 characters
        title=heading,
        frameon=False,
        handlelength=2.6,
        fontsize=10,
    )
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set_text(name)


def _blues() -> Any:
    """White to the dark blue of our palette."""
    return require("matplotlib.colors", "evaluate").LinearSegmentedColormap.from_list("", ["#ffffff", "#08457e"])


def _short(name: str) -> str:
    """A class name that fits beside a figure."""
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"
