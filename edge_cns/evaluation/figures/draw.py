"""The figures of one evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edge_cns.atomic import write_bytes
from edge_cns.evaluation.figures.confusion import confusion_png
from edge_cns.evaluation.figures.curves import precision_recall_png, roc_png
from edge_cns.evaluation.figures.intervals import sensitivity_png, subgroups_png
from edge_cns.evaluation.figures.trust import reliability_png, risk_coverage_png
from edge_cns.evaluation.metrics import headline
from edge_cns.evaluation.pictures import media_type
from edge_cns.evaluation.predictions import SEEN_SETS, UNSEEN, Predictions

__all__ = ["draw", "write_figures"]


def draw(predictions: Predictions, metrics: dict[str, Any]) -> dict[str, bytes]:
    """Draw the figures of the patients that ``headline`` names.

    Args:
        predictions: what ``metrics`` was computed from.
        metrics: from ``evaluate``; with ``before_calibration`` the reliability diagram has both, with ``exams`` their
            risk is drawn, too.

    Returns:
        PNG files by name: ``confusion``, ``confusion_patients``, ``roc``, ``precision_recall``, ``sensitivity``,
        ``reliability``, ``risk_coverage``, and where there is something to draw ``risk_coverage_exams`` and
        ``subgroups``.

    Raises:
        MissingExtraError: matplotlib or scikit-learn is not installed.
    """
    whose, figures = headline(metrics)
    sets = (UNSEEN,) if figures is metrics["by_set"][UNSEEN] else SEEN_SETS
    rows = predictions.select(predictions.in_sets(*sets))
    phantom, unit = predictions.phantom, figures["patient"]["unit"].split(" ")[0]
    classes, frame = predictions.classes, figures["frame"]
    of_frames = f"Frames of {whose}"
    of_patients = f"{unit.capitalize()}: {whose}" if unit == "cases" else whose.capitalize()
    before = metrics.get("before_calibration", {}).get("calibration")
    drawn = {
        "confusion": confusion_png(frame["confusion"], classes, of_frames, phantom=phantom),
        "confusion_patients": confusion_png(figures["patient"]["confusion"], classes, of_patients, phantom=phantom),
        "roc": roc_png(rows.labels, rows.probabilities, classes, of_frames, phantom=phantom),
        "precision_recall": precision_recall_png(rows.labels, rows.probabilities, classes, of_frames, phantom=phantom),
        "sensitivity": sensitivity_png(frame["per_class"], of_frames, phantom=phantom),
        "reliability": reliability_png(frame["calibration"], of_frames, before=before, phantom=phantom),
        "risk_coverage": risk_coverage_png(frame["selective"], of_frames, phantom=phantom),
    }
    exams = metrics.get("exams", {}).get("selective")
    if exams is not None:
        drawn["risk_coverage_exams"] = risk_coverage_png(exams, f"Exams of {whose}", rows_are="exams", phantom=phantom)
    forest = subgroups_png(metrics["subgroups"], phantom=phantom)
    return drawn | ({} if forest is None else {"subgroups": forest})


def write_figures(folder: Path, figures: dict[str, bytes]) -> list[Path]:
    """Write each figure as ``NAME.png``, a photograph as ``NAME.jpg``, into an existing folder, whole or not at all.

    Raises:
        OSError: full disk or read-only folder.
    """
    paths = []
    for name, content in figures.items():
        path = folder / f"{name}.{'jpg' if media_type(content) == 'image/jpeg' else 'png'}"
        write_bytes(path, content)
        paths.append(path)
    return paths
