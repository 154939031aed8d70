"""Records as lines of JSON: the log that programs read, whole lines only, in files of bounded size."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
from pathlib import Path

from edge_cns.errors import BadInputError, OperationError
from edge_cns.runtime.sinks.base import Record, Session
from edge_cns.runtime.uri import local_path, one_line, split_uri

__all__ = ["JsonLines", "open_jsonl"]

_DEFAULTS = {"max_mb": "64", "keep": "5"}
_STANDARD_OUTPUT = 1


def open_jsonl(uri: str) -> JsonLines:
    """Open ``jsonl:///FILE?max_mb=64&keep=5``, or ``jsonl://-`` for standard output.

    An existing file is appended to. Before ``FILE`` exceeds ``max_mb`` (10^6 bytes) it becomes ``FILE.1``, ``FILE.1``
    becomes ``FILE.2``, and so on; the ``keep`` newest of those stay.

    Raises:
        BadInputError: the folder is missing, the file is a folder or a pipe, may not be written, or is another run's.
    """
    rest, options = split_uri(uri, _DEFAULTS)
    largest = int(options.number("max_mb", 0, 1e6) * 1e6)
    keep = options.whole("keep", 1, 1000)
    if rest == "-":
        return JsonLines(None, largest, keep)
    return JsonLines(local_path(uri, rest), largest, keep)


class JsonLines:
    """One compact object a line, handed to the system line by line; heat maps and frames are not in it.

    Args:
        path: of the file; ``None`` is standard output, which never rotates.
        largest: bytes of a file.
        keep: older files that stay.
    """

    lossless = True

    def __init__(self, path: Path | None, largest: int, keep: int) -> None:
        self._path, self._largest, self._keep = path, largest, keep
        try:
            self._descriptor: int | None = _STANDARD_OUTPUT if path is None else _open(path)
            status = os.fstat(_STANDARD_OUTPUT if self._descriptor is None else self._descriptor)
        except OSError as error:
            name = "standard output" if path is None else one_line(str(path))
            why = "another run writes to it" if error.errno == errno.EWOULDBLOCK else (error.strerror or "?").lower()
            raise BadInputError(f"{name} cannot be written ({why}); give jsonl:///FILE in a folder that can") from None
        self._regular = stat.S_ISREG(status.st_mode)

    def start(self, session: Session) -> None:
        """Nothing to make ready."""

    def write(self, record: Record) -> None:
        """Append a record.

        Raises:
            OSError: the disk is full, for instance. No part of the line stays, and the next record is tried anew.
            OperationError: the record has no JSON form, such as a number that is none.
        """
        if self._descriptor is None:
            return
        try:
            text = json.dumps(record.to_json(), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        except (ValueError, TypeError) as error:
            raise OperationError(f"a {record.type.value} record has no JSON form ({error})") from None
        # A name that is no UTF-8 has lone surrogates; backslashreplace writes them as JSON does.
        line = f"{text}\n".encode("utf-8", "backslashreplace")
        failed = self._rotate(len(line))
        _write_whole(self._descriptor, line, self._regular)
        if failed is not None:
            raise failed

    def close(self) -> None:
        """Close the file; one to which nothing came is not left behind."""
        if self._path is not None and self._descriptor is not None:
            if self._regular and os.fstat(self._descriptor).st_size == 0:
                self._path.unlink(missing_ok=True)
            os.close(self._descriptor)
        self._descriptor = None

    def _rotate(self, coming: int) -> OSError | None:
        """Begin a new file if the line does not fit; what went wrong, if anything did: the old one is then kept."""
        if self._path is None or not self._regular or self._descriptor is None:
            return None
        size = os.fstat(self._descriptor).st_size
        if size == 0 or size + coming <= self._largest:
            return None
        try:
            for number in range(self._keep - 1, -1, -1):
                older = _numbered(self._path, number)
                if older.exists():
                    older.replace(_numbered(self._path, number + 1))
            fresh = _open(self._path)
        except OSError as error:
            return error
        os.close(self._descriptor)
        self._descriptor = fresh
        return None


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}") if number else path


def _open(path: Path) -> int:
    """A descriptor that appends, locked against other runs; a line that somebody left unfinished is ended."""
    # Without O_NONBLOCK a pipe that nobody reads would be waited for.
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o640)
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISCHR(mode):
            raise OSError(errno.EINVAL, "not a regular file")
        os.set_blocking(descriptor, True)
        if stat.S_ISREG(mode):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            size = os.fstat(descriptor).st_size
            if size and os.pread(descriptor, 1, size - 1) != b"\n":
                _write_whole(descriptor, b"\n", regular=True)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _write_whole(descriptor: int, line: bytes, regular: bool) -> None:
    """Write all of a line, or nothing of it."""
    before = os.lseek(descriptor, 0, os.SEEK_END) if regular else 0
    written = 0
    try:
        while written < len(line):
            written += os.write(descriptor, line[written:])
    except OSError:
        if regular and written:
            os.ftruncate(descriptor, before)
            os.lseek(descriptor, before, os.SEEK_SET)
        raise
