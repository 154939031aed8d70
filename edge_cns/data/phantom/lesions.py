"""Heads with a lesion, in the axial planes. Each function paints the whole head, or adds to a normal one."""

from __future__ import annotations

from math import pi

import numpy as np

from edge_cns.data.phantom import tissues as t
from edge_cns.data.phantom.anatomy import Lesion, Patient
from edge_cns.data.phantom.canvas import Canvas, Points, arc, curve, ellipse
from edge_cns.data.phantom.head import (
    Skull,
    draw_cavum,
    draw_cerebellum,
    draw_choroid_butterfly,
    draw_normal_brain,
    draw_parenchyma,
    draw_skull,
    draw_ventricle,
)

__all__ = ["draw_abnormal_head"]


def draw_abnormal_head(sheet: Canvas, patient: Patient, lesion: Lesion, plane: str, *, seen: bool) -> None:
    """Paint an axial plane of a patient with a lesion.

    Args:
        sheet: where.
        patient: who.
        lesion: what; ``patient.lesion``.
        plane: one of the three axial planes.
        seen: whether this plane cuts the lesion (an encephalocele may lie elsewhere).
    """
    if patient.label == "anencephaly":
        _anencephaly(sheet, patient, lesion, plane)
    elif patient.label == "holoprosencephaly":
        _holoprosencephaly(sheet, patient, lesion, plane)
    elif patient.label == "encephalocele":
        _encephalocele(sheet, patient, lesion, plane, seen=seen)
    elif patient.label == "rachischisis":
        _open_spine_head(sheet, patient, lesion, plane)
    else:
        _unlisted(sheet, patient, lesion, plane)


def _anencephaly(sheet: Canvas, patient: Patient, lesion: Lesion, plane: str) -> None:
    """No calvarium. Higher cuts show ragged tissue in fluid, lower ones the base of the skull and the orbits."""
    rng = patient.stream(20, len(plane))
    a, b = 0.5 * patient.length_mm * lesion.size, 0.5 * patient.breadth_mm * lesion.size
    early = lesion.subtype == "exencephaly"
    spread = 0.80 if early else 0.46 if plane == "transventricular" else 0.56
    if early:  # irregular lobes of brain, free in the fluid
        for side in (-1.0, 1.0):
            sheet.fill(ellipse(-0.05 * a, side * 0.42 * b, spread * a, 0.50 * b, ripple=_ripple(rng, 0.07)), t.RAGGED)
            sheet.fill(
                ellipse(-0.05 * a, side * 0.40 * b, 0.5 * spread * a, 0.2 * b, ripple=_ripple(rng, 0.06)), t.BRAIN
            )
        return
    for side in (-1.0, 1.0):
        sheet.fill(ellipse(-0.15 * a, side * 0.30 * b, spread * a, 0.42 * b, ripple=_ripple(rng, 0.08)), t.RAGGED)
    if plane == "transventricular":
        for _ in range(4):
            x, y = rng.uniform(-0.5, 0.3) * a, rng.uniform(-0.4, 0.4) * b
            sheet.fill(ellipse(x, y, rng.uniform(0.05, 0.12) * a, rng.uniform(0.05, 0.12) * b), t.FLUID)
        return
    _skull_base(sheet, a, b, orbits=plane == "transthalamic")
    if plane == "transcerebellar":
        sheet.fill(ellipse(-0.45 * a, 0.0, 0.16 * a, 0.22 * b), t.GREY)
        sheet.stroke(arc(-0.42 * a, 0.0, 0.30 * a, 0.42 * b, span=(0.7 * pi, 1.3 * pi)), 0.07 * b, t.BONE)


