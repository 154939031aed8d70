"""Imaging modes that a grey-scale classifier cannot read: colour over the image, and two images side by side.

Both are judged on the pixels, because a video cable or a clip says nothing of its mode. Tinted greys are no colour:
many scanners show B mode in sepia or blue, where colour follows brightness; in colour Doppler it does not.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_cns.frames import Frame, Region

__all__ = ["COLOUR", "DUAL", "is_coloured", "is_dual", "unreadable_mode"]

COLOUR = "colour over the image (Doppler?): only grey-scale images can be classified"
DUAL = "two images side by side: show one of them alone"

_SAMPLES = 128  # px along the region's longer side that colour is looked for on
_LEVELS = 16  # of brightness, for each of which a tint has one colour
_STRONG = 36  # levels of chroma away from the tint: JPEG and scaling leave less than half of it
_SHARE = 0.004  # of the region: callipers, a logo and a focus mark are smaller
_ALIKE = 0.6  # smaller over larger side of two images of one dual view
_LARGE = 0.08  # of the frame, that each of them fills at least
_OVERLAP = 8  # one over the share of their width by which boxes overlap that were found with a margin


def unreadable_mode(frame: Frame, parts: Sequence[Region], region: Region) -> str:
    """Why a frame cannot be read, one line; empty if it can.

    Args:
        frame: any frame.
        parts: what `edge_cns.region.find_parts` found in it; empty where the machine or the contract names the region.
        region: the part that would be classified.
    """
    if is_dual(parts, frame.pixels.shape[1], frame.pixels.shape[0]):
        return DUAL
    crop = frame.pixels[region.y : region.y + region.height, region.x : region.x + region.width]
    return COLOUR if is_coloured(crop) else ""


def is_coloured(pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> bool:
    """Whether enough pixels have a colour of their own, beside the tint that all pixels of their brightness share.

    Args:
        pixels: ``(H, W)`` grey, which never is, or ``(H, W, 3)`` BGR.
    """
    if pixels.ndim == 2:
        return False
    step = max(1, max(pixels.shape[:2]) // _SAMPLES)
    sample = pixels[::step, ::step]
    if sample.dtype == np.uint16:
        sample = (sample >> 8).astype(np.uint8)
    ycrcb = np.asarray(cv2.cvtColor(np.ascontiguousarray(sample), cv2.COLOR_BGR2YCrCb), np.int16).reshape(-1, 3)
    luma, chroma = ycrcb[:, 0], ycrcb[:, 1:]
    if int(np.abs(chroma - 128).max()) < _STRONG:  # grey that came as three channels: the usual case
        return False
    level = (luma >> 4).astype(np.intp)
    tint = np.full((_LEVELS, 2), 128.0)
    for k in np.unique(level):
        tint[k] = np.median(chroma[level == k], axis=0)
    distance = np.abs(chroma - tint[level]).max(axis=1)
    return bool((distance >= _STRONG).mean() >= _SHARE)


def is_dual(parts: Sequence[Region], width: int, height: int) -> bool:
    """Whether what lies left and right of a gap are two images of one size at one height.

    Args:
        parts: separate dense parts of the frame; a shadow may have split an image into several.
        width, height: of the frame, px.
    """
    if len(parts) < 2:
        return False
    ordered = sorted(parts, key=lambda part: part.x)
    return any(_two_images(ordered[:cut], ordered[cut:], width * height) for cut in range(1, len(ordered)))


def _two_images(left: Sequence[Region], right: Sequence[Region], size: int) -> bool:
    boxes = []
    for parts in (left, right):
        x, y = min(part.x for part in parts), min(part.y for part in parts)
        x1, y1 = max(part.x + part.width for part in parts), max(part.y + part.height for part in parts)
        boxes.append((x, y, x1 - x, y1 - y))
    (x, y, w, h), (x2, y2, w2, h2) = boxes
    if min(w * h, w2 * h2) < _LARGE * size or x + w > x2 + min(w, w2) // _OVERLAP:
        return False
    alike = min(w, w2) >= _ALIKE * max(w, w2) and min(h, h2) >= _ALIKE * max(h, h2)
    return alike and min(y + h, y2 + h2) - max(y, y2) >= _ALIKE * max(h, h2)
