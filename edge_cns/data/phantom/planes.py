"""A patient cut by a plane: the sheet of tissue, and where the lesion changed it."""

from __future__ import annotations

from dataclasses import dataclass
from math import pi

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_cns.data.phantom import tissues as t
from edge_cns.data.phantom.anatomy import PLANES, Patient, visible_signs
from edge_cns.data.phantom.canvas import Canvas, arc, curve, ellipse
from edge_cns.data.phantom.face import draw_face
from edge_cns.data.phantom.head import Skull, draw_normal_brain, draw_skull
from edge_cns.data.phantom.lesions import draw_abnormal_head
from edge_cns.data.phantom.spine import draw_spine_sagittal, draw_spine_transverse
from edge_cns.errors import BadInputError

__all__ = ["Section", "extent_mm", "section", "section_pair"]

_CHANGED_DB = 3.0  # a lesion has changed the sheet where its echo differs by more than this


@dataclass(frozen=True, slots=True, eq=False)
class Section:
    """One plane of one fetus, before any ultrasound.

    Attributes:
        maps: float32 ``(N, N, 4)``, see :class:`edge_cns.data.phantom.canvas.Canvas`.
        changed: float32 ``(N, N)``, 0 to 1: where tissue differs from the same fetus without the lesion.
        half_mm: from the origin to an edge of the maps.
        signs: signs of the lesion that this plane cuts.
    """

    maps: NDArray[np.float32]
    changed: NDArray[np.float32]
    half_mm: float
    signs: tuple[str, ...]


def section(patient: Patient, plane: str, *, lesion: bool = True, pixels: int = 512) -> Section:
    """Cut a patient; ``lesion=False`` cuts the same fetus without its lesion.

    Args:
        patient: who.
        plane: a name from :data:`edge_cns.data.phantom.PLANES`.
        lesion: whether the lesion is drawn.
        pixels: side of the maps.

    Raises:
        BadInputError: unknown plane.
    """
    with_lesion, without = section_pair(patient, plane, pixels=pixels)
    return with_lesion if lesion else without


def section_pair(patient: Patient, plane: str, *, pixels: int = 512) -> tuple[Section, Section]:
    """The cut with the lesion and its counterfactual twin without; the same one twice where nothing differs.

    Raises:
        BadInputError: unknown plane.
    """
    if plane not in PLANES:
        raise BadInputError(f"the phantom has no plane {plane!r}; choose one of {', '.join(PLANES)}")
    half = 1.25 * patient.length_mm  # room for the largest sac
    maps = _draw(patient, plane, half, pixels, lesion=False)
    healthy = Section(maps, np.zeros((pixels, pixels), np.float32), half, ())
    if not _touches(patient, plane):
        return healthy, healthy
    maps = _draw(patient, plane, half, pixels, lesion=True)
    changed = _difference(maps, healthy.maps, 2.0 * half / pixels)
    return Section(maps, changed, half, visible_signs(patient, plane)), healthy


def extent_mm(patient: Patient, plane: str) -> tuple[float, float]:
    """Half width and half height of the normal anatomy on a plane, before it is turned."""
    a, b = 0.5 * patient.length_mm, 0.5 * patient.breadth_mm
    return {
        "coronal_face": (b, 1.25 * b),
        "spine_sagittal": (1.6 * b, 1.0 * b),
        "spine_transverse": (1.08 * b, 1.05 * b),
    }.get(plane, (a, b))


def _touches(patient: Patient, plane: str) -> bool:
    """Whether the lesion changes this plane at all, be it only through wide ventricles."""
    if visible_signs(patient, plane):
        return True
    return plane == "transventricular" and patient.lesion is not None and "ventriculomegaly" in patient.lesion.signs


