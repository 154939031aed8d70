"""THE way from a frame to the input tensor, shared by training, calibration, evaluation and runtime.

    frame ─► region ─► 8-bit grey ─► resize ─► letterbox ─► uint8 image ─► int8 (p - 128) or float (p / 255)

The result is a ``(height, width)`` uint8 image. Both forms of the tensor are exact functions of it, so whatever
agrees here agrees everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_cns.contract import InputSpec
from edge_cns.errors import BadInputError
from edge_cns.frames import Frame, Region
from edge_cns.grey import Grey, grey8
from edge_cns.mode import unreadable_mode
from edge_cns.region import enclosing, find_parts, find_region

__all__ = [
    "COARSE",
    "FINE",
    "TRIPLE",
    "Prepared",
    "as_float",
    "fit_within",
    "image",
    "prepare",
    "quantise_into",
    "region_of",
    "resize",
]

FINE = 2.3
"""Below this reduction the region is small enough for INTER_AREA itself."""
TRIPLE = 3.4
"""Below this reduction three samples an output pixel; from it on, four."""
COARSE = 8.0
"""From this reduction on, halving first costs less than it blurs."""


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A frame made ready for the network.

    Attributes:
        image: ``(height, width)`` uint8.
        region: the part of the frame that it shows, px of the frame.
        unreadable: why the frame is no view that can be classified, whatever the network says; empty if it may be one.
    """

    image: Grey
    region: Region
    unreadable: str


def prepare(frame: Frame, spec: InputSpec, out: Grey | None = None) -> Prepared:
    """Turn a frame into the network's image, and say where it lies and whether its mode can be read.

    Args, Raises:
        See `image`.
    """
    parts: tuple[Region, ...] = ()
    if spec.region == "auto" and frame.region is None:
        parts = find_parts(frame)
        region = enclosing(parts, frame)
    else:
        region = region_of(frame, spec)
    return Prepared(_render(frame, region, spec, out), region, unreadable_mode(frame, parts, region))


def image(frame: Frame, spec: InputSpec, out: Grey | None = None) -> Grey:
    """Turn a frame into the network's image.

    Args:
        frame: any frame.
        spec: the contract's input.
        out: ``(spec.height, spec.width)`` uint8 to write into; its padding is rewritten too.

    Returns:
        ``(spec.height, spec.width)`` uint8; ``out`` when given.

    Raises:
        BadInputError: the contract's fixed region lies outside the frame.
    """
    return _render(frame, region_of(frame, spec), spec, out)


def _render(frame: Frame, region: Region, spec: InputSpec, out: Grey | None) -> Grey:
    crop = frame.pixels[region.y : region.y + region.height, region.x : region.x + region.width]
    grey = grey8(crop, frame.bits_stored)
    if out is None:
        out = np.empty((spec.height, spec.width), np.uint8)
    x, y, width, height = fit_within(region.width, region.height, spec)
    out[:y] = out[y + height :] = 0
    out[:, :x] = out[:, x + width :] = 0
    resize(grey, out[y : y + height, x : x + width])
    return out


def region_of(frame: Frame, spec: InputSpec) -> Region:
    """The part of the frame that the network sees, px of the frame."""
    height, width = frame.pixels.shape[:2]
    if spec.region == "fixed" and spec.fixed_region is not None:
        region = spec.fixed_region
        if region.x + region.width > width or region.y + region.height > height:
            raise BadInputError(f"the contract's fixed {region} does not fit a frame of {width}x{height} px")
        return region
    if spec.region == "whole":
        return Region(0, 0, width, height)
    return frame.region or find_region(frame)


def fit_within(width: int, height: int, spec: InputSpec) -> tuple[int, int, int, int]:
    """Where an image of ``width`` x ``height`` lands in the tensor: left, top, width, height in tensor px."""
    if not spec.letterbox:
        return 0, 0, spec.width, spec.height
    scale = min(spec.width / width, spec.height / height)
    w, h = (max(1, min(limit, round(side * scale))) for side, limit in ((width, spec.width), (height, spec.height)))
    return (spec.width - w) // 2, (spec.height - h) // 2, w, h


def resize(grey: Grey, out: Grey) -> None:
    """Resize into ``out`` with at most 8 grey levels of difference from INTER_AREA on real frames, but faster.

    A fractional INTER_AREA over a whole region costs as much as half the network. Bilinear samples, three or four
    an output pixel along each axis, averaged, come as near for a fraction of it; `docs/preprocessing.md` has the table.

    Args:
        grey: ``(H, W)`` uint8.
        out: ``(h, w)`` uint8, written; need not be contiguous.
    """
    height, width = out.shape
    reduction = min(grey.shape[0] / height, grey.shape[1] / width)
    while reduction >= COARSE:
        half = (grey.shape[1] + 1) // 2, (grey.shape[0] + 1) // 2
        grey = cv2.resize(grey, half, interpolation=cv2.INTER_LINEAR)  # type: ignore[assignment]  # means of 2x2
        reduction /= 2
    if reduction < 1:
        shrunk = min(width, grey.shape[1]), min(height, grey.shape[0])  # stretched, one side may grow, the other not
        grey = cv2.resize(grey, shrunk, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
        out[:] = cv2.resize(grey, (width, height), interpolation=cv2.INTER_LINEAR)
    elif reduction < FINE:
        out[:] = cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA)
    elif reduction < TRIPLE:
        samples = cv2.resize(grey, (width * 3, height * 3), interpolation=cv2.INTER_LINEAR)
        # The centres of a 3x3 box filter are the 3x3 means: INTER_AREA by three, but vectorised.
        out[:] = cv2.blur(samples, (3, 3))[1::3, 1::3]
    else:
        samples = cv2.resize(grey, (width * 4, height * 4), interpolation=cv2.INTER_LINEAR)
        samples = cv2.resize(samples, (width * 2, height * 2), interpolation=cv2.INTER_AREA)  # by two it is vectorised
        out[:] = cv2.resize(samples, (width, height), interpolation=cv2.INTER_AREA)


def quantise_into(picture: Grey, tensor: NDArray[np.int8]) -> None:
    """Write the int8 input: ``p - 128``, which is the same byte with its top bit flipped.

    Args:
        picture: ``(H, W)`` uint8 from `image`.
        tensor: ``(1, H, W, 1)`` int8, the engine's own memory.
    """
    np.bitwise_xor(picture, 0x80, out=tensor.view(np.uint8).reshape(picture.shape))


def as_float(pictures: Grey) -> NDArray[np.float32]:
    """The float input ``p / 255``: ``(..., H, W)`` uint8 to ``(..., H, W, 1)`` float32 in [0, 1]."""
    return (pictures.astype(np.float32) / np.float32(255))[..., None]
