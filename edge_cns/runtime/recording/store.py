"""Segments on a disk: written record by record, begun anew when full, and the oldest deleted at a limit."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from edge_cns.runtime.recording.codec import pack
from edge_cns.runtime.recording.layout import HEADER_BYTES, Head, Kind, SegmentHeader, name_of
from edge_cns.runtime.recording.seal import Seal

__all__ = ["SegmentStore"]

_SEGMENT_BYTES = 64 * 10**6
_SEGMENTS = 4  # at least, under a small limit: deleting one shall not delete most of it
_SYNC_S = 1.0


@dataclass(slots=True)
class _Segment:
    """The segment that is being written.

    Attributes:
        size: bytes that are whole records; what lies behind them is the rest of a failed write.
        records: how many these are.
        counter: next nonce counter: also a failed write has used up its own.
        dirty: whether something may lie behind the whole records.
    """

    descriptor: int
    header: SegmentHeader
    size: int = HEADER_BYTES
    records: int = 0
    counter: int = 0
    dirty: bool = False


class SegmentStore:
    """Appends records. One thread at a time.

    Args:
        folder: where the segments go.
        seal: what protects them.
        limit: bytes of all segments together; the oldest are deleted before it is exceeded.
        opening: payload of the record that begins a segment, asked for at that moment.
    """

    def __init__(self, folder: Path, seal: Seal, limit: int, opening: Callable[[], bytes]) -> None:
        self._folder, self._seal, self._opening = folder, seal, opening
        self._limit, self._largest = limit, min(_SEGMENT_BYTES, limit // _SEGMENTS)
        self._recording = os.urandom(16)
        self._segment: _Segment | None = None
        self._number = 0
        self._older: deque[tuple[Path, int]] = deque()
        self._older_bytes = 0
        self._synced = 0.0

    @property
    def size(self) -> int:
        """On the disk now."""
        return self._older_bytes + (0 if self._segment is None else self._segment.size)

    def begin(self) -> None:
        """Write the beginning of the first segment.

        Raises:
            OSError: it cannot be written; nothing of it stays.
        """
        self._new_segment()

    def append(self, kind: Kind, payload: bytes) -> None:
        """Write a record, in a new segment if the last one is full.

        Raises:
            OSError: it could not be written; nothing of it stays, and the next call tries anew.
        """
        coming = len(payload) + self._seal.overhead
        segment = self._segment
        if segment is not None and segment.records > 1 and segment.size + coming > self._largest:
            self._finish_segment(segment)
            segment = None
        if segment is None:
            segment = self._new_segment()
        self._write(segment, kind, payload)

    def close(self, payload: bytes) -> None:
        """Write the last record, and close.

        Raises:
            OSError: it could not be written; the recording is closed all the same, and will be called cut short.
        """
        segment = self._segment
        if segment is None:
            return
        try:
            self._write(segment, Kind.END, payload, sync=True)
        finally:
            self._segment = None
            self._note(segment)

    def _finish_segment(self, segment: _Segment) -> None:
        self._write(segment, Kind.NEXT, pack({}), sync=True)
        self._segment = None
        self._note(segment)

    def _note(self, segment: _Segment) -> None:
        os.close(segment.descriptor)
        self._older.append((self._folder / name_of(segment.header.number), segment.size))
        self._older_bytes += segment.size

    def _new_segment(self) -> _Segment:
        self._make_room()
        number = self._number + 1
        key_check = self._seal.key_check(self._recording)
        header = SegmentHeader(self._seal.code, number, self._recording, os.urandom(8), key_check)
        path = self._folder / name_of(number)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        segment = _Segment(descriptor, header)
        try:
            _write_whole(descriptor, header.pack(), 0)
            self._write(segment, Kind.HEADER, self._opening())
            _sync_folder(self._folder)
        except BaseException:
            os.close(descriptor)
            path.unlink(missing_ok=True)
            raise
        self._segment, self._number = segment, number
        return segment

    def _make_room(self) -> None:
        while self._older and self._older_bytes + self._largest > self._limit:
            path, size = self._older[0]
            path.unlink(missing_ok=True)
            self._older.popleft()
            self._older_bytes -= size

    def _write(self, segment: _Segment, kind: Kind, payload: bytes, *, sync: bool = False) -> None:
        head = Head(len(payload) + self._seal.overhead, kind, segment.counter)
        segment.counter += 1
        record = head.seal(self._seal, payload, segment.header, segment.records)
        try:
            _clean(segment)
            segment.dirty = True
            _write_whole(segment.descriptor, record, segment.size)
            if sync or time.monotonic() - self._synced >= _SYNC_S:
                # A power cut then costs a second, and not the half a minute after which the system writes by itself.
                os.fdatasync(segment.descriptor)
                self._synced = time.monotonic()
        except OSError:
            with suppress(OSError):
                _clean(segment)
            raise
        segment.dirty = False
        segment.size += len(record)
        segment.records += 1


def _clean(segment: _Segment) -> None:
    """Take away what a failed write left."""
    if segment.dirty:
        os.ftruncate(segment.descriptor, segment.size)
        segment.dirty = False


def _write_whole(descriptor: int, content: bytes, offset: int) -> None:
    rest = memoryview(content)
    while rest:
        written = os.pwrite(descriptor, rest, offset)
        rest, offset = rest[written:], offset + written


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