def _draw(patient: Patient, plane: str, half: float, pixels: int, *, lesion: bool) -> NDArray[np.float32]:
    sheet = Canvas(half, pixels, t.FLUID)
    _surroundings(sheet, patient, plane)
    wrong = patient.lesion if lesion else None
    if plane == "coronal_face":
        draw_face(sheet, patient, wrong)
    elif plane == "spine_sagittal":
        draw_spine_sagittal(sheet, patient, wrong)
    elif plane == "spine_transverse":
        draw_spine_transverse(sheet, patient, wrong)
    elif wrong is not None:
        draw_abnormal_head(sheet, patient, wrong, plane, seen=bool(visible_signs(patient, plane)))
    else:
        skull = Skull(patient, plane, lemon=patient.lemon_outline)
        draw_skull(sheet, patient, skull)
        draw_normal_brain(sheet, patient, skull, plane)
    grain = patient.stream(51, PLANES.index(plane))
    sheet.roughen(grain, 1.5, 0.085 * patient.breadth_mm)
    return sheet.maps


def _surroundings(sheet: Canvas, patient: Patient, plane: str) -> None:
    """What may lie beside any fetus: limbs, loops of cord, a membrane, a twin. Independent of the class."""
    rng = patient.stream(50, PLANES.index(plane))
    width, height = extent_mm(patient, plane)
    unit = 0.5 * patient.breadth_mm
    for kind in ("limb", "cord", "membrane"):
        present, phi = rng.random() < 0.35, float(rng.uniform(0.0, 2.0 * pi))
        x, y = 1.22 * width * np.cos(phi), 1.28 * height * np.sin(phi)
        turn = float(rng.uniform(0.0, pi))
        if not present:
            continue
        if kind == "limb":
            sheet.fill(ellipse(x, y, 0.50 * unit, 0.17 * unit, turn=turn), t.BODY)
            sheet.fill(ellipse(x, y, 0.40 * unit, 0.045 * unit, turn=turn), t.BONE)
        elif kind == "cord":
            for i in range(3):
                place = x + 0.17 * unit * i * np.cos(turn), y + 0.17 * unit * i * np.sin(turn)
                sheet.fill(ellipse(*place, 0.10 * unit, 0.10 * unit), t.MEMBRANE)
                sheet.fill(ellipse(*place, 0.07 * unit, 0.07 * unit), t.FLUID)
        else:
            r = float(rng.uniform(0.35, 0.8)) * unit
            sheet.stroke(arc(x, y, r, 0.8 * r, span=(turn, turn + 1.2 * pi)), max(0.4, 0.025 * unit), t.MEMBRANE)
    if patient.twin:
        _twin(sheet, patient, (width, height), unit)


def _twin(sheet: Canvas, patient: Patient, extent: tuple[float, float], unit: float) -> None:
    """The edge of a second head, behind a membrane."""
    phi = float(patient.stream(52).uniform(0.1, 0.9)) * pi
    x, y = (extent[0] + 1.0 * unit) * np.cos(phi), (extent[1] + 1.05 * unit) * np.sin(phi)
    sheet.fill(ellipse(x, y, 0.95 * unit, 0.8 * unit), t.SKIN)
    sheet.fill(ellipse(x, y, 0.92 * unit, 0.77 * unit), t.SKULL)
    sheet.fill(ellipse(x, y, 0.92 * unit - patient.skull_mm, 0.77 * unit - patient.skull_mm), t.BRAIN)
    sheet.stroke(curve((x - 0.7 * unit, y), (x + 0.7 * unit, y)), 0.03 * unit, t.DURA)


def _difference(maps: NDArray[np.float32], healthy: NDArray[np.float32], pitch_mm: float) -> NDArray[np.float32]:
    echo = cv2.absdiff(np.ascontiguousarray(maps[..., 0]), np.ascontiguousarray(healthy[..., 0]))
    cover = cv2.absdiff(np.ascontiguousarray(maps[..., 3]), np.ascontiguousarray(healthy[..., 3]))
    changed = ((echo > _CHANGED_DB) | (cover > 0.25)).astype(np.uint8)
    reach = 2 * max(1, round(1.0 / pitch_mm)) + 1  # closes gaps of a millimetre or so
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    closed = cv2.morphologyEx(changed, cv2.MORPH_CLOSE, kernel)
    return closed.astype(np.float32)
