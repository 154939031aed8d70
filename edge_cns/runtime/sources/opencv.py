"""Opening OpenCV's captures: the one function that tests replace, and its libraries kept off standard error."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import Any

import cv2

__all__ = ["open_capture"]

_QUIET = {"OPENCV_FFMPEG_LOGLEVEL": "-8", "OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT": "2"}  # AV_LOG_QUIET; seconds
_one_at_a_time = threading.Lock()  # the environment belongs to the whole process


def open_capture(
    name: str,
    backend: int,
    properties: Mapping[int, int] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Any:
    """Open a capture; ``isOpened()`` says whether it is one.

    Native libraries print, of streams above all, what may hold a password; so they are told not to. That is for the
    whole process and before their first use, because standard error cannot be held back while other threads write.

    Args:
        name: path, address or pipeline.
        backend: ``cv2.CAP_...``.
        properties: ``cv2.CAP_PROP_...`` to value, in force while it is opened.
        environment: in force while it is opened; OpenCV takes some settings in no other way.
    """
    _silence()
    with _one_at_a_time:
        for key, value in _QUIET.items():
            os.environ.setdefault(key, value)
        before = {key: os.environ.get(key) for key in environment or {}}
        os.environ.update(environment or {})
        try:
            return cv2.VideoCapture(name, backend, [number for pair in (properties or {}).items() for number in pair])
        finally:
            for key, old in before.items():
                if old is None:
                    del os.environ[key]
                else:
                    os.environ[key] = old


def _silence() -> None:
    modern = getattr(cv2.utils, "logging", None)  # a board's own OpenCV may be old enough to have it elsewhere
    set_level = modern.setLogLevel if modern else getattr(cv2, "setLogLevel")  # noqa: B009 - no stub has it
    set_level(0)
