"""Variation that another scanner, probe or operator would bring, and no other.

There is no vertical flip: near field is up, and shadows fall down. Aspect changes by up to 30 % either way, since
scanners differ in how they store pixels. What leaves the picture is black, as a letterbox is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from edge_cns.grey import Grey

__all__ = ["Augmentation", "augment"]


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Ranges; each value is drawn uniformly (ratios on a logarithmic scale).

    Attributes:
        aspect: largest ratio of width to height change, 1.3 being 30 %.
        zoom: smallest and largest magnification.
        rotation_degrees: largest rotation either way.
        shift: largest shift either way, as a share of the side.
        horizontal_flip, vertical_flip: probabilities.
        gamma: largest exponent of the grey curve, or its inverse.
        contrast: largest factor on grey levels, or its inverse.
        brightness: largest change of grey level either way, as a share of full scale.
    """

    aspect: float = 1.35
    zoom: tuple[float, float] = (0.9, 1.2)
    rotation_degrees: float = 12.0
    shift: float = 0.05
    horizontal_flip: float = 0.5
    vertical_flip: float = 0.0
    gamma: float = 1.4
    contrast: float = 1.3
    brightness: float = 0.06


def augment(picture: Grey, settings: Augmentation, random: np.random.Generator) -> Grey:
    """Vary a network image.

    Args:
        picture: ``(H, W)`` uint8.
        settings: ranges.
        random: source of chance; the same state gives the same image.

    Returns:
        ``(H, W)`` uint8.
    """
    height, width = picture.shape
    matrix = _geometry(width, height, settings, random)
    warped = cv2.warpAffine(picture, matrix, (width, height), flags=cv2.INTER_LINEAR, borderValue=0)
    return np.asarray(cv2.LUT(warped, _grey_curve(settings, random)), np.uint8)


def _geometry(width: int, height: int, settings: Augmentation, random: np.random.Generator) -> np.ndarray:
    aspect = math.exp(random.uniform(-1, 1) * math.log(settings.aspect))
    zoom = random.uniform(*settings.zoom)
    # The longer side keeps its length, as it does in a letterbox.
    scale_x, scale_y = min(aspect, 1.0) * zoom, min(1 / aspect, 1.0) * zoom
    scale_x *= -1 if random.random() < settings.horizontal_flip else 1
    scale_y *= -1 if random.random() < settings.vertical_flip else 1
    angle = math.radians(random.uniform(-1, 1) * settings.rotation_degrees)
    rotation = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    linear = rotation @ np.diag([scale_x, scale_y])
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    shift = random.uniform(-settings.shift, settings.shift, 2) * (width, height)
    return np.column_stack([linear, centre - linear @ centre + shift])


def _grey_curve(settings: Augmentation, random: np.random.Generator) -> Grey:
    gamma = math.exp(random.uniform(-1, 1) * math.log(settings.gamma))
    contrast = math.exp(random.uniform(-1, 1) * math.log(settings.contrast))
    brightness = random.uniform(-1, 1) * settings.brightness
    levels = np.arange(256) / 255
    curve = levels**gamma * contrast + brightness * (levels > 0.02)  # black stays black
    return np.asarray(np.clip(curve * 255, 0, 255), np.uint8)
