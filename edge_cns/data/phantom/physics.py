"""A B-mode simulator in beam space: depth down the rows, beams along the columns.

Scatterers are circular complex Gaussian noise weighted by the tissue's echo, so that the envelope of homogeneous
tissue is Rayleigh distributed (Wagner, Smith, Sandrik and Lopez, 1983). The pulse and the beam are a separable
point-spread function applied to the demodulated signal; the beam widens away from its focus like a Gaussian beam.
Interfaces add a coherent echo that depends on the angle of incidence. Attenuation is summed along each beam, in
dB / cm / MHz and twice, so that bone shadows and fluid enhances what lies behind.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import radians

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["Echo", "Maps", "Probe", "beam_points", "envelope", "lateral_fwhm_mm", "log_compress", "scan_convert"]

Maps = NDArray[np.float32]
SPEED_MM_US = 1.54
_CYCLES = 4.0  # length of the transmitted pulse
_MAX_LOSS_DB = 90.0
_SOFT = 0.3  # dB / cm / MHz that time-gain compensation assumes: fundamental 0.5, less for what harmonics save


@dataclass(frozen=True, slots=True)
class Probe:
    """Geometry and sound of one setting of a transducer.

    Attributes:
        radius_mm: of curvature; a sector probe has a small one.
        angle_deg: field of view.
        depth_mm: shown depth.
        frequency_mhz: centre frequency.
        focus_mm, aperture_mm: focal depth and active aperture; their ratio is the f-number.
        rows, beams: size of the grid.
    """

    radius_mm: float
    angle_deg: float
    depth_mm: float
    frequency_mhz: float
    focus_mm: float
    aperture_mm: float
    rows: int = 448
    beams: int = 180

    @property
    def row_mm(self) -> float:
        """Depth between rows."""
        return self.depth_mm / self.rows

    @property
    def beam_rad(self) -> float:
        """Angle between beams."""
        return radians(self.angle_deg) / (self.beams - 1)

    def depths_mm(self) -> NDArray[np.float32]:
        """Depth of each row, ``(rows,)``."""
        return ((np.arange(self.rows) + 0.5) * self.row_mm).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Echo:
    """What disturbs the signal.

    Attributes:
        noise_db: electronic noise at the transducer, dB relative to soft tissue at depth 0.
        haze_db: reverberation behind bone, dB relative to the bone.
        near_db: reverberation in the near field, dB relative to soft tissue.
        compensation: time-gain compensation, as a multiple of what soft tissue loses.
        bone: factor on attenuation above soft tissue: how deep shadows are.
        mirror: factor on specular echoes: how much brighter than its speckle an interface is.
    """

    noise_db: float = -48.0
    haze_db: float = -34.0
    near_db: float = 0.0
    compensation: float = 1.0
    bone: float = 1.0
    mirror: float = 1.0


@lru_cache(maxsize=8)
def beam_points(probe: Probe) -> tuple[Maps, Maps]:
    """Where each sample lies: x to the right and y away from the probe's face, mm, each ``(rows, beams)``."""
    r = probe.radius_mm + probe.depths_mm()[:, None]
    theta = (np.arange(probe.beams, dtype=np.float32) - 0.5 * (probe.beams - 1)) * np.float32(probe.beam_rad)
    return (r * np.sin(theta)).astype(np.float32), (r * np.cos(theta) - np.float32(probe.radius_mm)).astype(np.float32)


def lateral_fwhm_mm(probe: Probe) -> NDArray[np.float32]:
    """Beam width at each depth: wavelength times f-number at the focus, widening off it as a Gaussian beam."""
    wave = SPEED_MM_US / probe.frequency_mhz
    number = np.maximum(probe.focus_mm / probe.aperture_mm, 1.5)
    waist = wave * number
    # Depth of field: 8 wavelengths x f-number squared.
    field = 8.0 * wave * number**2
    off = (probe.depths_mm() - probe.focus_mm) / field
    return np.asarray(waist * np.sqrt(1.0 + off**2), np.float32)


