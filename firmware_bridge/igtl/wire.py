"""OpenIGTLink on the wire: header, extended header, metadata and checksum. Numbers are big-endian.

A message of header version 1 is header and content. From header version 2 on (protocol 3) it is header, extended
header, content, metadata; size and checksum of the header cover all that follows it. Protocol documents: header.md and
v3_proposal.md of https://github.com/openigtlink/OpenIGTLink/tree/master/Documents/Protocol.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from edge_cns.errors import BadInputError
from edge_cns.extras import require
from edge_cns.frames import MAX_SIDE

__all__ = [
    "ENCODINGS",
    "EXTENDED_SIZE",
    "HEADER_SIZE",
    "LARGEST_BODY",
    "Buffer",
    "Extended",
    "FramingError",
    "Header",
    "crc64",
    "encode",
    "parse_extended",
    "parse_header",
    "parse_metadata",
    "time_stamp",
]

Buffer: TypeAlias = "bytes | bytearray | memoryview"

HEADER_SIZE = 58
EXTENDED_SIZE = 12
LARGEST_BODY = MAX_SIDE * MAX_SIDE * 3 * 2 + 2**20
"""Bytes: the largest image that can be a frame, and 1 MiB around it. What claims to be larger is not waited for."""
ENCODINGS = {3: "ascii", 4: "latin-1", 106: "utf-8"}
"""Character sets of strings and metadata, by MIBenum of IANA."""

_HEADER = struct.Struct(">H12s20sQQQ")
_EXTENDED = struct.Struct(">HHII")
_COUNT = struct.Struct(">H")
_ENTRY = struct.Struct(">HHI")
_VERSIONS = (1, 2, 3)  # 3 is written by some senders of protocol 3; its layout is that of 2
_UTF8 = 106


class FramingError(BadInputError):
    """What comes is no OpenIGTLink, or its length cannot be believed: where the next message begins is unknown."""


@dataclass(frozen=True, slots=True)
class Header:
    """The 58 bytes that every message begins with.

    Attributes:
        version: 1, or 2 and 3 for messages with an extended header.
        type: such as ``IMAGE``, up to 12 characters.
        device: name of what sends, up to 20 characters.
        time_stamp: seconds since 1970 times 2**32; 0 where the sender sets none.
        body_size: bytes that follow.
        crc: of those.
    """

    version: int
    type: str
    device: str
    time_stamp: int
    body_size: int
    crc: int


@dataclass(frozen=True, slots=True)
class Extended:
    """How a body is divided, in bytes.

    Attributes:
        before: of the extended header, before the content.
        content: of the content.
        index, values: of the metadata's index, and of its keys and values, behind the content.
        message_id: number that the sender gave the message, or 0.
    """

    before: int
    content: int
    index: int = 0
    values: int = 0
    message_id: int = 0


def parse_header(data: Buffer) -> Header:
    """Read a header.

    Args:
        data: 58 bytes.

    Raises:
        FramingError: another version, a type that is no text, or more bytes to follow than any frame has.
    """
    version, kind, device, stamp, size, crc = _HEADER.unpack(data)
    if version not in _VERSIONS:
        raise FramingError(f"header version is {version}; send OpenIGTLink with header version 1 or 2")
    name = kind.partition(b"\0")[0].decode("ascii", "replace").rstrip()
    if not name or not name.isascii() or not name.isprintable():
        raise FramingError(f"message type is {name!r}; send OpenIGTLink")
    if size > LARGEST_BODY:
        raise FramingError(f"a {name} of {size} bytes is announced; the largest that is taken has {LARGEST_BODY}")
    return Header(version, name, device.partition(b"\0")[0].decode("utf-8", "replace").rstrip(), stamp, size, crc)


def parse_extended(data: Buffer, body_size: int) -> Extended:
    """Read an extended header.

    Args:
        data: the first 12 bytes of the body.
        body_size: of the header.

    Raises:
        BadInputError: its sizes do not fit the body.
    """
    before, index, values, message_id = _EXTENDED.unpack(data)
    content = body_size - before - index - values
    if before < EXTENDED_SIZE or content < 0:
        raise BadInputError(
            f"extended header of {before} bytes with {index} and {values} bytes of metadata in a body of {body_size}; "
            "mend the sender"
        )
    return Extended(before, content, index, values, message_id)


def parse_metadata(index: Buffer, values: Buffer) -> dict[str, str]:
    """Read metadata: texts by key.

    Args:
        index: the count, and 8 bytes for each entry.
        values: keys and values, one after the other.

    Raises:
        BadInputError: an entry lies outside, or is no text in an encoding of `ENCODINGS`.
    """
    if len(index) == 0:
        return {}
    if len(index) < _COUNT.size or len(index) < _COUNT.size + (count := _COUNT.unpack_from(index)[0]) * _ENTRY.size:
        raise BadInputError(f"metadata's index of {len(index)} bytes is too short; mend the sender")
    found, at = {}, 0
    for i in range(count):
        key_size, encoding, size = _ENTRY.unpack_from(index, _COUNT.size + i * _ENTRY.size)
        if at + key_size + size > len(values):
            raise BadInputError(f"metadata entry {i} ends behind its message; mend the sender")
        middle = at + key_size
        found[_text(values[at:middle], _UTF8)] = _text(values[middle : middle + size], encoding)
        at = middle + size
    return found


def _text(data: Buffer, encoding: int) -> str:
    try:
        return bytes(data).decode(ENCODINGS[encoding])
    except (KeyError, UnicodeDecodeError):
        raise BadInputError(f"metadata is no text of encoding {encoding}; send UTF-8 ({_UTF8})") from None


def encode(
    kind: str,
    device: str,
    content: Buffer,
    *,
    version: int = 1,
    stamp: int = 0,
    message_id: int = 0,
    metadata: Mapping[str, str] | None = None,
) -> bytes:
    """A whole message.

    Args:
        kind: message type, up to 12 ASCII characters.
        device: up to 20 bytes of UTF-8.
        content: its bytes.
        version: of the header, 1 or 2.
        stamp: see `time_stamp`.
        message_id, metadata: left out of version 1, which has no place for them.
    """
    body = bytes(content) if version == 1 else _extended(content, message_id, metadata or {})
    return _HEADER.pack(version, kind.encode("ascii"), device.encode(), stamp, len(body), crc64(body)) + body


def _extended(content: Buffer, message_id: int, metadata: Mapping[str, str]) -> bytes:
    pairs = [(key.encode(), value.encode()) for key, value in metadata.items()]
    entries = b"".join(_ENTRY.pack(len(key), _UTF8, len(value)) for key, value in pairs)
    index = _COUNT.pack(len(pairs)) + entries if pairs else b""
    values = b"".join(key + value for key, value in pairs)
    return b"".join((_EXTENDED.pack(EXTENDED_SIZE, len(index), len(values), message_id), content, index, values))


def time_stamp(nanoseconds: int) -> int:
    """The header's form of a time since 1970: a fixed-point number with 32 bits behind the point (timestamp.md)."""
    seconds, rest = divmod(nanoseconds, 10**9)
    return (seconds << 32 | (rest << 32) // 10**9) & (2**64 - 1)


def crc64(data: Buffer, start: int = 0) -> int:
    """CRC-64 of ECMA-182: polynomial 0x42F0E1EBA9EA3693, initial value 0, not reflected.

    Args:
        data: bytes, read in place.
        start: the checksum of what stands before them.
    """
    return _engine()(data, start)


@functools.cache
def _engine() -> Callable[[Buffer, int], int]:
    """A table in Python takes seconds for a 1080p image; this is the processor's carry-less multiplication."""
    found: Callable[[Buffer, int], int] = require("fastcrc", "igtl").crc64.ecma_182
    return found
