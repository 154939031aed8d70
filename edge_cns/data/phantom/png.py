"""PNG files that say in their metadata what they are."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_cns.errors import BadInputError

__all__ = ["encode_png", "read_text"]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def encode_png(pixels: NDArray[np.uint8], **text: str) -> bytes:
    """Encode a picture with ``tEXt`` chunks (PNG specification, section 11.3.4.3) right after the header.

    Args:
        pixels: uint8 ``(H, W)`` or ``(H, W, 3)`` BGR.
        text: keyword and Latin-1 text of each chunk.
    """
    ok, encoded = cv2.imencode(".png", pixels)
    assert ok, "OpenCV encodes any uint8 picture"
    content = encoded.tobytes()
    header = len(_SIGNATURE) + 25  # IHDR is 13 bytes of data with length, type and checksum
    chunks = b"".join(
        _chunk(b"tEXt", key.encode("latin-1") + b"\0" + value.encode("latin-1")) for key, value in text.items()
    )
    return content[:header] + chunks + content[header:]


def read_text(content: bytes) -> dict[str, str]:
    """Read all ``tEXt`` chunks.

    Raises:
        BadInputError: not a PNG, or a chunk that is cut short.
    """
    if not content.startswith(_SIGNATURE):
        raise BadInputError(f"not a PNG file: it starts with {content[:8]!r}; give the PNG as it was written")
    found: dict[str, str] = {}
    at = len(_SIGNATURE)
    while at + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, at)
        kind, data = content[at + 4 : at + 8], content[at + 8 : at + 8 + length]
        if len(data) < length:
            raise BadInputError(f"PNG chunk at byte {at} is cut short; fetch the file again")
        if kind == b"tEXt" and b"\0" in data:
            key, value = data.split(b"\0", 1)
            found[key.decode("latin-1")] = value.decode("latin-1")
        at += 12 + length
    return found


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