def envelope(probe: Probe, maps: Maps, scatter: Maps, clutter: Maps, echo: Echo) -> Maps:
    """Envelope after time-gain compensation, linear, 1 for unattenuated soft tissue on average (rms).

    Args:
        probe: geometry and sound.
        maps: float32 ``(rows, beams, 3)``: echo dB, attenuation dB / cm / MHz, specular reflectivity.
        scatter: float32 ``(rows, beams, 2 L)``: real and imaginary standard normal noise of L looks that are averaged.
        clutter: float32 ``(rows, beams, 2)``: noise for what is not in the tissue.
        echo: disturbances.
    """
    level = cv2.exp(np.ascontiguousarray(maps[..., 0]) * np.float32(np.log(10.0) / 20.0))
    mirror = np.ascontiguousarray(maps[..., 2])
    facing = _facing(probe, mirror)
    # Rough bone still scatters when it is met at a slant, but much less.
    level *= 1.0 - np.minimum(mirror, 1.0) * (1.0 - (0.10 + 0.90 * facing))
    coherent = mirror * facing * np.float32(40.0 * echo.mirror)
    lost = _round_trip_db(probe, np.ascontiguousarray(maps[..., 1]), echo.bone)
    through = cv2.exp(lost * np.float32(-np.log(10.0) / 20.0))
    sent = level * through
    looks = scatter.shape[2] // 2
    signal = scatter * (sent[..., None] * np.float32(np.sqrt(0.5)))
    signal[..., 0::2] += (coherent * through)[..., None] * 0.25
    blurred = _spread(probe, signal)
    noise = clutter * (_unwanted(probe, coherent * through, level.shape, echo) * np.float32(np.sqrt(0.5)))[..., None]
    noise = _spread(probe, noise)
    power = np.zeros(level.shape, np.float32)
    for look in range(looks):
        re = blurred[..., 2 * look] + noise[..., 0]
        im = blurred[..., 2 * look + 1] + noise[..., 1]
        power += cv2.magnitude(re, im)
    power /= looks
    gain = echo.compensation * probe.frequency_mhz * 2.0 * _SOFT / 10.0 * probe.depths_mm()
    return np.asarray(power * np.exp(gain * np.log(10.0) / 20.0)[:, None], np.float32)


def log_compress(signal: Maps, gain_db: float, dynamic_range_db: float, gamma: float = 1.0) -> Maps:
    """Grey levels 0 to 255 as float32: ``dynamic_range_db`` below full scale is black."""
    db = cv2.log(np.maximum(signal, np.float32(1e-9))) * np.float32(20.0 / np.log(10.0)) + np.float32(gain_db)
    grey = np.clip(1.0 + db / np.float32(dynamic_range_db), 0.0, 1.0) ** np.float32(gamma)
    return np.asarray(grey * np.float32(255.0), np.float32)


def scan_convert(probe: Probe, values: Maps, size: int, mm_per_pixel: float, top: int) -> Maps:
    """Turn ``(rows, beams)`` into a fan in a square picture; 0 outside it.

    Args:
        probe: geometry.
        values: float32, 1 channel.
        size: side of the picture in pixels.
        mm_per_pixel: of the picture.
        top: row of the picture on which the middle beam starts.
    """
    beam, row = _fan_lookup(probe, size, mm_per_pixel, top)
    return np.asarray(
        cv2.remap(values, beam, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0), np.float32
    )


@lru_cache(maxsize=8)
def _fan_lookup(probe: Probe, size: int, mm_per_pixel: float, top: int) -> tuple[Maps, Maps]:
    x, y = np.meshgrid(
        (np.arange(size, dtype=np.float32) - 0.5 * (size - 1)) * np.float32(mm_per_pixel),
        (np.arange(size, dtype=np.float32) - top + 0.5) * np.float32(mm_per_pixel) + np.float32(probe.radius_mm),
    )
    r, theta = cv2.cartToPolar(y, x)
    signed = np.where(theta > np.pi, theta - np.float32(2.0 * np.pi), theta)
    beam = signed / np.float32(probe.beam_rad) + np.float32(0.5 * (probe.beams - 1))
    row = (r - np.float32(probe.radius_mm)) / np.float32(probe.row_mm) - np.float32(0.5)
    return beam.astype(np.float32), row.astype(np.float32)


