"""Four imaginary machines: their transducers, their grey curves, and what they write on the screen."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from edge_cns.errors import BadInputError

__all__ = ["MACHINES", "SITES", "Machine", "draw_overlay", "machine_named", "overlay_text"]


@dataclass(frozen=True, slots=True)
class Machine:
    """A transducer and the looks of its screen.

    Attributes:
        name: goes into the ``device`` column.
        radius_mm: curvature of the transducer; small for a sector probe.
        angle_deg: field of view.
        megahertz: lowest and highest centre frequency.
        aperture_mm: active aperture.
        dynamic_range_db: shown range.
        gamma: of the grey curve.
        looks: frequency-compounded looks; 1 leaves the speckle fully developed.
        scale: side of the depth scale, ``left``, ``right`` or none.
        bar: whether a grey bar is drawn.
        text: corner of the burned-in text, or none.
    """

    name: str
    radius_mm: float
    angle_deg: float
    megahertz: tuple[float, float]
    aperture_mm: float
    dynamic_range_db: float
    gamma: float
    looks: int
    scale: str
    bar: bool
    text: str


MACHINES = (
    Machine("curved-60", 60.0, 66.0, (2.5, 5.5), 22.0, 60.0, 1.35, 2, "right", True, "right"),
    Machine("curved-45", 45.0, 74.0, (3.0, 7.0), 20.0, 56.0, 1.2, 1, "left", False, "left"),
    Machine("wide-40", 40.0, 88.0, (3.0, 8.0), 24.0, 64.0, 1.5, 2, "right", True, ""),
    Machine("sector-12", 12.0, 86.0, (2.5, 5.0), 17.0, 58.0, 1.3, 1, "left", False, "right"),
)
SITES = ("north", "south", "west")
"""Imaginary sites; each has its own heading on the screen."""


def machine_named(name: str) -> Machine:
    """Look a machine up.

    Raises:
        BadInputError: unknown name.
    """
    for machine in MACHINES:
        if machine.name == name:
            return machine
    raise BadInputError(f"the phantom has no machine {name!r}; choose one of {', '.join(m.name for m in MACHINES)}")


def draw_overlay(
    pixels: NDArray[np.uint8],
    machine: Machine,
    lines: tuple[str, ...],
    *,
    mm_per_pixel: float,
    top: int,
    depth_mm: float,
    callipers: tuple[tuple[int, int], ...],
) -> None:
    """Burn text, depth scale, grey bar and callipers into a picture, in place.

    Args:
        pixels: uint8 ``(size, size)``.
        machine: whose screen.
        lines: text; empty for none.
        mm_per_pixel: of the picture.
        top: row of depth 0.
        depth_mm: shown depth.
        callipers: ends ``(x, y)`` of a measurement in pixels, or empty.
    """
    size = pixels.shape[0]
    unit = size / 256.0
    if machine.scale:
        x = round(3 * unit) if machine.scale == "left" else size - round(4 * unit)
        for i in range(int(depth_mm // 10) + 1):
            y = round(top + 10.0 * i / mm_per_pixel)
            length = round((4 if i % 5 == 0 else 2) * unit)
            cv2.line(pixels, (x, y), (x + (length if machine.scale == "left" else -length), y), 170, 1)
    if machine.bar:
        ramp = np.linspace(255, 0, round(48 * unit)).astype(np.uint8)[:, None]
        wide, start = max(2, round(3 * unit)), round(20 * unit)
        pixels[start : start + len(ramp), round(2 * unit) : round(2 * unit) + wide] = ramp
    for i, line in enumerate(lines):
        scale = 0.52 * unit
        wide = cv2.getTextSize(line, cv2.FONT_HERSHEY_PLAIN, scale, 1)[0][0]
        x = round(8 * unit) if machine.text == "left" else size - wide - round(8 * unit)
        cv2.putText(pixels, line, (x, round((10 + 8 * i) * unit)), cv2.FONT_HERSHEY_PLAIN, scale, 190, 1, cv2.LINE_AA)
    arm = max(2, round(2.5 * unit))
    for x, y in callipers:
        cv2.line(pixels, (x - arm, y), (x + arm, y), 235, 1)
        cv2.line(pixels, (x, y - arm), (x, y + arm), 235, 1)
    if len(callipers) == 2:
        _dots(pixels, callipers[0], callipers[1], 4 * unit)


def overlay_text(machine: Machine, site: str, mhz: float, rng: Generator) -> tuple[str, ...]:
    """What this machine writes in the corner of a frame."""
    if not machine.text:
        return ()
    lines = (f"SITE {site.upper()}", f"OB {mhz:.1f}MHz", f"Gn {rng.integers(-6, 7)}", f"MI {rng.uniform(0.6, 1.3):.1f}")
    return lines[: int(rng.integers(2, 5))]


def _dots(pixels: NDArray[np.uint8], start: tuple[int, int], stop: tuple[int, int], step: float) -> None:
    count = max(2, int(np.hypot(stop[0] - start[0], stop[1] - start[1]) / step))
    for f in np.linspace(0.0, 1.0, count)[1:-1]:
        x, y = round(start[0] + f * (stop[0] - start[0])), round(start[1] + f * (stop[1] - start[1]))
        if 0 <= x < pixels.shape[1] and 0 <= y < pixels.shape[0]:
            pixels[y, x] = 200
