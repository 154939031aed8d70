"""What surrounds the fetus: the mother's abdominal wall, the uterus, amniotic fluid. Independent of the class."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator, default_rng

from edge_cns.data.phantom import tissues as t
from edge_cns.data.phantom.physics import Maps
from edge_cns.data.phantom.view import View

__all__ = ["mother"]


def mother(view: View, x: Maps, y: Maps) -> Maps:
    """Abdominal wall in layers, uterine wall or placenta, amniotic fluid, and what lies behind."""
    rng = default_rng([view.seed, 5])
    maps = np.empty((*x.shape, 3), np.float32)
    depth = view.probe.depths_mm()[:, None]
    wobble = _smooth(rng, x.shape[1], 0.8)
    layers = np.cumsum(rng.uniform(0.6, 1.4, 4))
    layers = layers / layers[-1] * view.wall_mm
    maps[..., 0], maps[..., 1], maps[..., 2] = rng.uniform(-6.0, -1.0), 0.3, 0.0
    for i, (bottom, echo) in enumerate(zip(layers[:-1], rng.permutation([2.5, -4.0, -1.5]), strict=True)):
        top = layers[i - 1] if i else 0.0
        inside = (depth + wobble >= top) & (depth + wobble < bottom)
        maps[..., 0][inside] = echo
        line = np.abs(depth + wobble - bottom) < 0.45
        maps[..., 0][line], maps[..., 2][line] = 5.0, 0.06
    maps[..., 0] += _grain(rng, x.shape, (28, 9), 1.8) + _grain(rng, x.shape, (9, 6), 3.0)
    _cavity(view, x, y, maps, rng)
    return maps


def _cavity(view: View, x: Maps, y: Maps, maps: Maps, rng: Generator) -> None:
    pose = view.pose
    a, b = view.cavity
    middle = view.wall_mm + b
    px, py = (x - np.float32(0.6 * pose.x)) / np.float32(a), (y - np.float32(middle)) / np.float32(b)
    radius, angle = cv2.cartToPolar(px, py)
    for order in (2, 3, 5):
        radius *= 1.0 + np.float32(rng.uniform(0.0, 0.05)) * np.cos(
            np.float32(order) * angle + np.float32(rng.uniform(0, 6.28))
        )
    echo, loss, mirror = maps[..., 0], maps[..., 1], maps[..., 2]
    thick = np.full_like(radius, 4.0 / b)
    if view.placenta:
        sign = np.float32(-1.0 if view.placenta == "near" else 1.0)
        thick += np.float32(rng.uniform(9.0, 20.0) / b) * np.clip(sign * np.sin(angle) * 2.0, 0.0, 1.0)
    wall = (radius >= 1.0) & (radius < 1.0 + thick)
    echo[wall] = np.float32(rng.uniform(-3.0, 3.0)) + 0.4 * (echo[wall] - echo[wall].mean() if wall.any() else 0.0)
    mirror[wall] = 0.0
    lining = np.abs(radius - 1.0) * np.float32(b) < 0.5
    mirror[lining] = 0.05
    fluid = radius < 1.0
    echo[fluid], loss[fluid], mirror[fluid] = t.FLUID.echo_db, t.FLUID.attenuation, 0.0


def _grain(rng: Generator, shape: tuple[int, ...], cells: tuple[int, int], depth_db: float) -> Maps:
    """Smooth random variation of the echo, with so many cells down and across."""
    coarse = rng.standard_normal(cells, dtype=np.float32) * np.float32(depth_db)
    return np.asarray(cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC), np.float32)


def _smooth(rng: Generator, count: int, depth: float) -> Maps:
    knots = rng.standard_normal(7) * depth
    return np.interp(np.linspace(0, 6, count), np.arange(7), knots).astype(np.float32)[None]
