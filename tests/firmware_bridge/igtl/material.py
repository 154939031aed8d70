"""Messages as senders make them, written apart from the product's own encoder, and a stream in memory."""

from __future__ import annotations

import struct

import numpy as np

from firmware_bridge.igtl.reading import Message, Reader
from firmware_bridge.igtl.wire import encode

SCALARS = {"int8": 2, "uint8": 3, "int16": 4, "uint16": 5, "int32": 6, "float32": 10}


class Memory:
    """Bytes as a stream; what is asked for behind their end is an error, as of a peer that stops."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def begin(self, view: memoryview) -> bool:
        if self.at == len(self.data):
            return False
        self.fill(view)
        return True

    def expect(self, size: int) -> None:
        """Memory keeps nobody waiting."""

    def fill(self, view: memoryview) -> None:
        piece = self.data[self.at : self.at + len(view)]
        view[: len(piece)] = piece
        self.at += len(piece)
        if len(piece) < len(view):
            raise ConnectionError("the connection ended within a message")


def read_all(data: bytes, *, wanted: bool = True) -> list[Message]:
    """Every message of a stream."""
    reader = Reader(Memory(data), lambda: wanted)
    found = []
    while (message := reader.read()) is not None:
        found.append(message)
    return found


def image(
    pixels: np.ndarray,
    *,
    size: tuple[int, int, int] | None = None,
    at: tuple[int, int, int] = (0, 0, 0),
    extent: tuple[int, int, int] | None = None,
    spacing: tuple[float, float, float] = (0.5, 0.25, 1.0),
    components: int | None = None,
    scalar: int | None = None,
) -> bytes:
    """Content of an IMAGE: ``(H, W)`` or ``(H, W, 3)`` RGB, in the array's own byte order."""
    height, width = pixels.shape[:2]
    extent = extent or (width, height, 1)
    matrix = np.zeros(12)
    matrix[[0, 4, 8]] = spacing
    little = pixels.dtype.newbyteorder("<") == pixels.dtype
    head = struct.pack(
        ">HBBBB3H12f3H3H",
        1,
        components or (1 if pixels.ndim == 2 else pixels.shape[2]),
        scalar or SCALARS[pixels.dtype.name],
        2 if little else 1,
        1,
        *(size or extent),
        *matrix,
        *at,
        *extent,
    )
    return head + pixels.tobytes()


def grey(height: int = 64, width: int = 80, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8)


def image_message(pixels: np.ndarray, *, version: int = 1, metadata: dict[str, str] | None = None, **options) -> bytes:
    return encode("IMAGE", "Probe", image(pixels, **options), version=version, metadata=metadata)


def flipped(data: bytes, at: int) -> bytes:
    """The bytes with one bit of another value."""
    changed = bytearray(data)
    changed[at] ^= 0x10
    return bytes(changed)