def _skull_base(sheet: Canvas, a: float, b: float, *, orbits: bool) -> None:
    """Petrous ridges, sphenoid wings, clivus and, in front, the orbits."""
    sheet.fill(ellipse(0.30 * a, 0.0, 0.42 * a, 0.56 * b), t.BODY)
    for side in (-1.0, 1.0):
        sheet.stroke(
            curve((-0.02 * a, side * 0.08 * b), (-0.16 * a, side * 0.34 * b), (-0.22 * a, side * 0.58 * b)),
            0.11 * b,
            t.BONE,
        )
        sheet.stroke(
            curve((0.10 * a, side * 0.08 * b), (0.24 * a, side * 0.36 * b), (0.26 * a, side * 0.60 * b)),
            0.08 * b,
            t.BONE,
        )
        if orbits:
            sheet.fill(
                ellipse(0.52 * a, side * 0.36 * b, 0.17 * a, 0.22 * b), t.BONE._replace(echo_db=10.0, attenuation=2.5)
            )
            sheet.fill(ellipse(0.53 * a, side * 0.36 * b, 0.135 * a, 0.175 * b), t.FLUID._replace(echo_db=-28.0))
    sheet.fill(ellipse(0.04 * a, 0.0, 0.10 * a, 0.08 * b), t.BONE)


def _holoprosencephaly(sheet: Canvas, patient: Patient, lesion: Lesion, plane: str) -> None:
    """One forebrain: how far it is fused depends on the subtype; the cerebellum is normal."""
    skull = Skull(patient, plane, lemon=patient.lemon_outline)
    draw_skull(sheet, patient, skull)
    draw_parenchyma(sheet, patient, skull)
    low = plane == "transcerebellar"
    if lesion.subtype == "alobar":
        _alobar(sheet, patient, lesion, skull, low=low)
    else:
        _fused_front(sheet, patient, lesion, skull, plane)
    if low:
        draw_cerebellum(sheet, patient, skull)


def _alobar(sheet: Canvas, patient: Patient, lesion: Lesion, skull: Skull, *, low: bool) -> None:
    """Crescent monoventricle over fused thalami; no falx, no cavum; sometimes a dorsal cyst."""
    a, b = skull.a, skull.b
    grow = lesion.size
    back = -0.30 if low else -0.72
    tip = 0.46 * grow
    outer = curve(
        (back * a, -0.55 * b),
        (0.05 * a, -0.68 * grow * b),
        (0.36 * a, -0.42 * grow * b),
        (tip * a, 0.0),
        (0.36 * a, 0.42 * grow * b),
        (0.05 * a, 0.68 * grow * b),
        (back * a, 0.55 * b),
    )
    rear = curve((back * a, 0.55 * b), ((back - 0.08) * a, 0.0), (back * a, -0.55 * b))
    sheet.fill(np.concatenate([outer, rear]), t.FLUID)
    sheet.stroke(outer, max(0.4, 0.02 * b), t.WALL)
    if "cyst" in lesion.signs and not low:
        inside = skull.at(np.linspace(0.72 * pi, 1.28 * pi, 40), skull.thickness + 0.04 * b)
        sheet.fill(
            np.concatenate([inside, curve((-0.5 * a, -0.5 * b), (-0.42 * a, 0.0), (-0.5 * a, 0.5 * b))]), t.FLUID
        )
    thalami = ellipse(-0.16 * a, 0.0, 0.28 * a, 0.36 * b, ripple=_ripple(patient.stream(21), 0.03))
    sheet.fill(thalami, t.BRAIN._replace(echo_db=-5.0))
    sheet.stroke(thalami, max(0.4, 0.02 * b), t.WALL)
    for side in (-1.0, 1.0):
        sheet.fill(ellipse(-0.34 * a, side * 0.36 * b, 0.16 * a, 0.10 * b, turn=-side * 0.5), t.CHOROID)


