"""Pictures of an evaluation, as PNG files.

Drawn with matplotlib's object interface at 5 inches across, so that the text can still be read at the width of a
phone; colours are those of Okabe and Ito (2008), which the colour-blind can tell apart, and no line is told from
another by colour alone.
"""

from __future__ import annotations

from edge_cns.evaluation.figures.confusion import confusion_png
from edge_cns.evaluation.figures.curves import precision_recall_png, roc_png
from edge_cns.evaluation.figures.draw import draw, write_figures
from edge_cns.evaluation.figures.heatmaps import draw_heatmaps
from edge_cns.evaluation.figures.intervals import sensitivity_png, subgroups_png
from edge_cns.evaluation.figures.trust import reliability_png, risk_coverage_png

__all__ = [
    "confusion_png",
    "draw",
    "draw_heatmaps",
    "precision_recall_png",
    "reliability_png",
    "risk_coverage_png",
    "roc_png",
    "sensitivity_png",
    "subgroups_png",
    "write_figures",
]
