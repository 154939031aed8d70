"""What the first bytes of an image file promise, read before any decoder is let near the rest.

A small file can declare billions of pixels, and a file that a full disk or a broken copy cut short can still
decode to grey bands. Both are found here, cheaply: PNG chunks with their checksums, JPEG markers to the
end-of-image marker, the BMP header, and the first directory of a TIFF. References: PNG (ISO/IEC 15948) clause 5,
JPEG (ITU-T T.81) annex B, TIFF 6.0 section 2.
"""

from __future__ import annotations

import re
import struct
import zlib
from dataclasses import dataclass

from edge_cns.errors import BadInputError

__all__ = ["IMAGE_SUFFIXES", "Header", "read_header"]

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".dcm")
"""File names that a folder search takes for images, in lower case. The content decides what a file is."""

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Start-of-frame markers: C0 to CF without Huffman tables, the JPEG extension and arithmetic conditioning."""
_JPEG_NEXT_MARKER = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])")
"""A marker within entropy-coded data: neither a stuffed zero nor a restart."""
_TIFF_TYPES = {1: "B", 3: "H", 4: "I"}


@dataclass(frozen=True, slots=True)
class Header:
    """What an image file says of itself.

    Attributes:
        format: ``png``, ``jpeg``, ``bmp`` or ``tiff``.
        width: declared columns, in pixels.
        height: declared rows, in pixels.
    """

    format: str
    width: int
    height: int


def read_header(data: bytes) -> Header:
    """Read format and size from the bytes of an image file.

    Args:
        data: the whole file, so that a cut end is noticed.

    Raises:
        BadInputError: another format, a broken or cut structure, or a TIFF of several pages. The text starts
            with a verb ("is cut short ..."), for a caller to put the name of the file before it.
    """
    try:
        if data.startswith(_PNG):
            return _png(data)
        if data.startswith(b"\xff\xd8\xff"):
            return _jpeg(data)
        if data.startswith(b"BM"):
            return _bmp(data)
        if data[:4] in (b"II*\0", b"MM\0*"):
            return _tiff(data)
    except (struct.error, IndexError):
        raise BadInputError("is cut short or damaged; copy it again from its source") from None
    raise BadInputError("is not a PNG, JPEG, BMP, TIFF or DICOM image; convert it, or remove its row")


def _png(data: bytes) -> Header:
    """Walk the chunks to IEND and check each one's CRC-32."""
    width, height = struct.unpack_from(">II", data, 16)
    at = len(_PNG)
    while True:
        (length,) = struct.unpack_from(">I", data, at)
        kind = data[at + 4 : at + 8]
        (stored,) = struct.unpack_from(">I", data, at + 8 + length)
        if zlib.crc32(memoryview(data)[at + 4 : at + 8 + length]) != stored:
            raise BadInputError(f"is damaged (PNG checksum at byte {at}); copy it again from its source")
        if at == len(_PNG) and kind != b"IHDR":
            raise BadInputError("is damaged (PNG without IHDR); copy it again from its source")
        if kind == b"IEND":
            return Header("png", width, height)
        at += length + 12


def _jpeg(data: bytes) -> Header:
    """Walk the segments: the first start-of-frame has the size; an end-of-image marker must follow."""
    size: Header | None = None
    at = 2
    while True:
        found = _JPEG_NEXT_MARKER.search(data, at)
        if found is None or (found[1] == b"\xd9" and size is None):
            raise BadInputError("is cut short (JPEG without its end); copy it again from its source")
        marker, at = found[1][0], found.end()
        if marker == 0xD9 and size is not None:
            return size
        if marker in (0x01, 0xD8):
            continue
        (length,) = struct.unpack_from(">H", data, at)
        if marker in _JPEG_FRAMES and size is None:
            height, width = struct.unpack_from(">HH", data, at + 3)
            size = Header("jpeg", width, height)
        at += length


def _bmp(data: bytes) -> Header:
    """Read the OS/2 or the Windows information header; a negative height means rows from the top."""
    (header_size,) = struct.unpack_from("<I", data, 14)
    if header_size == 12:
        width, height = struct.unpack_from("<HH", data, 18)
    else:
        width, height = struct.unpack_from("<ii", data, 18)
    return Header("bmp", abs(width), abs(height))


def _tiff(data: bytes) -> Header:
    """Read width and height (tags 256 and 257) from the only directory."""
    order = "<" if data[:2] == b"II" else ">"
    (directory,) = struct.unpack_from(order + "I", data, 4)
    (entries,) = struct.unpack_from(order + "H", data, directory)
    sizes = {256: 0, 257: 0}
    for entry in range(directory + 2, directory + 2 + 12 * entries, 12):
        tag, kind, _ = struct.unpack_from(order + "HHI", data, entry)
        if tag in sizes and kind in _TIFF_TYPES:
            (value,) = struct.unpack_from(order + _TIFF_TYPES[kind], data, entry + 8)
            sizes[tag] = max(sizes[tag], value)
    (following,) = struct.unpack_from(order + "I", data, directory + 2 + 12 * entries)
    if following:
        raise BadInputError("has several pages (TIFF); save each frame as its own file")
    return Header("tiff", sizes[256], sizes[257])
