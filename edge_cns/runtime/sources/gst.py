"""``gst://``: any GStreamer pipeline, where OpenCV was built with GStreamer."""

from __future__ import annotations

import re

import cv2

from edge_cns.errors import BadInputError, UnsupportedError
from edge_cns.frames import FrameSource
from edge_cns.runtime.sources.live import READ_SECONDS, Capture, LiveCapture, first_frame
from edge_cns.runtime.sources.opencv import open_capture

__all__ = ["complete", "open_gst"]

_SINK = " ! videoconvert ! video/x-raw,format=BGR ! appsink drop=true max-buffers=1 sync=false"
_OPEN_MS, _READ_MS = 5000, round(1000 * READ_SECONDS)


def open_gst(uri: str, *, live: bool = False) -> FrameSource:
    """Open ``gst://PIPELINE``, as gst-launch-1.0 takes it; a pipeline without an appsink gets one at its end.

    A pipeline that comes to its end is started again, like any stream that is lost.

    Raises:
        UnsupportedError: this OpenCV has no GStreamer.
        BadInputError: no pipeline, one that does not start, or no frame of it within 5 s.
    """
    pipeline = complete(uri.partition("://")[2])
    if not cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER):
        raise UnsupportedError(
            f"OpenCV {cv2.__version__} here has no GStreamer, as every opencv-python from PyPI; use v4l2:// or rtsp://,"
            " or install an OpenCV that has it (your board's own, or built with -D WITH_GSTREAMER=ON)"
        )
    return LiveCapture(lambda: _connect(pipeline), lost="the GStreamer pipeline delivers no more frames")


def complete(pipeline: str) -> str:
    """The pipeline, ending in an appsink that keeps the newest frame only.

    Raises:
        BadInputError: it is empty, or holds what no pipeline can.
    """
    stripped = pipeline.strip()
    if not stripped or "\0" in stripped:
        raise BadInputError("gst:// names no pipeline; give one as for gst-launch-1.0: 'gst://v4l2src ! videoconvert'")
    return stripped if re.search(r"(^|[\s!])appsink(\s|$)", stripped) else stripped.rstrip("! \t") + _SINK


def _connect(pipeline: str) -> Capture:
    timeouts = {cv2.CAP_PROP_OPEN_TIMEOUT_MSEC: _OPEN_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC: _READ_MS}
    capture = open_capture(pipeline, cv2.CAP_GSTREAMER, timeouts)
    if not capture.isOpened():  # an older OpenCV knows no timeouts, and refuses all
        capture = open_capture(pipeline, cv2.CAP_GSTREAMER)
    if capture.isOpened() and first_frame(capture):
        return capture  # type: ignore[no-any-return]
    capture.release()
    raise BadInputError("the GStreamer pipeline does not start or gives no frames; try it with gst-launch-1.0")
