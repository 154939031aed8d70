"""How a segment of a recording lies on the disk.

    segment header   magic, version, seal, segment number, recording id, nonce prefix, key check
    record           length, kind, nonce counter, CRC of these and the record's number; then the sealed payload
    record           ...

The seal covers the payload with the segment header, the record's head and its number, so that no record can be
changed, left out, put in or moved. The CRC tells a length that was damaged from a file that ends early.
"""

from __future__ import annotations

import enum
import re
import struct
import zlib
from dataclasses import dataclass

from edge_cns.runtime.recording.seal import Seal

__all__ = ["HEADER_BYTES", "HEAD_BYTES", "MAGIC", "VERSION", "Head", "Kind", "SegmentHeader", "name_of", "number_of"]

MAGIC = b"EDGECNSR"
VERSION = 1
_HEADER = struct.Struct(">8sHHI16s8s8s")
_HEAD = struct.Struct(">IBI")
_CRC = struct.Struct(">I")
_NAME = re.compile(r"([0-9]{6,9})\.ecr")

HEADER_BYTES = _HEADER.size
HEAD_BYTES = _HEAD.size + _CRC.size


class Kind(enum.IntEnum):
    """What a record holds."""

    HEADER = 1
    """First of each segment: the recording's header, and how things stood when the segment began."""
    OBSERVATION = 2
    """What the monitor saw and said; of a result also the engine's outputs and the frame."""
    GAP = 3
    """Observations before this one were not kept."""
    NEXT = 4
    """Last of a segment that another one follows."""
    END = 5
    """Last of the recording."""


@dataclass(frozen=True, slots=True)
class SegmentHeader:
    """First bytes of a segment.

    Attributes:
        seal: code of the seal.
        number: of the segment, from 1.
        recording: 16 random bytes, the same in all segments.
        prefix: 8 random bytes, first part of the segment's nonces.
        key_check: what tells one key from another.
    """

    seal: int
    number: int
    recording: bytes
    prefix: bytes
    key_check: bytes

    def pack(self) -> bytes:
        """As it is written."""
        return _HEADER.pack(MAGIC, VERSION, self.seal, self.number, self.recording, self.prefix, self.key_check)

    @classmethod
    def unpack(cls, content: bytes) -> tuple[bytes, int, SegmentHeader]:
        """Magic, version, and the rest, of `HEADER_BYTES` bytes."""
        magic, version, *rest = _HEADER.unpack(content)
        return magic, version, cls(*rest)


@dataclass(frozen=True, slots=True)
class Head:
    """What stands before a sealed payload.

    Attributes:
        length: of the sealed payload, bytes.
        kind: of the record; any byte, until it was looked at.
        counter: second part of the nonce; never used twice in a segment.
    """

    length: int
    kind: int
    counter: int

    def pack(self, number: int) -> bytes:
        """As it is written for the record of a number, counted from 0."""
        head = _HEAD.pack(self.length, self.kind, self.counter)
        return head + _CRC.pack(_crc(head, number))

    @classmethod
    def unpack(cls, content: bytes, number: int) -> Head | None:
        """Of `HEAD_BYTES` bytes; ``None`` if they are not the head of that record."""
        head = content[: _HEAD.size]
        return cls(*_HEAD.unpack(head)) if _CRC.unpack(content[_HEAD.size :])[0] == _crc(head, number) else None

    def nonce(self, header: SegmentHeader) -> bytes:
        """Of this record."""
        return header.prefix + _CRC.pack(self.counter)

    def place(self, header: SegmentHeader, number: int) -> bytes:
        """What is sealed with the payload."""
        return header.pack() + self.pack(number) + _CRC.pack(number)

    def seal(self, seal: Seal, plain: bytes, header: SegmentHeader, number: int) -> bytes:
        """The whole record as it is written; ``plain`` has as many bytes as the head says, less the overhead."""
        return self.pack(number) + seal.seal(plain, self.nonce(header), self.place(header, number))

    def unseal(self, seal: Seal, sealed: bytes, header: SegmentHeader, number: int) -> bytes:
        """The payload.

        Raises:
            BadSealError: it is not what was sealed.
        """
        return seal.unseal(sealed, self.nonce(header), self.place(header, number))


def name_of(number: int) -> str:
    """``000001.ecr``."""
    return f"{number:06d}.ecr"


def number_of(name: str) -> int | None:
    """The number of a segment by its file name; ``None`` for another file."""
    found = _NAME.fullmatch(name)
    return int(found[1]) if found and name == name_of(int(found[1])) else None


def _crc(head: bytes, number: int) -> int:
    return zlib.crc32(head + _CRC.pack(number))
