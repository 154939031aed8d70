"""The three axial planes of the head: transventricular, transthalamic, transcerebellar."""

from __future__ import annotations

from math import pi

import numpy as np
from numpy.typing import NDArray

from edge_cns.data.phantom import tissues as t
from edge_cns.data.phantom.anatomy import Patient
from edge_cns.data.phantom.canvas import Canvas, Points, Tissue, arc, curve, ellipse

__all__ = ["Skull", "draw_cavum", "draw_cerebellum", "draw_choroid_butterfly", "draw_normal_brain", "draw_skull"]

_BUTTERFLY_WEEKS = 15.0  # the choroid plexus fills the ventricles before


class Skull:
    """Outline of one axial cut. The forehead points along +x; ``a`` and ``b`` are its outer half axes in mm."""

    def __init__(self, patient: Patient, plane: str, *, lemon: bool) -> None:
        along, across = {"transcerebellar": (0.97, 0.96)}.get(plane, (1.0, 1.0))
        self.a = 0.5 * patient.length_mm * along
        self.b = 0.5 * patient.breadth_mm * across
        self.thickness = patient.skull_mm
        self.egg = patient.egg
        self.lemon = lemon

    def at(self, phi: NDArray[np.float64], inset_mm: float = 0.0) -> Points:
        """Points of the outline at angles ``phi`` from the forehead, moved inwards by ``inset_mm``."""
        x = (self.a - inset_mm) * np.cos(phi)
        y = (self.b - inset_mm) * np.sin(phi) * (1.0 - self.egg * np.cos(phi))
        if self.lemon:  # both frontal bones caved in, the forehead pointed
            away = np.abs(np.arctan2(np.sin(phi), np.cos(phi)))
            dent = 0.16 * np.exp(-0.5 * ((away - 0.78) / 0.30) ** 2)
            x, y = x * (1.0 - 0.35 * dent), y * (1.0 - 1.35 * dent)
        return np.stack([x, y], axis=1)

    def loop(self, inset_mm: float = 0.0) -> Points:
        """The whole outline as a closed polygon."""
        return self.at(np.linspace(0.0, 2.0 * pi, 145), inset_mm)

    def point(self, phi: float, inset_mm: float = 0.0) -> tuple[float, float]:
        """One point of the outline."""
        x, y = self.at(np.array([phi]), inset_mm)[0]
        return float(x), float(y)


def draw_skull(sheet: Canvas, patient: Patient, skull: Skull, *, gap: tuple[float, float] | None = None) -> None:
    """Scalp, bone with its sutures, and the fluid just inside. ``gap``: angle and half width (mm) of a defect."""
    scalp = 0.6 + 0.035 * skull.b
    sheet.fill(skull.loop(-scalp), t.SKIN)
    sheet.fill(skull.loop(), t.SKULL)
    marks = [(side * where, 0.5 * patient.suture_mm) for where in (0.30 * pi, 0.74 * pi) for side in (-1.0, 1.0)]
    for where, half in [*marks, (pi, 0.4 * patient.suture_mm)]:
        _cut(sheet, skull, where, half, t.SUTURE)
    if gap:
        _cut(sheet, skull, gap[0], gap[1], t.BODY)
    sheet.fill(skull.loop(skull.thickness), t.FLUID._replace(echo_db=-24.0))


def draw_normal_brain(sheet: Canvas, patient: Patient, skull: Skull, plane: str) -> None:
    """Parenchyma and landmarks of a normal head at this plane and age."""
    draw_parenchyma(sheet, patient, skull)
    a, b = skull.a, skull.b
    if plane == "transventricular":
        _falx(sheet, patient, skull, (-0.90, 0.88))
        if patient.gestational_age_weeks < _BUTTERFLY_WEEKS:
            draw_choroid_butterfly(sheet, patient, skull)
        else:
            for side in (-1.0, 1.0):
                draw_ventricle(sheet, skull, side, patient.ventricle_mm)
    elif plane == "transthalamic":
        _falx(sheet, patient, skull, (-0.90, 0.88))
        for side in (-1.0, 1.0):
            sheet.fill(ellipse(-0.06 * a, side * 0.19 * b, 0.24 * a, 0.17 * b, turn=side * 0.25), t.GREY)
            sheet.stroke(
                curve((-0.62 * a, side * 0.30 * b), (-0.42 * a, side * 0.36 * b), (-0.26 * a, side * 0.22 * b)),
                0.030 * b,
                t.WALL,
            )
        _third_ventricle(sheet, skull)
    else:
        _falx(sheet, patient, skull, (-0.20, 0.88))
        for side in (-1.0, 1.0):
            sheet.fill(ellipse(-0.08 * a, side * 0.16 * b, 0.17 * a, 0.15 * b, turn=side * 0.3), t.GREY)
        _third_ventricle(sheet, skull)
        draw_cerebellum(sheet, patient, skull)
    draw_cavum(sheet, patient, skull)


