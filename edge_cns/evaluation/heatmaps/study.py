"""All questions about heat maps in one call, and the frames for a picture of the answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_cns.contract import Contract
from edge_cns.data.images import read_image
from edge_cns.data.manifest import Row
from edge_cns.evaluation.heatmaps.agreement import agreement
from edge_cns.evaluation.heatmaps.counterfactual import counterfactual
from edge_cns.evaluation.heatmaps.lesions import LesionFrame
from edge_cns.evaluation.heatmaps.localisation import localisation
from edge_cns.evaluation.heatmaps.maps import Map, Mask, mass_inside, over_region
from edge_cns.evaluation.heatmaps.randomisation import randomisation
from edge_cns.evaluation.heatmaps.shown import CamModel, FloatModel, Seen, Settings, Shown, see, show, spread
from edge_cns.grey import Grey
from edge_cns.progress import Progress, silent

__all__ = ["HeatmapStudy", "Panel", "measure_heatmaps"]

_AGREEMENT_FRAMES = 300
_LESION_FRAMES = 1000
_SHUFFLED_FRAMES = 100
_ROWS = 5  # of the picture


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """A row of the picture: one frame under several maps.

    Attributes:
        caption: what it is.
        cells: title, picture ``(h, w)`` uint8, map of the same shape or ``None``, and the value of the map that is
            drawn strongest.
        mask: ``(h, w)`` bool where somebody has outlined a lesion, or ``None``.
    """

    caption: str
    cells: tuple[tuple[str, Grey, Map | None, float], ...]
    mask: Mask | None = None


@dataclass(frozen=True, slots=True, eq=False)
class HeatmapStudy:
    """What was measured: the ``heatmaps`` block of ``metrics.json``, and rows for the picture."""

    block: dict[str, Any]
    panels: tuple[Panel, ...]


def measure_heatmaps(
    cam: CamModel,
    rows: Sequence[Row],
    contract: Contract,
    *,
    lesions: Sequence[LesionFrame] = (),
    reference: FloatModel | None = None,
    seed: int = 0,
    resamples: int = 2000,
    progress: Progress = silent,
) -> HeatmapStudy | None:
    """Measure the heat maps of an int8 model.

    Args:
        cam: the int8 model.
        rows: frames to measure on, readable and labelled with the contract's classes: those of patients whom the
            model has not met, where there are any.
        contract: of the model.
        lesions: outlined frames, from `read_lesions`; those that are not among ``rows`` are left out.
        reference: the float model, for agreement and randomisation.
        seed: of the resampling of patients and of the shuffles.
        resamples: how many times the patients are drawn.
        progress: told as work goes on.

    Returns:
        The block has the keys ``agreement``, ``lesions``, ``counterfactual`` and ``randomisation``, each only where it
        could be measured; docs/heatmaps.md says what the figures are. ``None`` where nothing could be.

    Raises:
        BadInputError: a frame, a mask or a twin that cannot be read.
        MissingExtraError: SciPy is not installed.
    """
    settings = Settings(contract, seed, resamples)
    block: dict[str, Any] = {}
    panels: list[Panel] = []
    if reference is not None and rows:
        frames = []
        for row in spread(rows, _AGREEMENT_FRAMES):
            frames.append(see(cam, row, read_image(row.path), contract))
            progress("heat maps against the float model", len(frames), min(len(rows), _AGREEMENT_FRAMES))
        block["agreement"], correlations, exact = agreement(settings, reference, frames)
        panels = _agreement_panels(settings, frames, correlations, exact)
    known = {row.path for row in rows}
    wanted = spread([lesion for lesion in lesions if lesion.row.path in known], _LESION_FRAMES)
    shown = []
    for i, lesion in enumerate(wanted):
        shown.append(show(cam, lesion, contract))
        progress("heat maps on lesions", i + 1, len(wanted))
    inside = [s for s in shown if s is not None]
    if inside:
        block["lesions"] = localisation(settings, inside) | {"n_outside": len(shown) - len(inside)}
        pairs = counterfactual(settings, inside)
        if pairs is not None:
            block["counterfactual"] = pairs
        shuffled = None
        if reference is not None:
            part = spread(inside, _SHUFFLED_FRAMES)
            block["randomisation"], cams = randomisation(settings, reference, part, progress)
            shuffled = {id(s): c for s, c in zip(part, cams, strict=True)}
        panels = _lesion_panels(settings, inside, reference, shuffled or {})
    return HeatmapStudy(block, tuple(panels)) if block else None


def _agreement_panels(
    settings: Settings, frames: Sequence[Seen], correlations: NDArray[np.float64], exact: Sequence[Map]
) -> list[Panel]:
    """The frames at the 5 %, 50 % and 95 % quantiles of the correlation: not the best ones."""
    order = [i for i in np.argsort(correlations) if np.isfinite(correlations[i])]
    panels = []
    for share in (0.05, 0.5, 0.95) if order else ():
        i = order[round(share * (len(order) - 1))]
        seen = frames[i]
        int8 = settings.drawn(seen.cams, seen.said, seen.box)
        other = over_region(exact[i], settings.contract.input, seen.box)
        name = settings.contract.class_names[seen.said]
        cells = (
            ("frame", seen.picture, None, 0.0),
            _cell("int8 map", seen.picture, int8),
            _cell("float Grad-CAM", seen.picture, other),
        )
        panels.append(Panel(f"{name}\n{share:.0%} quantile\nrank corr. {correlations[i]:.3f}", cells))
    return panels


def _lesion_panels(
    settings: Settings,
    shown: Sequence[Shown],
    reference: FloatModel | None,
    shuffled: dict[int, NDArray[np.float32]],
) -> list[Panel]:
    """One frame a class: the one with the median mass in the lesion, so neither the best nor the worst."""
    panels = []
    for label in sorted({s.label for s in shown})[:_ROWS]:
        of_class = [s for s in shown if s.label == label and (not shuffled or id(s) in shuffled)]
        maps = {id(s): settings.drawn(s.seen.cams, label, s.seen.box) for s in of_class}
        ranked = sorted(of_class, key=lambda s: np.nan_to_num(mass_inside(maps[id(s)], s.mask)))
        if not ranked:
            continue
        s = ranked[len(ranked) // 2]
        picture, strongest = s.seen.picture, float(maps[id(s)].max())
        cells = [("frame, lesion outlined", picture, None, 0.0), ("int8 map", picture, maps[id(s)], strongest)]
        if reference is not None:
            exact = reference.grad_cams(s.seen.image[None], np.array([label], np.int64), against_mean=True)[0]
            cells.append(_cell("float Grad-CAM", picture, over_region(exact, settings.contract.input, s.seen.box)))
        if s.twin is not None:
            without = settings.drawn(s.twin.cams, label, s.seen.box)
            cells.append(("without the lesion", s.twin.picture, without, strongest))
        if shuffled:
            cells.append(_cell("weights shuffled", picture, settings.drawn(shuffled[id(s)], label, s.seen.box)))
        panels.append(Panel(settings.contract.class_names[label], tuple(cells), s.mask))
    return panels


def _cell(title: str, picture: Grey, heatmap: Map) -> tuple[str, Grey, Map | None, float]:
    """A map on the scale of its own maximum."""
    return title, picture, heatmap, float(heatmap.max())
