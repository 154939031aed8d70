"""The session as a video for engineers: each frame with its verdict drawn on it. It names classes: not for a patient.

The picture changes when verdicts do, but the video has a constant rate: each of its frames shows the newest verdict
of its time, and a pause is as long in the video as it was.
"""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path
from typing import Any

import cv2

from edge_cns.errors import BadInputError, OperationError
from edge_cns.frames import Frame
from edge_cns.runtime.live_overlay import NO_FRAME_SIZE, draw_live, live_size
from edge_cns.runtime.sinks.base import Record, RecordType, Session
from edge_cns.runtime.uri import local_path, one_line, split_uri

__all__ = ["VideoFile", "open_video"]

_CODECS = {".mp4": "mp4v", ".avi": "MJPG"}
_LONGEST_PAUSE_SECONDS = 10.0  # records come twice a second; after a longer silence the video goes on where it was
_RESERVE = 16 * 2**20  # bytes left free, so that the index of a long video can be written at its end
_SECOND = 1_000_000_000


def open_video(uri: str) -> VideoFile:
    """Open ``video:///out.mp4?fps=15``. The file appears when the session ends; an older one is never touched.

    Raises:
        BadInputError: neither .mp4 nor .avi, a file that is there already, a folder that is missing or may not be
            written, or a rate out of range.
    """
    rest, options = split_uri(uri, {"fps": "15"})
    return VideoFile(local_path(uri, rest), options.number("fps", 0, 120))


class VideoFile:
    """Draws verdict records and encodes them.

    Args:
        path: ends in .mp4 (MPEG-4) or .avi (MJPEG, which is readable up to the end even if the machine loses power).
        fps: frames a second.
    """

    lossless = False

    def __init__(self, path: Path, fps: float) -> None:
        if path.suffix.lower() not in _CODECS:
            raise BadInputError(f"{one_line(str(path))}: a video ends in {' or '.join(_CODECS)}; rename it")
        if path.is_dir():
            raise BadInputError(f"{one_line(str(path))} is a folder; give the name of a video in it")
        if path.exists():  # it may even be the clip that is classified
            raise BadInputError(f"{one_line(str(path))} exists already; remove it or give another name")
        try:
            descriptor, name = tempfile.mkstemp(prefix=f".{path.stem[:50]}.", suffix=path.suffix, dir=path.parent)
        except (OSError, ValueError) as error:
            why = (getattr(error, "strerror", None) or "not a file name").lower()
            raise BadInputError(f"{one_line(str(path))} cannot be written ({why}); give another folder") from None
        os.close(descriptor)
        self._path, self._temporary, self._fps = path, Path(name), fps
        self._period_ns = round(_SECOND / fps)
        self._writer: Any = None
        self._size: tuple[int, int] | None = None
        self._record: Record | None = None  # shown until the next one
        self._frame: Frame | None = None  # the last that came with a verdict
        self._next_ns = 0  # time of the next frame of the video
        self._last_ns = 0  # time of the newest verdict
        self._full = False

    def start(self, session: Session) -> None:
        """Learn how the bundle sees frames."""
        self._spec = session.bundle.contract.input

    def write(self, record: Record) -> None:
        """Take a verdict; other records are not shown.

        Raises:
            OSError: the disk is full; frames are left out until there is space.
            OperationError: OpenCV cannot encode.
        """
        if record.type is not RecordType.VERDICT or record.verdict is None:
            return
        if self._record is None:
            self._next_ns = record.verdict.emitted_ns
        self._size = self._size or (live_size(record.frame) if record.frame is not None else None)
        if self._size is not None:
            self._encode_until(record.verdict.emitted_ns)
        self._record, self._last_ns = record, record.verdict.emitted_ns
        self._frame = record.frame or self._frame
        if self._full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def close(self) -> None:
        """Show the last verdict, finish the file and give it its name.

        Raises:
            OSError: the name was taken meanwhile; what has it is untouched, and the video is dropped.
        """
        if self._record is not None:
            self._size = self._size or NO_FRAME_SIZE
            self._encode_until(self._last_ns + self._period_ns)
            self._record = None
        if self._writer is not None:
            self._writer.release()
            self._writer = None
            self._temporary.chmod(0o644)
            try:
                os.link(self._temporary, self._path)  # fails where another session has taken the name meanwhile
            finally:
                self._temporary.unlink()
        self._temporary.unlink(missing_ok=True)

    def _encode_until(self, until_ns: int) -> None:
        """Encode the frames of the video whose time comes before ``until_ns``, each with the verdict of then."""
        longest = round(_LONGEST_PAUSE_SECONDS * _SECOND)
        if until_ns - self._next_ns > longest:
            self._next_ns = until_ns - longest
        while self._record is not None and self._next_ns < until_ns:
            self._encode(self._record)
            self._next_ns += self._period_ns

    def _encode(self, record: Record) -> None:
        size = self._size or NO_FRAME_SIZE
        if self._writer is None:
            codec = cv2.VideoWriter.fourcc(*_CODECS[self._path.suffix.lower()])
            self._writer = cv2.VideoWriter(str(self._temporary), codec, self._fps, size)
        if not self._writer.isOpened():
            raise OperationError(
                f"OpenCV cannot encode {self._path.suffix} of {size[0]}x{size[1]} px at {self._fps:g} fps"
            )
        self._full = _is_full(self._path.parent)
        if not self._full:
            self._writer.write(draw_live(record, self._spec, size, now_ns=self._next_ns, frame=self._frame))


def _is_full(folder: Path) -> bool:
    """Whether the disk is: OpenCV does not say when it cannot write."""
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize < _RESERVE
