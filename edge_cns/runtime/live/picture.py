"""What can be told of a frame before the engine has seen it."""

from __future__ import annotations

import zlib

import cv2
import numpy as np

from edge_cns.contract import InputSpec
from edge_cns.grey import Grey
from edge_cns.preprocess import Prepared, fit_within

__all__ = ["blank", "digest"]

_BLACK = 10  # grey levels: nothing brighter is no picture
_FLAT = 1.5  # grey levels of standard deviation: the blue screen of a capture card, a grey card


def digest(image: Grey) -> int:
    """Of the network's image: two frames with one digest show the network the same.

    A clock that ticks beside a frozen image changes the frame, but not this.
    """
    return zlib.crc32(image.data)


def blank(prepared: Prepared, spec: InputSpec) -> str:
    """Why there is no picture in a frame, one line; empty if there is one."""
    x, y, width, height = fit_within(prepared.region.width, prepared.region.height, spec)
    picture = prepared.image[y : y + height, x : x + width]
    _, brightest, _, _ = cv2.minMaxLoc(picture)
    if brightest <= _BLACK:
        return "the image is black"
    mean, deviation = cv2.meanStdDev(picture)
    if deviation.item() <= _FLAT:
        return f"the image is all one grey ({np.rint(mean.item()):.0f})"
    return ""
