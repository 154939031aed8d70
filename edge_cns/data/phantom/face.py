"""The coronal face. The top of the head points along -y, so that the picture is upright before it is turned."""

from __future__ import annotations

from math import pi

import numpy as np

from edge_cns.data.phantom import tissues as t
from edge_cns.data.phantom.anatomy import Lesion, Patient
from edge_cns.data.phantom.canvas import Canvas, arc, curve, ellipse

__all__ = ["draw_face"]


def draw_face(sheet: Canvas, patient: Patient, lesion: Lesion | None) -> None:
    """Draw forehead, orbits, nose and jaws; ``lesion`` is ``None`` for the normal face."""
    open_skull = patient.label == "anencephaly" and lesion is not None
    b = 0.5 * patient.breadth_mm
    brow = -0.30 * b
    if open_skull:
        _exposed_top(sheet, patient, b, brow)
    else:
        _vault(sheet, patient, b)
    _soft_face(sheet, b, brow, flat_top=open_skull)
    apart = 0.48 * b
    if lesion is not None and patient.label == "holoprosencephaly" and "hypotelorism" in lesion.signs:
        apart = 0.27 * b
    _orbits(sheet, b, apart, frog=open_skull)
    _nose_and_jaws(sheet, patient, b)
    if lesion is not None and patient.label == "encephalocele" and lesion.subtype == "frontal":
        _frontal_sac(sheet, lesion, b, brow)


def _vault(sheet: Canvas, patient: Patient, b: float) -> None:
    """Calvarium above the orbits, with the falx and the frontal lobes."""
    skin = 0.6 + 0.035 * b
    start, stop = 0.93 * pi, 2.07 * pi
    y, rx, ry = -0.35 * b, 0.95 * b, 0.95 * b
    sheet.fill(arc(0, y, rx + skin, ry + skin, span=(start, stop)), t.SKIN)
    sheet.fill(arc(0, y, rx, ry, span=(start, stop)), t.SKULL)
    thick = patient.skull_mm
    sheet.fill(arc(0, y, rx - thick, ry - thick, span=(start, stop)), t.BRAIN)
    half = 0.5 * patient.suture_mm
    top = y - ry
    sheet.fill(
        np.array([(-half, top - 0.1), (half, top - 0.1), (half, top + 1.2 * thick), (-half, top + 1.2 * thick)]),
        t.SUTURE,
    )
    sheet.stroke(curve((0, top + 1.3 * thick), (0, -0.52 * b)), max(0.4, 0.022 * b), t.DURA)
    for side in (-1.0, 1.0):
        sheet.fill(ellipse(side * 0.16 * b, -0.78 * b, 0.05 * b, 0.13 * b, turn=side * 0.4), t.FLUID)
        sheet.stroke(
            curve((side * 0.80 * b, -0.62 * b), (side * 0.55 * b, -0.70 * b), (side * 0.42 * b, -0.62 * b)),
            0.03 * b,
            t.WALL,
        )


def _exposed_top(sheet: Canvas, patient: Patient, b: float, brow: float) -> None:
    """No vault: at most ragged tissue over the orbits; before 15 weeks lobes of brain lie free."""
    rng = patient.stream(30)
    early = patient.gestational_age_weeks < 15.0
    height = 0.42 if early else float(rng.uniform(0.04, 0.14))
    for side in (-1.0, 1.0):
        ripple = np.stack([rng.uniform(0.04, 0.12, 5), rng.uniform(0, 2 * pi, 5)], axis=1)
        sheet.fill(ellipse(side * 0.40 * b, brow - height * b, 0.46 * b, (height + 0.06) * b, ripple=ripple), t.RAGGED)