def draw_parenchyma(sheet: Canvas, patient: Patient, skull: Skull) -> None:
    """Brain surface, insulae and, later in pregnancy, sulci."""
    rng = patient.stream(10)
    a, b, age = skull.a, skull.b, patient.gestational_age_weeks
    rim = skull.thickness + b * float(np.interp(age, (12, 20, 30, 36), (0.07, 0.05, 0.035, 0.025)))
    sheet.fill(skull.loop(rim), t.BRAIN)
    for side in (-1.0, 1.0):
        depth = float(np.interp(age, (14, 20, 30), (0.74, 0.66, 0.60)))
        insula = curve(
            (0.36 * a, side * (depth + 0.10) * b),
            (0.18 * a, side * depth * b),
            (-0.05 * a, side * (depth + 0.01) * b),
            (-0.22 * a, side * (depth + 0.13) * b),
        )
        sheet.stroke(insula, 0.03 * b, t.WALL, opacity=float(rng.uniform(0.2, 0.7)))
        for _ in range(round(max(0.0, (age - 22.0) * 0.8))):
            phi = side * rng.uniform(0.15, 0.9) * pi
            outer, inner = (
                skull.point(phi, rim),
                skull.point(phi + rng.normal(0, 0.06), rim + rng.uniform(0.06, 0.16) * b),
            )
            sheet.stroke(curve(outer, inner), 0.02 * b, t.WALL, opacity=0.6)
    for _ in range(14):  # vessels and folds that happen to lie across the beam
        x, y = rng.uniform(-0.65, 0.65) * a, rng.uniform(-0.55, 0.55) * b
        length, tilt = rng.uniform(0.03, 0.09) * a, rng.normal(0.0, 0.12) * a
        sheet.stroke(
            np.array([(x - length, y - tilt * 0.2), (x + length, y + tilt * 0.2)]),
            max(0.35, 0.02 * b),
            t.WALL,
            opacity=float(rng.uniform(0.2, 0.8)),
        )


def draw_ventricle(sheet: Canvas, skull: Skull, side: float, atrium_mm: float) -> None:
    """One lateral ventricle from frontal to occipital horn, with its choroid plexus."""
    a, b = skull.a, skull.b
    wide = 0.5 * atrium_mm
    middle = np.array(
        [
            (0.50, 0.10),
            (0.36, 0.15),
            (0.18, 0.17),
            (-0.05, 0.22),
            (-0.25, 0.32),
            (-0.42, 0.41),
            (-0.60, 0.42),
            (-0.72, 0.36),
        ]
    )
    half = np.array([0.10, 0.45, 0.30, 0.28, 0.65, 1.0, 0.75, 0.10]) * wide
    middle = middle * (a, b) * (1.0, side)
    # A wide ventricle grows outwards: the wall towards the midline stays where it is.
    middle[:, 1] += side * np.maximum(0.0, half - 0.16 * b) * 0.7
    inner = curve(*zip(middle[:, 0], middle[:, 1] - side * half, strict=True))
    outer = curve(*zip(middle[:, 0], middle[:, 1] + side * half, strict=True))
    sheet.fill(np.concatenate([inner, outer[::-1]]), t.FLUID)
    for wall in (inner, outer):
        sheet.stroke(wall, max(0.35, 0.018 * b), t.WALL)
    plexus = min(wide * 0.85, 0.13 * b)
    x, y = middle[5]
    sheet.fill(
        ellipse(
            x + 0.10 * a,
            y - side * 0.25 * wide,
            0.22 * a,
            plexus,
            turn=-side * 0.35,
            ripple=np.array([(0.10, 0.5), (0.06, 2.0), (0.05, 1.0)]),
        ),
        t.CHOROID,
    )


