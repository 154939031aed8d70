"""A video file as a film."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2

from edge_cns.errors import BadInputError, OperationError
from edge_cns.quiet import quiet_stderr
from edge_cns.runtime.sources.opencv import open_capture
from edge_cns.runtime.sources.playback import Shown, usable
from edge_cns.runtime.uri import one_line

__all__ = ["ClipFilm"]

_RATES = (0.1, 1000.0)  # frames a second that a container may state and be believed
_RATE = 30.0  # of one that states none
_WHOLE = 0.9  # share of the frames stated that must come: containers count differently, damage takes more


class ClipFilm:
    """A video file, decoded by OpenCV's FFmpeg one frame at a time.

    Raises:
        BadInputError: not one frame of it can be decoded.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._opened: tuple[Any, Any] | None = self._open()

    def play(self) -> Iterator[Shown]:
        """Decode and show each frame.

        Raises:
            OperationError: far fewer frames came than the file states; or it has gone since it was opened.
        """
        try:
            self._opened = self._opened or self._open()
        except BadInputError:
            raise OperationError(f"{self._name} cannot be opened again; it was moved or changed") from None
        capture, pixels = self._opened
        rate, stated = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
        seconds = 1.0 / (rate if _RATES[0] <= rate <= _RATES[1] else _RATE)
        came = 0
        while pixels is not None:
            yield usable(pixels), seconds
            came += 1
            pixels = _read(capture)
        self.close()
        if came < _WHOLE * stated:
            raise OperationError(
                f"{self._name} is damaged: {came} of {stated:.0f} frames came; copy it again from its source"
            )

    def close(self) -> None:
        """Release the file."""
        if self._opened is not None:
            self._opened[0].release()
            self._opened = None

    @property
    def _name(self) -> str:
        return one_line(self._path.name)

    def _open(self) -> tuple[Any, Any]:
        """The capture and its first frame."""
        with quiet_stderr():
            # FFmpeg alone, and an absolute path: neither a pattern nor a protocol may be read out of a name
            capture = open_capture(str(self._path.absolute()), cv2.CAP_FFMPEG)
            pixels = _read(capture) if capture.isOpened() else None
        if pixels is None:
            capture.release()
            raise BadInputError(
                f"{one_line(str(self._path))} is no clip that can be decoded; give an MP4, AVI or image"
            )
        return capture, pixels


def _read(capture: Any) -> Any:
    """The next frame, or ``None`` at the end or where nothing more can be decoded."""
    try:
        return capture.read()[1]
    except cv2.error:
        return None