def _soft_face(sheet: Canvas, b: float, brow: float, *, flat_top: bool) -> None:
    """Cheeks down to the chin."""
    left = [(-0.90, brow / b - 0.02), (-0.88, 0.05), (-0.72, 0.55), (-0.42, 0.98), (0.0, 1.12)]
    right = [(-x, y) for x, y in left[-2::-1]]
    top = [] if flat_top else [(0.5, -0.42), (0.0, -0.45), (-0.5, -0.42)]
    outline = np.array([*left, *right, *top, left[0]]) * b
    outline = curve(*map(tuple, outline))
    sheet.fill(outline, t.BODY._replace(echo_db=-2.0))
    sheet.stroke(curve(*((x * b, y * b) for x, y in [*left, *right])), max(0.6, 0.05 * b), t.SKIN)


def _orbits(sheet: Canvas, b: float, apart: float, *, frog: bool) -> None:
    """Eyes: dark globes with a bright rim of bone and a lens; bulging at the top of a frog's face."""
    ry = 0.28 * b if frog else 0.24 * b
    y = -0.22 * b if frog else -0.10 * b
    for side in (-1.0, 1.0):
        x = side * apart
        sheet.fill(
            ellipse(x, y, 0.255 * b, ry + 0.03 * b), t.BONE._replace(echo_db=7.0, attenuation=2.0, specular=0.45)
        )
        sheet.fill(ellipse(x, y, 0.205 * b, ry - 0.02 * b), t.FLUID._replace(echo_db=-28.0))
        sheet.stroke(
            arc(x + side * 0.03 * b, y - 0.02 * b, 0.07 * b, 0.06 * b, span=(1.15 * pi, 1.85 * pi)),
            max(0.35, 0.02 * b),
            t.WALL,
        )


def _nose_and_jaws(sheet: Canvas, patient: Patient, b: float) -> None:
    rng = patient.stream(31)
    sheet.stroke(
        curve((0, -0.30 * b), (0, 0.05 * b), (0, 0.32 * b)), 0.05 * b, t.BONE._replace(echo_db=10.0, attenuation=3.0)
    )
    for side in (-1.0, 1.0):
        sheet.fill(ellipse(side * 0.09 * b, 0.27 * b, 0.04 * b, 0.06 * b), t.FLUID)
    upper = curve(
        (-0.34 * b, 0.52 * b), (-0.22 * b, 0.42 * b), (0.0, 0.38 * b), (0.22 * b, 0.42 * b), (0.34 * b, 0.52 * b)
    )
    sheet.stroke(upper, 0.08 * b, t.BONE._replace(echo_db=15.0, specular=0.5))
    for x, y in ((-0.17, 0.46), (-0.06, 0.43), (0.06, 0.43), (0.17, 0.46)):
        sheet.fill(ellipse(x * b, y * b, 0.025 * b, 0.03 * b), t.GREY)
    sheet.fill(ellipse(0.0, 0.60 * b, rng.uniform(0.12, 0.20) * b, rng.uniform(0.05, 0.10) * b), t.GREY)
    for side in (-1.0, 1.0):
        lower = curve((side * 0.50 * b, 0.50 * b), (side * 0.42 * b, 0.72 * b), (side * 0.12 * b, 0.84 * b))
        sheet.stroke(lower, 0.07 * b, t.BONE._replace(echo_db=15.0, specular=0.5))
        cheek = curve((side * 0.42 * b, 0.22 * b), (side * 0.58 * b, 0.16 * b), (side * 0.70 * b, 0.04 * b))
        sheet.stroke(cheek, 0.05 * b, t.BONE._replace(echo_db=12.0, specular=0.4))


def _frontal_sac(sheet: Canvas, lesion: Lesion, b: float, brow: float) -> None:
    """A sac bulging between and above the orbits, through a gap of the frontal bone."""
    r = max(0.34, 1.15 * lesion.size) * b
    y = brow - 0.25 * b
    sheet.fill(ellipse(0.0, y, r, r), t.MEMBRANE._replace(echo_db=8.0, specular=0.25))
    inner = t.BRAIN._replace(echo_db=-9.0) if "brain" in lesion.signs else t.FLUID
    sheet.fill(ellipse(0.0, y, 0.86 * r, 0.86 * r), t.FLUID)
    sheet.fill(ellipse(0.05 * r, y + 0.1 * r, 0.66 * r, 0.62 * r), inner)
