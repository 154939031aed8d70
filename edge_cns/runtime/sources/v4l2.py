"""``v4l2://``: capture devices of Linux: HDMI grabbers, USB video."""

from __future__ import annotations

import errno
import fcntl
import os
import struct

import cv2

from edge_cns.errors import BadInputError
from edge_cns.frames import MAX_SIDE, MIN_SIDE, FrameSource
from edge_cns.runtime.sources.live import Capture, LiveCapture, first_frame
from edge_cns.runtime.sources.opencv import open_capture
from edge_cns.runtime.uri import Options, local_path, one_line, split_uri

__all__ = ["open_v4l2"]

_OPTIONS = {"width": "", "height": "", "fps": "", "format": ""}
_FORMATS = ("MJPG", "YUYV")
_FASTEST = 1000.0

# <linux/videodev2.h>: struct v4l2_capability ends with version, capabilities, device_caps and reserved[3]
_CAPABILITY = struct.Struct("16s32s32sIII12x")
_BUFFERS = struct.Struct("IIIIB3x")  # struct v4l2_requestbuffers: count, type, memory, capabilities, flags
_QUERYCAP, _REQBUFS = 0x80685600, 0xC0145608
_HAS_DEVICE_CAPS, _CAN_CAPTURE = 0x80000000, 0x1 | 0x1000  # single- or multi-planar
_VIDEO_CAPTURE, _MMAP = 1, 1


def open_v4l2(uri: str, *, live: bool = False) -> FrameSource:
    """Open ``v4l2:///dev/video0?width=1920&height=1080&fps=60&format=MJPG|YUYV``; left out, the device chooses.

    Raises:
        BadInputError: no such device, no capture device, no permission, in use, no frames, or it cannot do what the
            options ask for.
    """
    rest, options = split_uri(uri, _OPTIONS)
    device = str(local_path(uri, rest))
    wanted = _wanted(options)
    return LiveCapture(lambda: _connect(device, wanted), lost=f"{one_line(device)} delivers no more frames")


def _wanted(options: Options) -> dict[int, float]:
    """What to set, in the order in which drivers expect it."""
    given, wanted = {name for name, text in options.values.items() if text}, {}
    if "format" in given:
        wanted[cv2.CAP_PROP_FOURCC] = float(cv2.VideoWriter.fourcc(*options.choice("format", _FORMATS)))
    for name, setting in (("width", cv2.CAP_PROP_FRAME_WIDTH), ("height", cv2.CAP_PROP_FRAME_HEIGHT)):
        if name in given:
            wanted[setting] = float(options.whole(name, MIN_SIDE, MAX_SIDE, " px"))
    if "fps" in given:
        wanted[cv2.CAP_PROP_FPS] = options.number("fps", 0, _FASTEST)
    return wanted


def _connect(device: str, wanted: dict[int, float]) -> Capture:
    _check(device)
    capture = open_capture(device, cv2.CAP_V4L2)
    try:
        if not capture.isOpened():
            raise BadInputError(f"{device} cannot be opened for capture; see what v4l2-ctl --list-formats-ext says")
        for setting, value in wanted.items():
            capture.set(setting, value)
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # one frame waits in the driver, and it is the newest
        _check_size(capture, device, wanted)
        if not first_frame(capture):
            raise BadInputError(f"{device} delivers no frames; check its cable and signal, and what else uses it")
    except BadInputError:
        capture.release()
        raise
    return capture  # type: ignore[no-any-return]


def _check_size(capture: cv2.VideoCapture, device: str, wanted: dict[int, float]) -> None:
    """A driver takes the nearest size that it has without a word."""
    settings = (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
    got = [int(capture.get(setting)) for setting in settings]
    asked = [int(wanted.get(setting, size)) for setting, size in zip(settings, got, strict=True)]
    if got != asked:
        raise BadInputError(
            f"{device} gives {got[0]}x{got[1]} px, not {asked[0]}x{asked[1]}; ask for a size it has"
            " (v4l2-ctl --list-formats-ext)"
        )


def _check(device: str) -> None:
    """Say precisely why a device cannot be used, which OpenCV does not."""
    try:
        handle = os.open(device, os.O_RDWR | os.O_NONBLOCK)
    except (OSError, ValueError) as error:
        raise _refused(device, error) from None
    try:
        answer = bytearray(_CAPABILITY.size)
        fcntl.ioctl(handle, _QUERYCAP, answer)
        *_, overall, of_this_node = _CAPABILITY.unpack(answer)
        if not (of_this_node if overall & _HAS_DEVICE_CAPS else overall) & _CAN_CAPTURE:
            raise BadInputError(f"{one_line(device)} captures no video; take another node of v4l2-ctl --list-devices")
        fcntl.ioctl(handle, _REQBUFS, bytearray(_BUFFERS.pack(0, _VIDEO_CAPTURE, _MMAP, 0, 0)))
    except OSError as error:
        if error.errno == errno.EBUSY:
            raise _refused(device, error) from None
        if error.errno in (errno.ENOTTY, errno.EINVAL) and not any(answer):
            raise BadInputError(f"{one_line(device)} is no video device; give one of /dev/video*") from None
    finally:
        os.close(handle)


def _refused(device: str, error: OSError | ValueError) -> BadInputError:
    shown, number = one_line(device), getattr(error, "errno", None)
    if number in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        return BadInputError(f"{shown} does not exist; plug the device in, and look at /dev/video*")
    if number in (errno.EACCES, errno.EPERM):
        return BadInputError(f"{shown} may not be opened; add this user to the group video")
    if number == errno.EBUSY:
        return BadInputError(f"{shown} is in use by another program; end that first")
    return BadInputError(f"{shown} cannot be opened ({getattr(error, 'strerror', error)}); give one of /dev/video*")
