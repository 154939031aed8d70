"""Pictures of a study of heat maps: frames under several maps, agreement, and what chance and shuffling reach."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_cns.evaluation.figures.style import COLOURS, WIDTH, drawing, legend, short
from edge_cns.evaluation.heatmaps.maps import Map
from edge_cns.evaluation.heatmaps.study import HeatmapStudy, Panel
from edge_cns.grey import Grey

__all__ = ["draw_heatmaps"]

_OPACITY = 0.6
_CELL = 2.2  # inches


def draw_heatmaps(study: HeatmapStudy, *, phantom: bool = False) -> dict[str, bytes]:
    """Draw a study.

    Args:
        study: from `measure_heatmaps`.
        phantom: say so above each title.

    Returns:
        Files by name, each where its part was measured: ``heatmaps`` (JPEG, for it holds photographs),
        ``heatmaps_agreement`` and ``heatmaps_sanity`` (PNG).
    """
    figures = {}
    if study.panels:
        figures["heatmaps"] = _panels_jpeg(study.panels, phantom=phantom)
    if "agreement" in study.block and study.block["agreement"]["signed"]["value"] is not None:
        figures["heatmaps_agreement"] = _agreement_png(study.block["agreement"], phantom=phantom)
    if "lesions" in study.block:
        figures["heatmaps_sanity"] = _sanity_png(study.block, phantom=phantom)
    return figures


def _panels_jpeg(panels: tuple[Panel, ...], *, phantom: bool) -> bytes:
    """A row for each frame, a column for each map."""
    titles = list(dict.fromkeys(title for panel in panels for title, *_ in panel.cells))
    size = (_CELL * len(titles) + 0.5, _CELL * len(panels) + 0.7)
    with drawing(*size, "Heat maps", phantom=phantom, photographs=True) as (figure, buffer):
        grid = figure.subplots(len(panels), len(titles), squeeze=False)
        for axes_row, panel in zip(grid, panels, strict=True):
            for axes in axes_row:
                axes.set_axis_off()
            for title, picture, heatmap, strongest in panel.cells:
                axes = axes_row[titles.index(title)]
                axes.imshow(_blend(picture, heatmap, strongest))
                if heatmap is None and panel.mask is not None:
                    axes.contour(panel.mask, levels=[0.5], colors=["#ffd400"], linewidths=1.2)
            axes_row[0].set_axis_on()
            axes_row[0].set(xticks=[], yticks=[])
            axes_row[0].spines[:].set_visible(False)
            axes_row[0].set_ylabel("\n".join(short(line) for line in panel.caption.split("\n")), fontsize=10)
        for axes, title in zip(grid[0], titles, strict=True):
            axes.set_title(title, fontsize=10)
    return buffer.getvalue()


def _blend(picture: Grey, heatmap: Map | None, strongest: float) -> NDArray[np.uint8]:
    """RGB; only evidence for the class is coloured, as on the screen."""
    rgb = np.repeat(picture[..., None], 3, axis=2)
    if heatmap is None:
        return rgb
    strength = np.clip(heatmap / max(strongest, 1e-6), 0, 1)
    colours = cv2.cvtColor(cv2.applyColorMap((strength * 255).astype(np.uint8), cv2.COLORMAP_TURBO), cv2.COLOR_BGR2RGB)
    weight = (_OPACITY * strength)[..., None]
    return np.asarray(rgb * (1 - weight) + colours * weight, np.uint8)


def _agreement_png(agreement: dict[str, Any], *, phantom: bool) -> bytes:
    """Histogram of the rank correlation of each frame."""
    edges, counts = np.array(agreement["histogram"]["edges"]), np.array(agreement["histogram"]["counts"])
    first = int(np.flatnonzero(counts)[0])
    title = f"int8 maps and float Grad-CAM, {agreement['n_frames']} frames"
    with drawing(WIDTH, 3.4, title, phantom=phantom) as (figure, buffer):
        axes = figure.subplots()
        axes.bar(edges[:-1], counts, width=np.diff(edges), align="edge", color=COLOURS[0], edgecolor="white")
        median = agreement["quantiles"]["0.5"]
        axes.axvline(median, color=COLOURS[1], linewidth=2, linestyle=(0, (4, 2)))
        axes.text(median, axes.get_ylim()[1], f"median {median:.3f} ", ha="right", va="top", color=COLOURS[1])
        axes.set_xlim(min(edges[first] - 0.05, 0.45), 1.0)
        axes.set_xlabel(f"rank correlation over {agreement['places']} places")
        axes.set_ylabel("frames")
        axes.grid(axis="y", color="#e6e6e6", linewidth=0.8)
    return buffer.getvalue()


def _sanity_png(block: dict[str, Any], *, phantom: bool) -> bytes:
    """Pointing and mass: the int8 maps, both levels of chance, and the float network with shuffled weights."""
    lesions = block["lesions"]
    rows: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
        ("int8 maps", lesions["pointing"], lesions["mass"]),
        ("others' maps (chance)", lesions["pointing_swapped"], lesions["mass_swapped"]),
        ("area (chance)", lesions["pointing_area"], lesions["mass_area"]),
    ]
    shuffling = block.get("randomisation", {"stages": ()})
    for stage in shuffling["stages"]:
        name = (
            f"float maps ({shuffling['n_frames']} frames)" if stage["share"] is None else f"shuffled: {stage['name']}"
        )
        rows.append((name, stage["pointing"], stage["mass"]))
    kinds = (("points at the lesion", COLOURS[0], "o", -0.15), ("mass in the lesion", COLOURS[1], "s", 0.15))
    title = f"Lesions, {lesions['n_frames']} frames of {lesions['n_patients']} patients"
    with drawing(WIDTH, 1.7 + 0.45 * len(rows) + 0.2 * phantom, title, phantom=phantom) as (figure, buffer):
        axes = figure.subplots()
        handles = []
        for k, (_, colour, marker, shift) in enumerate(kinds):
            for i, (_, *measured) in enumerate(rows):
                value, interval = measured[k]["value"], measured[k]["interval"]
                if interval is not None:
                    axes.plot(interval, [i + shift] * 2, color=colour, linewidth=2)
                if value is not None:
                    axes.plot([value], [i + shift], marker=marker, color=colour, markersize=6)
            handles += axes.plot([], [], marker=marker, color=colour, linewidth=2)
        axes.set_yticks(range(len(rows)), [name for name, *_ in rows], fontsize=9)
        axes.set(xlim=(-0.02, 1.02), ylim=(len(rows) - 0.5, -0.5))
        axes.set_xlabel("share, with 95 % interval over patients", fontsize=10)
        axes.grid(axis="x", color="#e6e6e6", linewidth=0.8)
        legend(figure, handles, [name for name, *_ in kinds])
    return buffer.getvalue()
