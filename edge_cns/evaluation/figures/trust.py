"""Whether a probability can be believed: the reliability diagram, and the risk of answering fewer frames."""

from __future__ import annotations

from typing import Any

import numpy as np

from edge_cns.evaluation.figures.style import COLOURS, WIDTH, drawing, legend

__all__ = ["reliability_png", "risk_coverage_png"]


def reliability_png(
    calibration: dict[str, Any], title: str, *, before: dict[str, Any] | None = None, phantom: bool = False
) -> bytes:
    """Reliability diagram of the top label: accuracy against probability, bin by bin (Guo et al. 2017).

    Args:
        calibration: block of the metrics; each bin is a point with its 95 % interval, and below it its share of rows.
        title: whose rows these are.
        before: the same before calibration, drawn as open squares.
        phantom: say so above the title.
    """
    with drawing(WIDTH, WIDTH + 1.2, title, phantom=phantom) as (figure, buffer):
        axes, counts = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
        axes.plot([0, 1], [0, 1], color="#999999", linewidth=1)
        names = []
        handles = []
        if before is not None:
            handles += axes.plot(*_points(before), marker="s", markersize=6, markerfacecolor="white", **_line(1))
            names.append(f"before calibration, ECE {before['ece']:.3f}")
        for part in calibration["bins"]:
            if part["interval"] is not None:
                axes.plot([part["confidence"]] * 2, part["interval"], color=COLOURS[0], linewidth=1, alpha=0.6)
        handles += axes.plot(*_points(calibration), marker="o", markersize=6, **_line(0))
        what = "after calibration" if before is not None else "as the model says"
        names.append(f"{what}, ECE {calibration['ece']:.3f}")
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        axes.set_ylabel("share that is right")
        axes.grid(color="#e6e6e6", linewidth=0.8)
        total = max(1, sum(part["n"] for part in calibration["bins"]))
        for part in calibration["bins"]:
            width = part["high"] - part["low"]
            counts.bar(part["low"], part["n"] / total, width=width, align="edge", color=COLOURS[5], edgecolor="white")
        counts.set_ylabel("rows", fontsize=10)
        counts.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        counts.set_xlabel("probability of the class that the model says")
        legend(figure, handles, names)
    return buffer.getvalue()


def risk_coverage_png(
    selective: dict[str, Any], title: str, *, rows_are: str = "frames", phantom: bool = False
) -> bytes:
    """Error among what is answered against its share, when the least sure is left out first.

    Args:
        selective: block of the metrics (Geifman & El-Yaniv 2017).
        title: whose rows these are.
        rows_are: what is answered.
        phantom: say so above the title.
    """
    curve = selective["curve"]
    coverage = np.array([point["coverage"] for point in curve])
    risk = np.array([point["risk"] for point in curve])
    with drawing(WIDTH, 4.2, title, phantom=phantom) as (figure, buffer):
        axes = figure.subplots()
        known = [point for point in curve if point["interval"] is not None]
        axes.fill_between(
            [point["coverage"] for point in known],
            [point["interval"][0] for point in known],
            [point["interval"][1] for point in known],
            color=COLOURS[0],
            alpha=0.15,
            linewidth=0,
        )
        axes.plot(coverage, risk, marker="o", markersize=4, **_line(0))
        top = max([*risk, *(point["interval"][1] for point in known), 0.02])
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.03 * top, 1.08 * top))
        axes.set_xlabel(f"share of {rows_are} answered, the surest first")
        axes.set_ylabel("error among them, 95 % interval", fontsize=10)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:.3g}")
        axes.grid(color="#e6e6e6", linewidth=0.8)
    return buffer.getvalue()


def _points(calibration: dict[str, Any]) -> tuple[list[float], list[float]]:
    bins = calibration["bins"]
    return [part["confidence"] for part in bins], [part["accuracy"] for part in bins]


def _line(index: int) -> dict[str, Any]:
    return {"color": COLOURS[index], "linewidth": 1.6}