def _fused_front(sheet: Canvas, patient: Patient, lesion: Lesion, skull: Skull, plane: str) -> None:
    """Semilobar and lobar: hemispheres split behind, frontal horns one box across the midline, no cavum."""
    a, b = skull.a, skull.b
    semilobar = lesion.subtype == "semilobar"
    width = max(0.45, 0.022 * b)
    sheet.stroke(curve((-0.90 * a, 0.0), (-0.34 * a, 0.0)), width, t.DURA)
    if not semilobar:
        sheet.stroke(curve((0.62 * a, 0.0), (0.88 * a, 0.0)), width, t.DURA)
    if plane == "transventricular":
        if patient.gestational_age_weeks < 15.0:
            draw_choroid_butterfly(sheet, patient, skull)
        else:
            for side in (-1.0, 1.0):
                draw_ventricle(sheet, skull, side, patient.ventricle_mm * (1.25 if semilobar else 1.0))
    deep, wide = (0.50, 0.44) if semilobar else (0.30, 0.30)
    deep, wide = deep * lesion.size, wide * lesion.size
    front = 0.56 * a
    box = curve(
        (front, -0.75 * wide * b),
        (front - 0.4 * deep * a, -wide * b),
        (front - deep * a, -0.7 * wide * b),
        (front - 0.9 * deep * a, 0.0),
        (front - deep * a, 0.7 * wide * b),
        (front - 0.4 * deep * a, wide * b),
        (front, 0.75 * wide * b),
        (front + 0.04 * a, 0.0),
        (front, -0.75 * wide * b),
    )
    sheet.fill(box, t.FLUID)
    sheet.stroke(box, max(0.4, 0.02 * b), t.WALL)
    if semilobar:
        sheet.fill(ellipse(-0.10 * a, 0.0, 0.22 * a, 0.30 * b, ripple=_ripple(patient.stream(21), 0.03)), t.GREY)
    else:
        for side in (-1.0, 1.0):
            sheet.fill(ellipse(-0.08 * a, side * 0.17 * b, 0.20 * a, 0.15 * b, turn=side * 0.3), t.GREY)


def _encephalocele(sheet: Canvas, patient: Patient, lesion: Lesion, plane: str, *, seen: bool) -> None:
    """A normal head with a gap in the bone and a sac through it; the ventricles are often wide."""
    skull = Skull(patient, plane, lemon=patient.lemon_outline)
    _, neck = _sac_mm(patient, lesion)
    draw_skull(sheet, patient, skull, gap=(lesion.angle, neck) if seen else None)
    draw_normal_brain(sheet, patient, skull, plane)
    if "ventriculomegaly" in lesion.signs and plane == "transventricular":
        _wide_ventricles(sheet, patient, skull, 1.9)
    if seen:
        _sac(sheet, patient, lesion, skull)


def _sac_mm(patient: Patient, lesion: Lesion) -> tuple[float, float]:
    """Radius of the sac and half width of its neck: wider than a suture."""
    radius = 0.62 * lesion.size * patient.breadth_mm
    return radius, max(0.45 * radius, 1.2 * patient.suture_mm)


def _sac(sheet: Canvas, patient: Patient, lesion: Lesion, skull: Skull) -> None:
    rng = patient.stream(22)
    radius, neck = _sac_mm(patient, lesion)
    x, y = skull.point(lesion.angle)
    ux, uy = np.cos(lesion.angle), np.sin(lesion.angle)
    cx, cy = x + 0.80 * radius * ux, y + 0.80 * radius * uy
    stretch, turn = float(rng.uniform(0.85, 1.2)), float(lesion.angle)
    ripple = _ripple(rng, 0.04)

    def shape(scale: float) -> Points:
        return ellipse(cx, cy, scale * radius * stretch, scale * radius, turn=turn, ripple=ripple)

    wall = max(0.8, 0.08 * radius)
    sheet.fill(shape(1.0), t.MEMBRANE._replace(echo_db=8.0, specular=0.25))
    sheet.fill(shape(1.0 - wall / radius), t.FLUID)
    throat = np.array(
        [
            (x + i * ux * radius * 0.5 - j * uy * neck * 0.8, y + i * uy * radius * 0.5 + j * ux * neck * 0.8)
            for i, j in ((-0.5, -1), (0.6, -1), (0.6, 1), (-0.5, 1))
        ]
    )
    brain = "brain" in lesion.signs
    sheet.fill(throat, t.BRAIN if brain else t.FLUID)
    if brain:
        sheet.fill(
            ellipse(
                cx - 0.12 * radius * ux,
                cy - 0.12 * radius * uy,
                0.66 * radius * stretch,
                0.62 * radius,
                turn=turn,
                ripple=_ripple(rng, 0.07),
            ),
            t.BRAIN._replace(echo_db=-4.0),
        )
        for _ in range(3):
            sheet.stroke(
                ellipse(
                    cx + rng.normal(0, 0.2) * radius,
                    cy + rng.normal(0, 0.2) * radius,
                    0.2 * radius,
                    0.12 * radius,
                    turn=rng.uniform(0, pi),
                )[:30],
                max(0.35, 0.04 * radius),
                t.WALL,
            )


