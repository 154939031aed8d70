"""How a patient is looked at: machine, settings, pose and surroundings. Nothing here knows the class."""

from __future__ import annotations

from dataclasses import dataclass
from math import pi

import numpy as np
from numpy.random import Generator, default_rng

from edge_cns.data.phantom.anatomy import AXIAL_PLANES, Patient
from edge_cns.data.phantom.machines import MACHINES, SITES, Machine, overlay_text
from edge_cns.data.phantom.physics import Echo, Probe
from edge_cns.data.phantom.planes import extent_mm

__all__ = ["Pose", "View", "draw_view"]


@dataclass(frozen=True, slots=True)
class Pose:
    """Where the fetus lies: its centre in mm from the probe's face, turned by ``turn`` radians, mirrored or not."""

    x: float
    y: float
    turn: float
    flip: bool


@dataclass(frozen=True, slots=True)
class View:
    """All nuisances of one frame.

    Attributes:
        seed: of the noise that is not tissue.
        machine: whose screen.
        site: where.
        probe: geometry and sound.
        echo: disturbances.
        pose: of the fetus.
        gain_db: added before log compression.
        dynamic_range_db: shown range.
        wall_mm: depth of the mother's tissue above the uterus.
        cavity: half axes of the amniotic cavity, mm.
        placenta: whether the cavity's far or near wall is thick placenta (``near``, ``far`` or none).
        text: burned-in lines.
        callipers: whether a measurement is on the screen.
        moment: number of the frame in a sweep; only electronic noise depends on it.
    """

    seed: int
    machine: Machine
    site: str
    probe: Probe
    echo: Echo
    pose: Pose
    gain_db: float
    dynamic_range_db: float
    wall_mm: float
    cavity: tuple[float, float]
    placenta: str
    text: tuple[str, ...]
    callipers: bool
    moment: int = 0


def draw_view(
    patient: Patient, plane: str, seed: int, *, machine: Machine | None = None, site: str | None = None, size: int = 256
) -> View:
    """Draw the nuisances of a frame from ``seed`` and the size of the normal anatomy only.

    Args:
        patient: only the dimensions are used.
        plane: decides the usual presentation.
        seed: 0 or more.
        machine, site: drawn when ``None``.
        size: side of the picture, which sets the density of the beams.
    """
    rng = default_rng([seed, 3])
    chosen = MACHINES[int(rng.integers(len(MACHINES)))] if machine is None else machine
    place = SITES[int(rng.integers(len(SITES)))] if site is None else site
    width, height = extent_mm(patient, plane)
    turn = _turn(plane, rng)
    reach_x = float(np.hypot(width * np.cos(turn), height * np.sin(turn)))
    reach_y = float(np.hypot(width * np.sin(turn), height * np.cos(turn)))
    wall = float(rng.uniform(6.0, 16.0)) + 0.10 * patient.breadth_mm
    wall += max(0.0, _standoff(chosen, reach_x, reach_y) - wall) * float(rng.uniform(0.5, 1.0))
    fluid = float(rng.choice((rng.uniform(1.04, 1.15), rng.uniform(1.15, 1.9)), p=(0.4, 0.6)))
    cavity = (reach_x * fluid * float(rng.uniform(1.05, 1.3)), reach_y * fluid)
    y = wall + cavity[1] - float(rng.uniform(0.0, 0.85)) * (cavity[1] - reach_y)
    depth = (y + reach_y) * float(rng.uniform(1.06, 1.32)) + 6.0
    low, high = chosen.megahertz
    mhz = float(np.clip(480.0 / depth * rng.uniform(0.85, 1.2), low, high))
    probe = Probe(
        radius_mm=chosen.radius_mm,
        angle_deg=chosen.angle_deg,
        depth_mm=depth,
        frequency_mhz=mhz,
        focus_mm=y + float(rng.uniform(-0.5, 0.8)) * reach_y,
        aperture_mm=chosen.aperture_mm,
        rows=round(1.75 * size),
        beams=round(0.70 * size),
    )
    return View(
        seed=seed,
        machine=chosen,
        site=place,
        probe=probe,
        echo=_echo(rng),
        pose=Pose(float(rng.normal(0.0, 0.10)) * reach_x, y, turn, bool(rng.random() < 0.5)),
        gain_db=float(np.clip(rng.normal(-34.0, 5.0), -42.0, -25.0)),
        dynamic_range_db=chosen.dynamic_range_db * float(rng.uniform(0.85, 1.2)),
        wall_mm=wall,
        cavity=cavity,
        placenta=str(rng.choice(("near", "far", ""), p=(0.3, 0.3, 0.4))),
        text=overlay_text(chosen, place, mhz, rng),
        callipers=bool(rng.random() < 0.2),
    )


def _turn(plane: str, rng: Generator) -> float:
    """Presentation: heads mostly lie across the beam, backs mostly face the probe, and anything happens."""
    usual, sideways, around = (
        float(rng.normal(0.0, 0.27)),
        float(rng.choice((-0.5, 0.5))) * pi,
        float(rng.uniform(-pi, pi)),
    )
    upside_down, kind = bool(rng.random() < 0.5), float(rng.random())
    if plane in AXIAL_PLANES:
        return around if kind < 0.15 else usual + (pi if upside_down else 0.0)
    if kind < 0.62:
        return usual
    if kind < 0.82:
        return usual + (sideways if plane != "spine_sagittal" else pi)
    return usual + pi if plane != "coronal_face" else around


def _standoff(machine: Machine, reach_x: float, reach_y: float) -> float:
    """Depth from which the anatomy fits between the outer beams."""
    half = np.deg2rad(0.5 * machine.angle_deg)
    return float(0.8 * reach_x / np.tan(half) - machine.radius_mm - 0.7 * reach_y)


def _echo(rng: Generator) -> Echo:
    return Echo(
        noise_db=float(rng.uniform(-62.0, -50.0)),
        haze_db=float(rng.uniform(-40.0, -29.0)),
        near_db=float(rng.uniform(-4.0, 8.0)),
        compensation=float(rng.uniform(0.85, 1.12)),
        bone=float(rng.uniform(0.6, 1.5)),
        mirror=float(np.exp(rng.uniform(np.log(0.35), np.log(1.3)))),
    )