def _facing(probe: Probe, mirror: Maps) -> Maps:
    """Mirror-like reflection, 0 to 1, by the angle between beam and surface normal (structure tensor)."""
    pitch = (np.float32(probe.radius_mm) + probe.depths_mm()) * np.float32(probe.beam_rad)
    # Sharp edges would look steeper along the beam, where samples are denser: blur by the same length both ways.
    reach = 0.9 * float(np.median(pitch))
    smooth = cv2.GaussianBlur(mirror, (0, 0), sigmaX=0.9, sigmaY=reach / probe.row_mm)
    down = cv2.Sobel(smooth, cv2.CV_32F, 0, 1, ksize=3) / np.float32(probe.row_mm)
    across = cv2.Sobel(smooth, cv2.CV_32F, 1, 0, ksize=3) / pitch[:, None]
    window = (3, max(3, round(2.0 * reach / probe.row_mm) | 1))
    down2 = cv2.blur(down * down, window)
    across2 = cv2.blur(across * across, window)
    cosine2 = (down2 + 1e-6) / (down2 + across2 + np.float32(1e-6))
    return np.asarray(cosine2 * cosine2 * cosine2, np.float32)


def _round_trip_db(probe: Probe, attenuation: Maps, bone: float) -> Maps:
    """Loss there and back to each sample; shadows have soft edges because the aperture looks around things."""
    soft = np.float32(0.6)
    attenuation = np.where(attenuation > soft, soft + (attenuation - soft) * np.float32(bone), attenuation)
    step = attenuation * np.float32(2.0 * probe.frequency_mhz * probe.row_mm / 10.0)
    lost = np.cumsum(step, axis=0, dtype=np.float32) - step
    return np.asarray(
        np.minimum(cv2.GaussianBlur(lost, (0, 0), sigmaX=1.3, sigmaY=0.6), np.float32(_MAX_LOSS_DB)), np.float32
    )


def _unwanted(probe: Probe, bright: Maps, shape: tuple[int, ...], echo: Echo) -> Maps:
    """Level of reverberation behind bone, of the near field, and of electronic noise."""
    near = probe.depths_mm()[:, None]
    level = np.full(shape, 10.0 ** (echo.noise_db / 20.0), np.float32)
    rings = 1.0 + 0.6 * np.cos(2.0 * np.pi * near / np.float32(3.1))
    level += np.float32(10.0 ** (echo.near_db / 20.0)) * np.exp(-near / np.float32(4.5)) * rings
    tail = np.exp(-np.arange(round(26.0 / probe.row_mm), dtype=np.float32) * np.float32(probe.row_mm / 9.0))
    tail *= np.float32(probe.row_mm * 10.0 ** (echo.haze_db / 20.0))
    kernel = np.concatenate([np.zeros(len(tail) - 1, np.float32), tail])[::-1].copy()
    level += cv2.sepFilter2D(bright, cv2.CV_32F, np.ones(1, np.float32), kernel, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(level, np.float32)


def _spread(probe: Probe, signal: Maps) -> Maps:
    """Apply the pulse along the rows and the beam across them; white noise keeps its power."""
    length = _CYCLES * SPEED_MM_US / probe.frequency_mhz / 2.0  # full width at half maximum of the echo
    sigma = max(0.55, length / 2.355 / probe.row_mm)
    axial = _unit_energy(sigma)
    widths = lateral_fwhm_mm(probe) / 2.355 / ((probe.radius_mm + probe.depths_mm()) * probe.beam_rad)
    widths = np.maximum(widths, 0.6)
    low, high = float(widths.min()), float(widths.max()) * 1.001
    nodes = np.geomspace(low, max(high, low * 1.02), 4)
    place = np.interp(widths, nodes, np.arange(4.0)).astype(np.float32)
    total = np.zeros_like(signal)
    for i, node in enumerate(nodes):
        weight = np.clip(1.0 - np.abs(place - np.float32(i)), 0.0, 1.0)
        rows = np.flatnonzero(weight)
        if rows.size == 0:
            continue
        first, last = max(0, rows[0] - len(axial)), min(probe.rows, rows[-1] + len(axial) + 1)
        part = cv2.sepFilter2D(signal[first:last], cv2.CV_32F, _unit_energy(node), axial, borderType=cv2.BORDER_REFLECT)
        total[first:last] += part * weight[first:last, None, None]
    return total


def _unit_energy(sigma: float) -> Maps:
    reach = max(1, round(3.0 * sigma))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    return np.asarray(kernel / np.sqrt((kernel**2).sum()), np.float32)