def _open_spine_head(sheet: Canvas, patient: Patient, lesion: Lesion, plane: str) -> None:
    """Cranial signs of an open spine: lemon outline, banana cerebellum with no cisterna magna."""
    skull = Skull(patient, plane, lemon="lemon" in lesion.signs or patient.lemon_outline)
    draw_skull(sheet, patient, skull)
    if plane != "transcerebellar" or "banana" not in lesion.signs:
        draw_normal_brain(sheet, patient, skull, plane)
        return
    draw_parenchyma(sheet, patient, skull)
    a, b, width = skull.a, skull.b, 0.88 * patient.cerebellum_mm
    sheet.stroke(curve((-0.15 * a, 0.0), (0.25 * a, 0.0)), max(0.45, 0.022 * b), t.DURA)
    sheet.stroke(curve(((0.58 if patient.csp_mm else 0.25) * a, 0.0), (0.88 * a, 0.0)), max(0.45, 0.022 * b), t.DURA)
    for side in (-1.0, 1.0):
        sheet.fill(ellipse(-0.08 * a, side * 0.16 * b, 0.17 * a, 0.15 * b, turn=side * 0.3), t.GREY)
    sheet.fill(ellipse(-0.50 * a, 0.0, 0.26 * a, 0.30 * b), t.GREY)
    if "effaced" not in lesion.signs:
        rear = -a + skull.thickness + 0.03 * b
        middle = (
            np.array([(0.30, -0.50), (0.12, -0.40), (0.02, -0.2), (0.0, 0.0), (0.02, 0.2), (0.12, 0.40), (0.30, 0.50)])
            * width
        )
        line = curve(*((rear + 0.13 * width + x, y) for x, y in middle))
        sheet.stroke(line, 0.25 * width, t.VERMIS._replace(specular=0.1))
        sheet.stroke(line, 0.16 * width, t.CEREBELLUM)
    draw_cavum(sheet, patient, skull)


def _wide_ventricles(sheet: Canvas, patient: Patient, skull: Skull, factor: float) -> None:
    for side in (-1.0, 1.0):
        draw_ventricle(sheet, skull, side, min(factor * patient.ventricle_mm, 0.62 * skull.b))


def _unlisted(sheet: Canvas, patient: Patient, lesion: Lesion, plane: str) -> None:
    """Anomalies outside the default classes."""
    skull = Skull(patient, plane, lemon=patient.lemon_outline)
    if patient.label == "cystic_hygroma":
        _hygroma(sheet, skull, lesion)
    draw_skull(sheet, patient, skull)
    if patient.label == "hydranencephaly":
        a, b = skull.a, skull.b
        sheet.fill(skull.loop(skull.thickness), t.FLUID)
        sheet.stroke(curve((-0.90 * a, 0.0), (0.1 * a, 0.01 * b), (0.90 * a, 0.0)), max(0.45, 0.022 * b), t.DURA)
        sheet.fill(ellipse(-0.12 * a, 0.0, 0.20 * a, 0.26 * b), t.BRAIN)
        if plane == "transcerebellar":
            draw_cerebellum(sheet, patient, skull)
        return
    draw_normal_brain(sheet, patient, skull, plane)
    if patient.label == "ventriculomegaly":
        _wide_ventricles(sheet, patient, skull, 2.4 * lesion.size)


def _hygroma(sheet: Canvas, skull: Skull, lesion: Lesion) -> None:
    """Two septated cysts behind an intact occiput."""
    a, b = skull.a, skull.b
    r = 0.45 * b * lesion.size
    for side in (-1.0, 1.0):
        cyst = ellipse(-1.0 * a - 0.35 * r, side * 0.8 * r, 1.1 * r, 0.85 * r)
        sheet.fill(cyst, t.FLUID)
        sheet.stroke(cyst, max(0.6, 0.04 * b), t.MEMBRANE)
        sheet.stroke(curve((-a - 1.2 * r, side * 0.5 * r), (-a, side * 1.2 * r)), max(0.4, 0.02 * b), t.MEMBRANE)


def _ripple(rng: np.random.Generator, depth: float) -> Points:
    return np.stack([rng.uniform(0.2, 1.0, 5) * depth, rng.uniform(0.0, 2.0 * pi, 5)], axis=1)