def draw_choroid_butterfly(sheet: Canvas, patient: Patient, skull: Skull) -> None:
    """Before 15 weeks: large ventricles nearly filled by echogenic choroid plexus."""
    rng = patient.stream(11)
    a, b = skull.a, skull.b
    for side in (-1.0, 1.0):
        sheet.fill(
            ellipse(-0.02 * a, side * 0.42 * b, 0.66 * a, 0.32 * b, turn=-side * 0.08), t.FLUID._replace(echo_db=-26.0)
        )
        ripple = np.stack([rng.uniform(0.02, 0.07, 4), rng.uniform(0, 2 * pi, 4)], axis=1)
        sheet.fill(ellipse(-0.14 * a, side * 0.40 * b, 0.48 * a, 0.25 * b, turn=-side * 0.12, ripple=ripple), t.CHOROID)


def draw_cavum(sheet: Canvas, patient: Patient, skull: Skull) -> None:
    """The cavum septi pellucidi: a fluid box between two short lines, in front."""
    if patient.csp_mm == 0.0:
        return
    a, b, half = skull.a, skull.b, 0.5 * patient.csp_mm
    back, front = 0.30 * a, 0.55 * a
    box = np.array([(back, -0.8 * half), (front, -half), (front, half), (back, 0.8 * half)])
    sheet.fill(box, t.FLUID)
    for side in (-1.0, 1.0):
        sheet.stroke(
            curve((back, side * 0.8 * half), (0.5 * (back + front), side * half), (front, side * half)),
            max(0.4, 0.022 * b),
            t.DURA,
        )


def draw_cerebellum(sheet: Canvas, patient: Patient, skull: Skull) -> None:
    """Dumbbell cerebellum, vermis, and the cisterna magna behind."""
    a = skull.a
    width = patient.cerebellum_mm
    back = -a + skull.thickness
    rear = back + patient.cisterna_mm
    deep = 0.27 * width
    middle = rear + deep
    sheet.fill(
        ellipse(
            back + 0.5 * patient.cisterna_mm + 0.12 * width, 0.0, 0.5 * patient.cisterna_mm + 0.12 * width, 0.44 * width
        ),
        t.FLUID,
    )
    rim = max(0.4, 0.035 * width)
    for side in (-1.0, 1.0):
        lobe = ellipse(middle, side * 0.265 * width, deep, 0.235 * width, turn=side * 0.2)
        sheet.fill(lobe, t.CEREBELLUM)
        sheet.stroke(lobe, rim, t.VERMIS._replace(specular=0.1))
        for fold in (0.45, 0.75):
            sheet.stroke(
                arc(middle, side * 0.265 * width, fold * deep, fold * 0.235 * width, span=(0.6 * pi, 1.4 * pi)),
                0.6 * rim,
                t.VERMIS,
                opacity=0.5,
            )
    sheet.fill(ellipse(middle - 0.02 * width, 0.0, 0.8 * deep, 0.085 * width), t.VERMIS)


def _falx(sheet: Canvas, patient: Patient, skull: Skull, span: tuple[float, float]) -> None:
    """The midline echo, interrupted by the cavum and the thalami."""
    a, width = skull.a, max(0.45, 0.022 * skull.b)
    sway = patient.stream(12).normal(0.0, 0.006, 2) * a
    pieces = [(0.58 if patient.csp_mm else 0.25, span[1]), (span[0], -0.30)]
    for low, high in pieces:
        if high > low:
            sheet.stroke(curve((low * a, sway[0]), (0.5 * (low + high) * a, sway[1]), (high * a, 0.0)), width, t.DURA)


def _third_ventricle(sheet: Canvas, skull: Skull) -> None:
    a, b = skull.a, skull.b
    sheet.fill(ellipse(-0.05 * a, 0.0, 0.16 * a, 0.018 * b), t.FLUID)
    for side in (-1.0, 1.0):
        sheet.stroke(curve((-0.20 * a, side * 0.022 * b), (0.10 * a, side * 0.022 * b)), 0.4, t.WALL)


def _cut(sheet: Canvas, skull: Skull, phi: float, half_mm: float, tissue: Tissue) -> None:
    """Replace the bone around one angle by another tissue."""
    x, y = skull.point(phi)
    ahead = np.array(skull.point(phi + 0.01)) - np.array((x, y))
    ahead /= np.hypot(*ahead)
    inwards = np.array((-ahead[1], ahead[0]))
    deep = 1.2 * skull.thickness
    centre = np.array((x, y))
    corners = [centre + ahead * i * half_mm + inwards * j for i, j in ((-1, -0.1), (1, -0.1), (1, deep), (-1, deep))]
    sheet.fill(np.array(corners), tissue)
