"""IMAGE: what its 72 bytes say, whether a frame can be made of it, and the pixels as frames have them.

Protocol document: image.md of https://github.com/openigtlink/OpenIGTLink/tree/master/Documents/Protocol.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_cns.errors import BadInputError
from edge_cns.frames import MAX_SIDE, MIN_SIDE
from firmware_bridge.igtl.wire import Buffer

__all__ = ["IMAGE_SIZE", "Part", "Picture", "Sent", "parse_image", "picture"]

Sent: TypeAlias = NDArray[Any]
"""Pixels as they are sent: ``(rows, columns)`` or ``(rows, columns, 3)``, of any byte order."""

IMAGE_SIZE = 72
"""Bytes of an IMAGE before its pixels."""

_IMAGE = struct.Struct(">HBBBB3H12f3H3H")
_NAMES = {2: "int8", 4: "int16", 6: "int32", 7: "uint32", 10: "float32", 11: "float64"}
_INT16 = 4
_DTYPES = {3: "u1", _INT16: "i2", 5: "u2"}
_BIG = 1
_COLOUR = 3
_LARGEST_MM = 1000.0  # a pixel of a metre is no spacing


@dataclass(frozen=True, slots=True)
class Part:
    """The pixels of one IMAGE: all of a two-dimensional image, or a rectangle of it.

    Attributes:
        shape: of the whole image: rows and columns.
        at: row and column of the part's first pixel.
        rows, columns: of the part.
        components: 1 for grey, 3 for RGB.
        dtype: of the pixels as they are sent, with their byte order.
        mm_per_pixel: along x and along y, or ``None`` where the matrix has no lengths.
    """

    shape: tuple[int, int]
    at: tuple[int, int]
    rows: int
    columns: int
    components: int
    dtype: np.dtype[Any]
    mm_per_pixel: tuple[float, float] | None

    @property
    def whole(self) -> bool:
        """Whether it is all of the image."""
        return (self.rows, self.columns) == self.shape

    @property
    def bytes(self) -> int:
        """Size of the pixels."""
        return self.rows * self.columns * self.components * self.dtype.itemsize

    def empty(self) -> Sent:
        """Room for the pixels: ``(rows, columns)`` or ``(rows, columns, 3)``. Unused memory costs nothing."""
        size = (self.rows, self.columns)
        return np.empty(size if self.components == 1 else (*size, self.components), self.dtype)


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """An image as a frame needs it.

    Attributes:
        pixels: ``(H, W)`` grey or ``(H, W, 3)`` BGR; uint8 or uint16 of this machine's byte order; read-only.
        mm_per_pixel: along x and along y, or ``None``.
        bits_stored: 15 for int16, which has no negative pixels here; else ``None``.
    """

    pixels: NDArray[np.uint8] | NDArray[np.uint16]
    mm_per_pixel: tuple[float, float] | None
    bits_stored: int | None


def parse_image(data: Buffer, pixel_bytes: int) -> Part:
    """Read the 72 bytes before the pixels.

    A two-dimensional image has one direction of a single pixel; rows and columns are the other two, in their order.

    Args:
        data: 72 bytes.
        pixel_bytes: that follow them.

    Raises:
        BadInputError: no frame can be made of it; the text says why and what to send instead.
    """
    values = _IMAGE.unpack(data)
    _, components, scalar, endian, _ = values[:5]
    size, matrix, start, extent = values[5:8], values[8:20], values[20:23], values[23:26]
    if components not in (1, _COLOUR):
        raise BadInputError(f"image has {components} components; send 1 (grey) or 3 (RGB)")
    if scalar not in _DTYPES:
        raise BadInputError(f"image is {_NAMES.get(scalar, f'of scalar type {scalar}')}; send uint8, uint16 or int16")
    thin = [axis for axis in (2, 1, 0) if size[axis] == 1]
    if not thin:
        raise BadInputError(f"image is a volume of {size[0]}x{size[1]}x{size[2]}; send its slices one at a time")
    x, y = (axis for axis in range(3) if axis != thin[0])
    if min(size[x], size[y]) < MIN_SIDE or max(size[x], size[y]) > MAX_SIDE:
        raise BadInputError(f"image is {size[x]}x{size[y]} px; both sides must be {MIN_SIDE} to {MAX_SIDE} px")
    if any(a + n > most or n < 1 for a, n, most in zip(start, extent, size, strict=True)):
        raise BadInputError(f"part of {extent[x]}x{extent[y]} px at {start[x]}, {start[y]} lies outside its image")
    dtype = np.dtype(_DTYPES[scalar]).newbyteorder(">" if endian == _BIG else "<")
    spacing = _spacing(matrix, x), _spacing(matrix, y)
    part = Part(
        shape=(size[y], size[x]),
        at=(start[y], start[x]),
        rows=extent[y],
        columns=extent[x],
        components=components,
        dtype=dtype,
        mm_per_pixel=None if 0.0 in spacing else spacing,
    )
    if part.bytes != pixel_bytes:
        raise BadInputError(f"image of {part.columns}x{part.rows} px needs {part.bytes} bytes, {pixel_bytes} came")
    return part


def _spacing(matrix: tuple[float, ...], axis: int) -> float:
    """Length of the axis's vector, in mm; 0 where it is no spacing."""
    length = math.hypot(*matrix[3 * axis : 3 * axis + 3])
    return length if 0.0 < length <= _LARGEST_MM else 0.0


def picture(pixels: Sent, part: Part) -> Picture:
    """Pixels as a frame has them: this machine's byte order, BGR, unsigned. Grey is not copied.

    Args:
        pixels: as `Part.empty` made them, filled. They are no longer the caller's.
        part: that they are of.

    Raises:
        BadInputError: int16 pixels below zero, which no frame has.
    """
    own = pixels.dtype.newbyteorder("=")
    if pixels.dtype != own:
        pixels = pixels.byteswap(inplace=True).view(own)
    bits = None
    if own == np.int16:
        if pixels.min() < 0:
            raise BadInputError("image is int16 with pixels below zero; send uint8 or uint16")
        pixels, bits = pixels.view(np.uint16), 15
    if part.components == _COLOUR:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    pixels.flags.writeable = False
    return Picture(pixels, part.mm_per_pixel, bits)
