"""The spine along (sagittal) and across (transverse). The back points along -y before the picture is turned."""

from __future__ import annotations

from collections.abc import Callable
from math import pi

import numpy as np
from numpy.typing import NDArray

from edge_cns.data.phantom import tissues as t
from edge_cns.data.phantom.anatomy import Lesion, Patient
from edge_cns.data.phantom.canvas import Canvas, Points, arc, curve, ellipse

__all__ = ["draw_spine_sagittal", "draw_spine_transverse"]

Level = Callable[[float, float], Points]
"""A line along the back: an offset (units of half a head) plus a multiple of half the canal's width."""


def draw_spine_sagittal(sheet: Canvas, patient: Patient, lesion: Lesion | None) -> None:
    """About seventeen vertebrae: bodies and arches in two rows that close at the sacrum, under intact skin."""
    rng = patient.stream(40)
    b = 0.5 * patient.breadth_mm
    bend, tilt = float(rng.uniform(-0.10, 0.16)), float(rng.uniform(0.25, 0.5))

    def back(x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Height of the canal's middle at ``x`` (in units of b; +x is towards the head)."""
        return bend * (x - 0.2) ** 2 * 0.6 - 0.25 + tilt * np.maximum(0.0, -x - 0.95) ** 1.5

    def canal(x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Half width of the canal, closing at the sacrum."""
        return 0.5 * np.interp(x, (-1.75, -1.2, -0.4, 2.2), (0.06, 0.26, 0.33, 0.31))

    def level(offset: float, times: float) -> Points:
        x = np.linspace(-1.8, 2.4, 90)
        return np.stack([x, back(x) + times * canal(x) + offset], axis=1) * b

    _trunk(sheet, patient, level)
    inside = level(0.0, -1.0), level(0.0, 1.0)
    sheet.fill(np.concatenate([inside[0], inside[1][::-1]]), t.GREY._replace(echo_db=-15.0))
    for times in (-0.4, 0.4):
        line = level(0.0, times)
        sheet.stroke(line[line[:, 0] > -1.1 * b], max(0.35, 0.02 * b), t.WALL._replace(echo_db=-3.0, specular=0.07))
    step, thick = 0.20, 0.19
    open_from, open_to = _open_span(patient, lesion)
    for x in np.arange(-1.70, 2.3, step):
        taper = float(np.interp(x, (-1.7, -0.9), (0.55, 1.0)))
        at = np.array([x])
        y, half = float(back(at)[0]), float(canal(at)[0])
        lean = float(np.arctan2(back(at + 0.05)[0] - y, 0.05))
        body = ellipse(
            x * b, (y + half + 0.10 * taper) * b, 0.36 * step * taper**0.5 * b, 0.5 * thick * taper * b, turn=lean
        )
        sheet.fill(body, t.BONE)
        if not open_from < x < open_to:
            sheet.fill(
                ellipse(x * b, (y - half - 0.08 * taper) * b, 0.30 * step * b, 0.36 * thick * taper * b, turn=lean),
                t.BONE,
            )
    if lesion is not None and patient.label == "rachischisis":
        _open_back(sheet, patient, lesion, level, span=(open_from, open_to))


def draw_spine_transverse(sheet: Canvas, patient: Patient, lesion: Lesion | None) -> None:
    """A cut through the trunk: body and two laminae around the canal, ribs, viscera, skin."""
    rng = patient.stream(41)
    r = 0.5 * patient.breadth_mm * 1.04
    sheet.fill(ellipse(0, 0, 1.06 * r, r), t.SKIN)
    sheet.fill(ellipse(0, 0, 1.01 * r, 0.95 * r), t.BODY)
    sheet.fill(ellipse(0, 0.06 * r, 0.90 * r, 0.82 * r), t.ORGAN)
    _viscera(sheet, patient, r)
    for side in (-1.0, 1.0):  # muscle beside the spine, ribs
        sheet.fill(
            ellipse(side * 0.33 * r, -0.70 * r, 0.20 * r, 0.13 * r, turn=side * 0.35), t.BODY._replace(echo_db=-7.0)
        )
        if rng.random() < 0.7:
            reach = float(rng.uniform(0.02, 0.22)) * pi
            start = -0.5 * pi + side * 0.16 * pi
            sheet.stroke(
                arc(0, 0.03 * r, 0.95 * r, 0.87 * r, span=(start, start + side * (0.12 * pi + reach))),
                0.045 * r,
                t.BONE,
            )
    open_here = patient.label == "rachischisis" and lesion is not None and "level" in lesion.signs
    sheet.fill(ellipse(0, -0.56 * r, 0.17 * r, 0.14 * r), t.GREY._replace(echo_db=-15.0))
    sheet.fill(ellipse(0, -0.34 * r, 0.15 * r, 0.10 * r), t.BONE)
    if open_here and lesion is not None:
        _splayed(sheet, patient, lesion, r)
        return
    sheet.fill(ellipse(0, -0.56 * r, 0.045 * r, 0.04 * r), t.WALL)
    for side in (-1.0, 1.0):
        sheet.fill(ellipse(side * 0.165 * r, -0.66 * r, 0.105 * r, 0.055 * r, turn=side * 0.85), t.BONE)


def _trunk(sheet: Canvas, patient: Patient, level: Level) -> None:
    """Body wall, viscera in front of the spine, aorta."""
    rng, b = patient.stream(42), 0.5 * patient.breadth_mm
    skin, front = level(-0.36, -1.0), level(1.55, 0.0)
    trunk = np.concatenate([skin, front[::-1]])
    sheet.fill(trunk, t.BODY)
    sheet.stroke(skin, max(0.7, 0.06 * b), t.SKIN)
    sheet.stroke(front, max(0.7, 0.05 * b), t.SKIN)
    for x, wide in ((1.55, 0.62), (0.45, 0.55), (-0.6, 0.5)):
        echo = float(rng.uniform(-7.0, 0.0))
        sheet.fill(ellipse((x + rng.normal(0, 0.1)) * b, 0.78 * b, wide * b, 0.42 * b), t.ORGAN._replace(echo_db=echo))
    sheet.fill(ellipse(rng.uniform(-0.5, 0.6) * b, 0.85 * b, rng.uniform(0.1, 0.24) * b, 0.15 * b), t.FLUID)
    aorta = level(0.33, 1.0)
    aorta = aorta[aorta[:, 0] > -0.7 * b]
    sheet.stroke(aorta, 0.09 * b, t.FLUID)


def _open_span(patient: Patient, lesion: Lesion | None) -> tuple[float, float]:
    """Where arches are missing, in units of b; an empty span in a closed spine."""
    if lesion is None or patient.label != "rachischisis":
        return 9.0, 9.0
    length = 2.9 * lesion.size
    start = float(patient.stream(43).uniform(-1.5, -1.1))
    return start, start + length


def _open_back(sheet: Canvas, patient: Patient, lesion: Lesion, level: Level, *, span: tuple[float, float]) -> None:
    """No skin, muscle or arches over the defect: the cord lies in a trough, or under a sac."""
    rng, b = patient.stream(44), 0.5 * patient.breadth_mm

    def part(offset: float, times: float) -> Points:
        line = level(offset, times)
        return np.asarray(line[(line[:, 0] > span[0] * b) & (line[:, 0] < span[1] * b)])

    floor = part(0.02, 0.25)
    rim = part(-0.62, -1.0)
    rim[:, 0] += np.linspace(-0.30, 0.30, len(rim)) * b  # the edges slope
    sheet.fill(np.concatenate([rim, floor[::-1]]), t.FLUID, cover=False)
    placode = floor + np.stack([np.zeros(len(floor)), rng.normal(0, 0.012, len(floor)) * b], axis=1)
    sheet.stroke(placode, max(0.6, 0.05 * b), t.RAGGED._replace(specular=0.08))
    if "sac" in lesion.signs:
        middle = floor[len(floor) // 2]
        wide, high = 0.5 * (floor[-1, 0] - floor[0, 0]) * 0.92, float(rng.uniform(0.35, 0.6)) * b
        dome = arc(middle[0], middle[1] - 0.02 * b, wide, high, span=(pi, 2.0 * pi))
        sheet.fill(dome, t.FLUID)
        sheet.stroke(dome, max(0.6, 0.035 * b), t.MEMBRANE)


def _splayed(sheet: Canvas, patient: Patient, lesion: Lesion, r: float) -> None:
    """Laminae turned outwards in a V or U, a trough open to the fluid, no skin."""
    rng = patient.stream(45)
    spread = float(rng.uniform(0.24, 0.34))
    mouth = np.array(
        [
            (-spread - 0.10, -1.08),
            (spread + 0.10, -1.08),
            (spread * 0.85, -0.74),
            (0.10, -0.56),
            (-0.10, -0.56),
            (-spread * 0.85, -0.74),
        ]
    )
    sheet.fill(mouth * r, t.FLUID, cover=False)
    turn = float(rng.uniform(0.75, 1.15))
    for side in (-1.0, 1.0):
        sheet.fill(ellipse(side * (spread * 0.82) * r, -0.70 * r, 0.135 * r, 0.045 * r, turn=-side * turn), t.BONE)
    sheet.stroke(curve((-0.16 * r, -0.60 * r), (0.0, -0.545 * r), (0.16 * r, -0.60 * r)), 0.045 * r, t.RAGGED)
    if "sac" in lesion.signs:
        wide = spread + float(rng.uniform(0.05, 0.15))
        dome = arc(0.0, -0.74 * r, wide * r, float(rng.uniform(0.42, 0.62)) * r, span=(pi, 2.0 * pi))
        sheet.fill(dome, t.FLUID)
        sheet.stroke(dome, max(0.6, 0.035 * r), t.MEMBRANE)


def _viscera(sheet: Canvas, patient: Patient, r: float) -> None:
    """Chest (lungs and heart) or belly (liver, stomach, kidneys), whichever this patient's cut meets."""
    rng = patient.stream(46)
    if rng.random() < 0.4:
        for side in (-1.0, 1.0):
            sheet.fill(ellipse(side * 0.48 * r, 0.02 * r, 0.34 * r, 0.50 * r), t.ORGAN._replace(echo_db=-1.0))
        sheet.fill(ellipse(-0.1 * r, 0.32 * r, 0.36 * r, 0.28 * r, turn=0.5), t.BODY._replace(echo_db=-3.0))
        for x, y in ((-0.2, 0.25), (0.0, 0.38), (-0.05, 0.2), (-0.25, 0.42)):
            sheet.fill(ellipse(x * r, y * r, 0.075 * r, 0.085 * r), t.FLUID)
    else:
        sheet.fill(ellipse(0.30 * r, 0.20 * r, 0.50 * r, 0.50 * r), t.ORGAN._replace(echo_db=-1.5))
        if rng.random() < 0.8:
            sheet.fill(
                ellipse(-0.45 * r, 0.15 * r, rng.uniform(0.12, 0.24) * r, rng.uniform(0.10, 0.18) * r, turn=0.5),
                t.FLUID,
            )
        for side in (-1.0, 1.0):
            sheet.fill(
                ellipse(side * 0.40 * r, -0.38 * r, 0.20 * r, 0.15 * r, turn=side * 0.4), t.ORGAN._replace(echo_db=-8.0)
            )
            sheet.fill(ellipse(side * 0.37 * r, -0.38 * r, 0.07 * r, 0.035 * r, turn=side * 0.4), t.FLUID)
    sheet.fill(ellipse(0.04 * r, -0.22 * r, 0.06 * r, 0.06 * r), t.FLUID)
