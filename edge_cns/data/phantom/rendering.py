"""One frame: the section is placed under the probe, insonated, compressed and written on a screen."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.random import default_rng
from numpy.typing import NDArray

from edge_cns.data.phantom import tissues as t
from edge_cns.data.phantom.anatomy import Patient
from edge_cns.data.phantom.machines import draw_overlay
from edge_cns.data.phantom.mother import mother
from edge_cns.data.phantom.physics import Maps, Probe, beam_points, envelope, log_compress, scan_convert
from edge_cns.data.phantom.planes import Section, extent_mm, section
from edge_cns.data.phantom.view import View, draw_view
from edge_cns.errors import BadInputError
from edge_cns.frames import Region

__all__ = ["Rendering", "render", "render_sections"]

_TILE = 512  # the field of scatterers repeats after this many samples
_PER_MM = 11.3  # scatterers per mm
_MIN_MASK = 0.0008  # share of the picture below which a lesion cannot be called visible


@dataclass(frozen=True, slots=True, eq=False)
class Rendering:
    """A phantom frame.

    Attributes:
        pixels: uint8 ``(size, size)``.
        lesion_mask: bool ``(size, size)``: where the lesion changed the tissue; all false without one.
        mm_per_pixel: the same along both axes.
        region: smallest rectangle around the fan.
        signs: signs of the lesion that this frame shows; empty means that it cannot be seen.
        patient: who.
        plane: which plane.
        view: all nuisances.
    """

    pixels: NDArray[np.uint8]
    lesion_mask: NDArray[np.bool_]
    mm_per_pixel: float
    region: Region
    signs: tuple[str, ...]
    patient: Patient
    plane: str
    view: View

    @property
    def evidence(self) -> bool:
        """Whether the lesion can be seen on this frame."""
        return bool(self.signs)


def render(patient: Patient, plane: str, view: View | int = 0, *, size: int = 256, lesion: bool = True) -> Rendering:
    """Draw one frame.

    Args:
        patient: who; see :func:`edge_cns.data.phantom.draw_patient`.
        plane: a name from :data:`edge_cns.data.phantom.PLANES`.
        view: nuisances, or a seed to draw them from.
        size: side of the picture, 64 to 1024 px.
        lesion: ``False`` gives the counterfactual twin: same fetus, speckle, pose, machine, without the lesion.

    Raises:
        BadInputError: unknown plane, or a size out of range.
    """
    if not 64 <= size <= 1024:
        raise BadInputError(f"phantom size is {size} px; give 64 to 1024")
    chosen = draw_view(patient, plane, view, size=size) if isinstance(view, int) else view
    cut = section(patient, plane, lesion=lesion, pixels=2 * size)
    return render_sections(patient, plane, chosen, ((cut, 1.0),), size=size)


def render_sections(
    patient: Patient, plane: str, view: View, cuts: tuple[tuple[Section, float], ...], *, size: int = 256
) -> Rendering:
    """Draw a frame from sections made before, mixed by weight (a sweep passes from one plane to the next)."""
    probe = view.probe
    x, y = beam_points(probe)
    maps, changed, scatter = _place(patient, view, cuts, x, y)
    clutter = default_rng([view.seed, 4, view.moment]).standard_normal((probe.rows, probe.beams, 2), dtype=np.float32)
    signal = envelope(probe, maps, scatter, clutter, view.echo)
    grey = log_compress(signal, view.gain_db, view.dynamic_range_db, view.machine.gamma)
    # The ends of a curved probe's face lie higher than its middle.
    lift = probe.radius_mm * float(1.0 - np.cos(np.deg2rad(0.5 * probe.angle_deg)))
    spacing = (probe.depth_mm + lift) / (0.96 * size)
    top = round(0.02 * size + lift / spacing)
    picture = scan_convert(probe, grey, size, spacing, top)
    pixels = np.clip(picture + 0.5, 0.0, 255.0).astype(np.uint8)
    mask = scan_convert(probe, changed, size, spacing, top) > 0.5
    ends = _callipers(patient, plane, view, (spacing, size, top)) if view.callipers else ()
    draw_overlay(
        pixels, view.machine, view.text, mm_per_pixel=spacing, top=top, depth_mm=probe.depth_mm, callipers=ends
    )
    signs = max(cuts, key=lambda c: c[1])[0].signs if mask.mean() > _MIN_MASK else ()
    return Rendering(
        pixels,
        mask,
        spacing,
        _region(probe, size, spacing, top),
        signs,
        patient,
        plane,
        view,
    )


def _place(
    patient: Patient, view: View, cuts: tuple[tuple[Section, float], ...], x: Maps, y: Maps
) -> tuple[Maps, Maps, Maps]:
    """Tissue, change by the lesion, and scatterers at each beam sample: the fetus over what surrounds it."""
    pose = view.pose
    cos, sin = np.float32(np.cos(pose.turn)), np.float32(np.sin(pose.turn))
    dx, dy = x - np.float32(pose.x), y - np.float32(pose.y)
    u, v = cos * dx + sin * dy, cos * dy - sin * dx
    if pose.flip:
        u = -u
    fetus, changed = np.zeros((*x.shape, 4), np.float32), np.zeros(x.shape, np.float32)
    for cut, weight in cuts:
        pitch, half = np.float32(2.0 * cut.half_mm / cut.maps.shape[0]), np.float32(cut.half_mm)
        column, row = (u + half) / pitch - np.float32(0.5), (v + half) / pitch - np.float32(0.5)
        outside = (*t.FLUID, 0.0)
        fetus += np.float32(weight) * cv2.remap(
            cut.maps, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=outside
        )
        changed += np.float32(weight) * cv2.remap(cut.changed, column, row, cv2.INTER_LINEAR)
    maps = mother(view, x, y)
    maps += fetus[..., 3:] * (fetus[..., :3] - maps)
    echo = maps[..., 0]
    np.maximum(echo, np.float32(t.FLUID.echo_db + patient.murk_db), out=echo)
    still = fetus[..., 3] < 0.5
    ours, theirs = _scatterers(patient.seed, u, v), _scatterers(view.seed, x, y)
    column, row = np.where(still, theirs[0], ours[0]), np.where(still, theirs[1], ours[1])
    tile = _tile(2 * view.machine.looks)
    scatter = cv2.remap(tile, column, row, cv2.INTER_NEAREST, borderMode=cv2.BORDER_WRAP).astype(np.float32, copy=False)
    return maps, changed, scatter


@lru_cache(maxsize=2)
def _tile(channels: int) -> Maps:
    return default_rng(6).standard_normal((_TILE, _TILE, channels), dtype=np.float32)


def _scatterers(seed: int, u: Maps, v: Maps) -> tuple[Maps, Maps]:
    """Where in the patch of noise each sample lies: turned and shifted by the seed, fixed to the tissue."""
    rng = default_rng([seed, 7])
    turn, shift = rng.uniform(0.0, 2.0 * np.pi), rng.uniform(0.0, _TILE, 2)
    cos, sin = np.float32(_PER_MM * np.cos(turn)), np.float32(_PER_MM * np.sin(turn))
    return cos * u + sin * v + np.float32(shift[0]), cos * v - sin * u + np.float32(shift[1])


def _callipers(patient: Patient, plane: str, view: View, screen: tuple[float, int, int]) -> tuple[tuple[int, int], ...]:
    """Ends of a measurement across the anatomy's shorter axis, give or take: whatever the class."""
    rng, (spacing, size, top) = default_rng([view.seed, 8]), screen
    _, height = extent_mm(patient, plane)
    pose = view.pose
    angle = pose.turn + 0.5 * np.pi + rng.normal(0.0, 0.15)
    ends = []
    for side in (-1.0, 1.0):
        reach = side * height * rng.uniform(0.85, 1.05)
        x, y = pose.x + reach * np.cos(angle), pose.y + reach * np.sin(angle)
        ends.append((round(x / spacing + 0.5 * size), round(y / spacing + top)))
    return tuple(ends)


def _region(probe: Probe, size: int, spacing: float, top: int) -> Region:
    """Smallest rectangle around the part of the fan that is in the picture."""
    reach = min(
        0.5 * size, (probe.radius_mm + probe.depth_mm) * float(np.sin(np.deg2rad(0.5 * probe.angle_deg))) / spacing
    )
    x, y = int(np.floor(0.5 * size - reach)), round(0.02 * size)
    return Region(
        x, y, int(np.ceil(0.5 * size + reach)) - x, min(size, int(np.ceil(top + probe.depth_mm / spacing))) - y
    )
