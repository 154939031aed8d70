"""What is to be sent, on disk: each object a file of its own, whole or not there, gone once it has arrived.

The folder is for us alone (mode 0700), and what is in it names patients. A file is written under another name, flushed
to the disk, renamed, and the folder flushed; an object keeps its SOP Instance UID whatever happens, so that sending it
again makes no second one. One that is held is kept like the others and not sent, until it is released; the next run
releases what a run that died had held.
"""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

from edge_cns.errors import BadInputError
from edge_cns.runtime.uri import one_line

__all__ = ["Outbox"]

_SUFFIX, _HELD, _UNFINISHED, _LOCK = ".dcm", ".held", ".part", "lock"


class Outbox:
    """A folder of objects to be sent.

    Args:
        folder: is made if its parent exists.

    Raises:
        BadInputError: it cannot be made or written, belongs to somebody else, or another run uses it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        shown = one_line(str(folder))
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            status = folder.stat()
            if status.st_uid != os.geteuid():
                raise BadInputError(f"queue {shown} belongs to somebody else; give a folder of your own")
            folder.chmod(0o700)
            self._descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            self._lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for left in folder.glob(f"*{_UNFINISHED}"):
                left.unlink()  # of a process that died while it wrote; nobody was told that it was there
            for held in folder.glob(f"*{_HELD}"):
                held.rename(held.with_suffix(_SUFFIX))
        except OSError as error:
            why = "another run uses it" if error.errno == errno.EWOULDBLOCK else (error.strerror or "?").lower()
            raise BadInputError(f"queue {shown} cannot be used ({why}); give a folder that can be written") from None

    def put(self, uid: str, content: bytes, *, held: bool = False) -> None:
        """Keep an object until it has arrived.

        Args:
            uid: SOP Instance UID, which becomes the file's name.
            content: a DICOM file.
            held: do not send it before `release`.

        Raises:
            OSError: the disk is full, for instance; nothing is left of it.
        """
        unfinished = self._folder / f"{uid}{_UNFINISHED}"
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            unfinished.rename(self._folder / f"{uid}{_HELD if held else _SUFFIX}")
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
        os.fsync(self._descriptor)

    def release(self, uid: str) -> None:
        """What was held may be sent."""
        (self._folder / f"{uid}{_HELD}").rename(self._folder / f"{uid}{_SUFFIX}")
        os.fsync(self._descriptor)

    def drop(self, uid: str) -> None:
        """What was held is not to be sent."""
        (self._folder / f"{uid}{_HELD}").unlink(missing_ok=True)
        os.fsync(self._descriptor)

    def waiting(self) -> list[Path]:
        """Files to be sent, the oldest first."""
        found = [entry for entry in os.scandir(self._folder) if entry.name.endswith(_SUFFIX)]
        return [Path(entry.path) for entry in sorted(found, key=lambda one: (one.stat().st_mtime_ns, one.name))]

    def arrived(self, path: Path) -> None:
        """The receiver has it: it is no longer ours to keep."""
        path.unlink(missing_ok=True)
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Let another run use the folder. May be called twice."""
        for descriptor in (self._lock, self._descriptor):
            if descriptor >= 0:
                os.close(descriptor)
        self._lock = self._descriptor = -1
