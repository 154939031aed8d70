"""Live phantom frames, and a short film of each class: a sweep through the six planes with a moving fetus."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from math import pi, sin
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_cns.data.phantom.anatomy import PLANES, Patient, draw_patient, visible_signs
from edge_cns.data.phantom.planes import Section, extent_mm, section
from edge_cns.data.phantom.rendering import Rendering, render_sections
from edge_cns.data.phantom.view import Pose, View, draw_view
from edge_cns.errors import OperationError

__all__ = ["SECONDS_PER_PLANE", "frames", "sweep", "telling_patient", "write_clip"]

SECONDS_PER_PLANE = 1.1
_MOVE = 0.32  # share of that time in which the hand moves on to the next plane
_BAND = 44  # height of the caption under the picture
_CODEC = "mp4v"


def frames(label: str, *, fps: float = 15.0, seed: int = 0, size: int = 256) -> Iterator[Rendering]:
    """Live frames of a patient of a class, without end: the source behind ``synthetic://phantom``.

    Args:
        label: a name from :data:`edge_cns.data.phantom.CLASSES` or ``UNLISTED``.
        fps: frames a second of the imagined machine; the caller paces them.
        seed: the same seed gives the same film.
        size: side of the picture.

    Raises:
        BadInputError: unknown label, negative seed, size out of range.
    """
    return sweep(telling_patient(label, seed), seed, fps=fps, size=size)


def telling_patient(label: str, seed: int) -> Patient:
    """Of sixteen mid-trimester patients, the one whose lesion most planes show."""
    candidates = [draw_patient(label, 16 * seed + i, gestational_age_weeks=20.0 + 0.25 * i) for i in range(16)]
    return max(candidates, key=lambda p: sum(bool(visible_signs(p, plane)) for plane in PLANES))


def sweep(patient: Patient, seed: int, *, fps: float, size: int) -> Iterator[Rendering]:
    """Pass from plane to plane for ever, under one probe setting."""
    cuts: dict[str, Section] = {}
    views = _views(patient, seed)
    number = 0
    while True:
        seconds = number / fps
        index, into = divmod(seconds / SECONDS_PER_PLANE, 1.0)
        here, there = PLANES[int(index) % len(PLANES)], PLANES[(int(index) + 1) % len(PLANES)]
        share = _ease((into - 1.0 + _MOVE) / _MOVE)
        for plane in (here, there):
            if plane not in cuts:
                cuts[plane] = section(patient, plane)
        mixed = ((cuts[here], 1.0 - share), (cuts[there], share)) if share > 0.0 else ((cuts[here], 1.0),)
        view = replace(
            views[here], pose=_drift(_between(views[here].pose, views[there].pose, share), seconds), moment=number
        )
        yield render_sections(patient, here if share < 0.5 else there, view, mixed, size=size)
        number += 1


def write_clip(path: Path, label: str, *, seed: int = 0, fps: int = 15, size: int = 480) -> int:
    """Write one sweep through the planes as MP4, captioned as a phantom.

    Args:
        path: of the new file.
        label: class.
        seed, fps, size: see :func:`frames`.

    Returns:
        Number of frames.

    Raises:
        OperationError: OpenCV cannot write MP4 here.
    """
    count = round(SECONDS_PER_PLANE * len(PLANES) * fps)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*_CODEC), float(fps), (size, size + _BAND))
    if not writer.isOpened():
        raise OperationError(
            f"OpenCV cannot write {path.name} as {_CODEC}; free its disk, or install an opencv-python with FFmpeg"
        )
    try:
        for rendering in islice(frames(label, fps=fps, seed=seed, size=size), count):
            writer.write(_captioned(rendering))
    finally:
        writer.release()
    return count


def _views(patient: Patient, seed: int) -> dict[str, View]:
    """One machine, depth and womb for the whole sweep; a pose for each plane."""
    base = draw_view(patient, "transthalamic", seed)
    width, height = extent_mm(patient, "transthalamic")
    room = replace(base, cavity=(1.35 * width, 1.3 * height), callipers=False, gain_db=-33.0, placenta="near")
    middle = room.wall_mm + 1.25 * height
    probe = replace(room.probe, depth_mm=middle + 2.4 * height, focus_mm=middle)
    room = replace(room, probe=probe, echo=replace(room.echo, mirror=1.0))
    turns = dict(zip(PLANES, (0.08, -0.05, 0.10, 0.0, 0.04, -0.06), strict=True))
    return {plane: replace(room, pose=Pose(0.0, middle, turn, base.pose.flip)) for plane, turn in turns.items()}


def _between(a: Pose, b: Pose, share: float) -> Pose:
    return Pose(a.x + share * (b.x - a.x), a.y + share * (b.y - a.y), a.turn + share * (b.turn - a.turn), a.flip)


def _drift(pose: Pose, seconds: float) -> Pose:
    """The hand wanders, the mother breathes, the fetus stirs."""
    x = 2.2 * sin(2 * pi * 0.21 * seconds) + 0.7 * sin(2 * pi * 0.53 * seconds)
    y = 1.4 * sin(2 * pi * 0.27 * seconds + 1.0)
    return Pose(pose.x + x, pose.y + y, pose.turn + 0.07 * sin(2 * pi * 0.17 * seconds), pose.flip)


def _ease(share: float) -> float:
    """0 below 0, 1 above 1, smooth between."""
    s = min(1.0, max(0.0, share))
    return s * s * (3.0 - 2.0 * s)


def _captioned(rendering: Rendering) -> NDArray[np.uint8]:
    """Caption below the picture, never on it: the film must not tell a classifier the answer."""
    size = rendering.pixels.shape[0]
    out = np.zeros((size + _BAND, size, 3), np.uint8)
    out[:size] = rendering.pixels[..., None]
    patient = rendering.patient
    first = f"{patient.label}  |  {rendering.plane.replace('_', ' ')}  |  {patient.gestational_age_weeks:.0f} weeks"
    second = "PHANTOM - research use only" + (f"  |  sign: {', '.join(rendering.signs)}" if rendering.signs else "")
    for i, (line, colour) in enumerate(((first, (235, 235, 235)), (second, (90, 200, 255)))):
        place = (10, size + 17 + 18 * i)
        cv2.putText(out, line, place, cv2.FONT_HERSHEY_SIMPLEX, 0.42, colour, 1, cv2.LINE_AA)
    return out
