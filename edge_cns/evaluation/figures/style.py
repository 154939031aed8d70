"""What all figures share: size, fonts, colours, the word PHANTOM, and legends whose names are data."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from edge_cns.evaluation.pictures import QUALITY
from edge_cns.extras import require

__all__ = ["COLOURS", "DASHES", "WIDTH", "blues", "drawing", "legend", "line_style", "short"]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("solid", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)), (0, (3, 1, 1, 1, 1, 1)))
WIDTH = 5.0
"""Of a figure, inches."""

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
_DPI, _DPI_PHOTOGRAPHS = 180, 110
_PALETTE = 128  # colours: enough for lines, text and their smooth edges


@contextmanager
def drawing(
    width: float, height: float, title: str, *, phantom: bool, photographs: bool = False
) -> Iterator[tuple[Any, io.BytesIO]]:
    """Yield an empty figure in our style, and the buffer that holds its file once the block ends.

    Args:
        width, height: inches.
        title: above the figure.
        phantom: say so above the title.
        photographs: save as JPEG, at fewer dots; otherwise as PNG with a palette, a third of the size without.
    """
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
        if photographs:
            figure.savefig(buffer, format="jpg", dpi=_DPI_PHOTOGRAPHS, pil_kwargs={"quality": QUALITY})
        else:
            whole = io.BytesIO()
            figure.savefig(whole, format="png", dpi=_DPI, metadata={"Software": None})
            picture = require("PIL.Image", "evaluate").open(whole).convert("RGB")
            picture.quantize(_PALETTE).save(buffer, format="png", optimize=True)


def legend(figure: Any, lines: list[Any], names: Sequence[str], heading: str | None = None) -> None:
    """Legend below the plot, with its names set afterwards: matplotlib drops those that begin with ``_``."""
    drawn = figure.legend(
        lines,
        [str(i) for i in range(len(names))],
        loc="outside lower center",
        ncols=2 if max(map(len, names)) <= 22 else 1,  # half of the width holds about 22 characters
        title=heading,
        frameon=False,
        handlelength=2.6,
        fontsize=10,
    )
    for text, name in zip(drawn.get_texts(), names, strict=True):
        text.set_text(name)


def line_style(index: int) -> dict[str, Any]:
    """Colour and dashes of the line for a class."""
    return {"color": COLOURS[index % len(COLOURS)], "linestyle": DASHES[index % len(DASHES)], "linewidth": 2}


def blues() -> Any:
    """White to the dark blue of our palette."""
    return require("matplotlib.colors", "evaluate").LinearSegmentedColormap.from_list("", ["#ffffff", "#08457e"])


def short(name: str, limit: int = 22) -> str:
    """A name that fits beside a figure: at most so many characters."""
    return name if len(name) <= limit else name[: limit - 1] + "…"
