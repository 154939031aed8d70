"""A sheet of tissue in millimetres: what the sound meets. Drawn with anti-aliased polygons, later sampled by beams."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

__all__ = ["Canvas", "Points", "Tissue", "arc", "curve", "ellipse"]

Points = NDArray[np.float64]
"""``(N, 2)`` points in mm."""

_FLUID_BELOW_DB = -25.0
_SHIFT = 4  # fractional bits of polygon vertices in OpenCV


class Tissue(NamedTuple):
    """Acoustic properties.

    Attributes:
        echo_db: mean backscatter, dB relative to soft tissue.
        attenuation: dB / cm / MHz, one way.
        specular: mirror-like reflectivity, 0 to 1 (1 is bone at normal incidence).
    """

    echo_db: float
    attenuation: float
    specular: float = 0.0


class Canvas:
    """Square maps of tissue around an origin, painted in order: what is painted later covers what is below.

    Attributes:
        maps: float32 ``(N, N, 4)``: echo dB, attenuation, specular reflectivity, cover (0 where nothing was painted).
        half_mm: from the origin to an edge.
        pitch_mm: mm per pixel of the maps.
    """

    def __init__(self, half_mm: float, pixels: int, ground: Tissue) -> None:
        self.half_mm = half_mm
        self.pitch_mm = 2.0 * half_mm / pixels
        self.maps: NDArray[np.float32] = _blank(pixels, ground).copy()

    def fill(self, points: Points, tissue: Tissue, *, opacity: float = 1.0, cover: bool = True) -> None:
        """Paint a polygon. ``cover=False`` makes a hole: what surrounds the fetus shows through."""
        pixels = (points + self.half_mm) / self.pitch_mm - 0.5
        size = self.maps.shape[0]
        low = np.clip(np.floor(pixels.min(axis=0)) - 1, 0, size).astype(int)
        high = np.clip(np.ceil(pixels.max(axis=0)) + 2, 0, size).astype(int)
        if (high <= low).any():
            return
        mask = np.zeros((high[1] - low[1], high[0] - low[0]), np.uint8)
        vertices = np.round((pixels - low) * (1 << _SHIFT)).astype(np.int32)
        cv2.fillPoly(mask, [vertices], 255, cv2.LINE_AA, _SHIFT)
        alpha = mask.astype(np.float32)[..., None] * np.float32(opacity / 255.0)
        window = self.maps[low[1] : high[1], low[0] : high[0]]
        window += alpha * (np.array((*tissue, float(cover)), np.float32) - window)

    def stroke(self, points: Points, width_mm: float, tissue: Tissue, *, opacity: float = 1.0) -> None:
        """Paint a ribbon along a line; close a loop by repeating its first point."""
        ahead = np.gradient(points, axis=0)
        ahead /= np.maximum(np.hypot(ahead[:, :1], ahead[:, 1:]), 1e-9)
        side = np.stack([-ahead[:, 1], ahead[:, 0]], axis=1) * (0.5 * width_mm)
        self.fill(np.concatenate([points + side, (points - side)[::-1]]), tissue, opacity=opacity)

    def roughen(self, rng: Generator, depth_db: float, grain_mm: float) -> None:
        """Vary the echo of solid tissue smoothly, at ``grain_mm`` and at a third of it: it is never homogeneous."""
        size = self.maps.shape[0]
        field = np.zeros((size, size), np.float32)
        for grain in (grain_mm, grain_mm / 3.0):
            coarse = max(8, round(2.0 * self.half_mm / grain))
            cells = rng.standard_normal((coarse, coarse), dtype=np.float32) * np.float32(depth_db)
            field += cv2.resize(cells, (size, size), interpolation=cv2.INTER_LINEAR)
        echo = np.ascontiguousarray(self.maps[..., 0])
        field[echo < _FLUID_BELOW_DB] = 0.0
        self.maps[..., 0] = echo + field


@lru_cache(maxsize=2)
def _blank(pixels: int, ground: Tissue) -> NDArray[np.float32]:
    maps = np.empty((pixels, pixels, 4), np.float32)
    maps[:] = (*ground, 0.0)
    return maps


def ellipse(x: float, y: float, rx: float, ry: float, *, turn: float = 0.0, ripple: Points | None = None) -> Points:
    """Outline of an ellipse; ``ripple`` ``(K, 2)`` holds amplitude and phase of harmonics 2, 3, ... of its radius."""
    phi = np.linspace(0.0, 2.0 * np.pi, 65)
    radius = np.ones_like(phi)
    for order, (amplitude, phase) in enumerate(() if ripple is None else ripple, start=2):
        radius += amplitude * np.cos(order * phi + phase)
    u, v = rx * radius * np.cos(phi), ry * radius * np.sin(phi)
    return np.stack([x + u * np.cos(turn) - v * np.sin(turn), y + u * np.sin(turn) + v * np.cos(turn)], axis=1)


def arc(x: float, y: float, rx: float, ry: float, *, span: tuple[float, float]) -> Points:
    """Part of an ellipse between two angles in radians."""
    phi = np.linspace(*span, 40)
    return np.stack([x + rx * np.cos(phi), y + ry * np.sin(phi)], axis=1)


def curve(*knots: tuple[float, float]) -> Points:
    """A smooth line through points (Catmull-Rom spline)."""
    p = np.array([knots[0], *knots, knots[-1]], float)
    t = np.linspace(0.0, 1.0, 9)[:, None]
    parts = []
    for a, b, c, d in zip(p[:-3], p[1:-2], p[2:-1], p[3:], strict=True):
        parts.append(0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3))
    return np.concatenate(parts)
