"""A frame of ultrasound, and the protocol of whatever delivers frames."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge_cns.errors import BadInputError

__all__ = ["MAX_SIDE", "MIN_SIDE", "Frame", "FrameSource", "Region", "check_pixels"]

MIN_SIDE = 64
"""Smallest side of a frame, in pixels: below it speckle and anatomy cannot be told apart."""
MAX_SIDE = 8192
"""Largest side of a frame, in pixels: twice 4K, and a cap on what hostile input can make us allocate."""


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle of a frame, in pixels: left edge, top edge, width and height."""

    x: int
    y: int
    width: int
    height: int

    def __post_init__(self) -> None:
        if self.x < 0 or self.y < 0 or self.width < 1 or self.height < 1:
            raise BadInputError(f"region {self} is not inside a frame; give x, y >= 0 and width, height >= 1")


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One image as a machine, a file or a network delivered it. Frames are values: nobody writes to them.

    Attributes:
        pixels: ``(H, W)`` grey or ``(H, W, 3)`` BGR; uint8 or uint16; both sides 64 to 8192 px.
        captured_ns: capture time, ``CLOCK_MONOTONIC`` nanoseconds.
        sequence: number that the source counts up by one for each frame it produces.
        mm_per_pixel: spacing along x and along y in mm, where the source knows it.
        region: where the ultrasound image lies, where the source knows it (DICOM, the machine itself).
        bits_stored: significant bits of a uint16 pixel (DICOM's Bits Stored); ``None`` means all 16.

    Raises:
        BadInputError: another shape or dtype, or a side out of range.
    """

    pixels: NDArray[np.uint8] | NDArray[np.uint16]
    captured_ns: int = 0
    sequence: int = 0
    mm_per_pixel: tuple[float, float] | None = None
    region: Region | None = None
    bits_stored: int | None = None

    def __post_init__(self) -> None:
        check_pixels(self.pixels)
        height, width = self.pixels.shape[:2]
        r = self.region
        if r is not None and (r.x + r.width > width or r.y + r.height > height):
            raise BadInputError(f"{r} does not fit a frame of {width}x{height} px; give a region inside it")
        if self.bits_stored is not None and not 8 <= self.bits_stored <= 16:
            raise BadInputError(f"bits_stored is {self.bits_stored}; uint16 frames store 8 to 16 bits")

    @classmethod
    def now(cls, pixels: NDArray[np.uint8] | NDArray[np.uint16], sequence: int = 0) -> Frame:
        """Wrap pixels that were captured just now."""
        return cls(pixels, captured_ns=time.monotonic_ns(), sequence=sequence)


class FrameSource(Protocol):
    """Anything that delivers frames in order. Closing it ends the iteration."""

    def __iter__(self) -> Iterator[Frame]:
        """Yield frames until the source ends or is closed."""

    def close(self) -> None:
        """Release the device, file or socket. May be called twice."""


def check_pixels(pixels: object) -> None:
    """Refuse an array that cannot be a frame.

    Raises:
        BadInputError: not an array, another shape or dtype, or a side out of range; the text names the value.
    """
    if not isinstance(pixels, np.ndarray):
        raise BadInputError(f"a frame is a numpy array, not {type(pixels).__name__}; pass pixels (H, W) or (H, W, 3)")
    if pixels.dtype not in (np.uint8, np.uint16):
        raise BadInputError(f"frame dtype is {pixels.dtype}; convert it to uint8 or uint16")
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] != 3):
        raise BadInputError(f"frame shape is {pixels.shape}; give (H, W) grey or (H, W, 3) BGR")
    height, width = pixels.shape[:2]
    if min(height, width) < MIN_SIDE or max(height, width) > MAX_SIDE:
        raise BadInputError(f"frame is {width}x{height} px; both sides must be {MIN_SIDE} to {MAX_SIDE} px")
