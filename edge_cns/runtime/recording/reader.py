"""Reads a recording back, record by record, believing nothing that it has not checked."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

from edge_cns.errors import BadInputError, UnsupportedError
from edge_cns.runtime.recording.codec import unpack
from edge_cns.runtime.recording.layout import (
    HEAD_BYTES,
    HEADER_BYTES,
    MAGIC,
    VERSION,
    Head,
    Kind,
    SegmentHeader,
    name_of,
    number_of,
)
from edge_cns.runtime.recording.seal import BadSealError, Seal, make_seal

__all__ = ["Recording", "Stored"]

_LARGEST_RECORD = 512 * 2**20  # bytes: a frame of 8192 px a side, 16 bits and three channels has 384 MiB


@dataclass(frozen=True, slots=True)
class Stored:
    """One record.

    Attributes:
        where: segment and record, for errors.
        kind: what it is.
        value: its JSON.
        attached: the bytes behind it.
    """

    where: str
    kind: Kind
    value: Mapping[str, Any]
    attached: memoryview


class Recording:
    """A recording on a disk.

    Args:
        folder: that `--record` named.
        key: with which it was sealed; ``None`` for one that was not.

    Attributes:
        header: of the recording.
        encrypted: whether it is.
        first: number of the first segment; above 1 where older ones were deleted.
        size: bytes of all segments.
        cut_short: why it ends without its last record, known once all was read; empty if it does not.

    Raises:
        BadInputError: no recording, another key, or the beginning is damaged; one line.
        UnsupportedError: written by another version.
    """

    def __init__(self, folder: Path, key: bytes | None) -> None:
        self._folder = folder
        self._numbers = _segments(folder)
        self.first = self._numbers[0]
        self.cut_short = ""
        self.encrypted = key is not None
        self._seal: Seal = make_seal(key)
        self._recording: bytes | None = None
        beginning = next(self._records(self.first), None)
        if beginning is None:
            raise BadInputError(f"{folder} holds no recording: {name_of(self.first)} was cut short before it began")
        self.cut_short = ""
        self.header = _mapping(beginning, "header")
        self.size = sum((folder / name_of(number)).stat().st_size for number in self._numbers)

    def __iter__(self) -> Iterator[Stored]:
        """Every record in order.

        Raises:
            BadInputError: one is damaged or missing; the line names segment and record. An end that is missing, as
                after a power cut, is no error: see `cut_short`.
        """
        for number in self._numbers:
            yield from self._records(number)

    def _records(self, number: int) -> Iterator[Stored]:
        name, last = name_of(number), number == self._numbers[-1]
        with _open_regular(self._folder / name) as file:
            size = os.fstat(file.fileno()).st_size
            segment = self._read_header(file, name, number)
            if segment is None:
                if not last:
                    raise _damaged(name, "it ends within its header, and others follow")
                self.cut_short = f"{name} ends within its header"
                return
            index, ended = 0, False
            while not ended and (stored := self._read_record(file, size, segment, index, last)) is not None:
                _check_place(stored, index, last)
                ended = stored.kind in (Kind.NEXT, Kind.END)
                yield stored
                if last and stored.kind is Kind.NEXT:
                    self.cut_short = f"no segment follows {name}"
                index += 1
            if ended and file.read(1):
                raise _damaged(f"{name}, record {index}", "something follows the last record")

    def _read_header(self, file: BinaryIO, name: str, number: int) -> SegmentHeader | None:
        content = file.read(HEADER_BYTES)
        if len(content) < HEADER_BYTES:
            return None
        magic, version, segment = SegmentHeader.unpack(content)
        if magic != MAGIC:
            raise _damaged(name, "it is no segment of a recording, or its header is damaged")
        if version != VERSION:
            raise UnsupportedError(f"{name} was written in format {version}, this program reads {VERSION}")
        if segment.number != number or self._recording not in (None, segment.recording):
            raise _damaged(name, "it is of another recording, or of another place in it")
        if segment.seal != self._seal.code:
            what = "encrypted: give its --key FILE" if segment.seal else "not encrypted: leave --key out"
            raise BadInputError(f"the recording is {what} ({name})")
        if segment.key_check != self._seal.key_check(segment.recording):
            raise BadInputError(f"{name} was encrypted with another key, or its header is damaged; give its --key FILE")
        self._recording = segment.recording
        return segment

    def _read_record(self, file: BinaryIO, size: int, segment: SegmentHeader, index: int, last: bool) -> Stored | None:
        """The next record; ``None`` where the file ends early, which only the last one may."""
        where = f"{name_of(segment.number)}, record {index}"
        start = file.tell()
        left = size - start - HEAD_BYTES
        content = file.read(HEAD_BYTES)
        head = Head.unpack(content, index) if len(content) == HEAD_BYTES else None
        if head is None and len(content) == HEAD_BYTES and not (last and _only_zeros(file, content)):
            raise _damaged(where, "its head is damaged")
        if head is None or head.length > left:
            if not last:
                raise _damaged(where, "the segment ends there, and others follow")
            self.cut_short = f"it ends within {where}"
            return None
        if not self._seal.overhead <= head.length <= _LARGEST_RECORD:
            raise _damaged(where, f"{head.length} bytes are no record")
        try:
            payload = head.unseal(self._seal, file.read(head.length), segment, index)
            return Stored(where, Kind(head.kind), *unpack(payload, where))
        except BadSealError:
            raise _damaged(where, "its content is not what was recorded") from None
        except ValueError as error:
            raise error if isinstance(error, BadInputError) else _damaged(where, str(error)) from None


def _segments(folder: Path) -> list[int]:
    """Numbers of the segments that there are, without a gap."""
    if not folder.is_dir():
        what = "is no folder" if folder.exists() else "does not exist"
        raise BadInputError(f"{folder} {what}; give the folder that edge-cns run --record wrote")
    numbers = sorted(number for entry in os.scandir(folder) if (number := number_of(entry.name)) is not None)
    if not numbers or numbers[0] < 1:
        raise BadInputError(f"{folder} holds no recording; give the folder that edge-cns run --record wrote")
    for before, number in pairwise(numbers):
        if number != before + 1:
            raise BadInputError(f"{folder}: {name_of(before + 1)} is missing between others; copy the recording again")
    return numbers


def _damaged(where: str, what: str) -> BadInputError:
    return BadInputError(f"{where}: {what}; copy the recording again")


def _check_place(stored: Stored, index: int, last: bool) -> None:
    if (stored.kind is Kind.HEADER) != (index == 0) or (stored.kind is Kind.END and not last):
        raise _damaged(stored.where, f"a record of kind {stored.kind.name} does not belong there")


def _mapping(stored: Stored, name: str) -> Mapping[str, Any]:
    value = stored.value.get(name)
    if not isinstance(value, dict):
        raise _damaged(stored.where, f"it has no {name}")
    return value


def _only_zeros(file: BinaryIO, content: bytes) -> bool:
    """Whether zeros are all that is left: what a file system shows of blocks that a power cut kept from it."""
    while content:
        if content.strip(b"\0"):
            return False
        content = file.read(2**20)
    return True


def _open_regular(path: Path) -> BinaryIO:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _damaged(path.name, "it is not a regular file")
    return os.fdopen(descriptor, "rb")
