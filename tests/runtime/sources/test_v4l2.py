from __future__ import annotations

import errno
import fcntl
import os
from itertools import islice

import cv2
import pytest

from edge_cns.errors import BadInputError
from edge_cns.frames import EventKind, Frame, MachineEvent
from edge_cns.runtime.sources import live, v4l2
from edge_cns.runtime.sources.table import open_source
from tests.runtime.sources.fake_capture import FakeCapture


@pytest.fixture
def device(monkeypatch, tmp_path):
    """A file that answers as a capture device does."""
    path = tmp_path / "video0"
    path.write_bytes(b"")
    answers = {"capabilities": (0x80000000 | 0x1, 0x1), "busy": False}

    def ioctl(_, request, buffer):
        if request == v4l2._REQBUFS:
            assert len(buffer) == 20
            if answers["busy"]:
                raise OSError(errno.EBUSY, "Device or resource busy")
            return 0
        assert request == 0x80685600, "VIDIOC_QUERYCAP"
        assert len(buffer) == 104, "struct v4l2_capability"
        buffer[:] = v4l2._CAPABILITY.pack(b"uvcvideo", b"Grabber", b"usb", 0x60000, *answers["capabilities"])
        return 0

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    monkeypatch.setattr(live, "_PAUSES", (0.01, 0.05))
    return path, answers


def captures(monkeypatch, *made):
    left, opened = iter(made), []

    def open_capture(name, backend):
        opened.append((name, backend))
        return next(left)

    monkeypatch.setattr(v4l2, "open_capture", open_capture)
    return opened


def test_options_reach_the_device_in_the_order_that_drivers_expect(device, monkeypatch):
    path, _ = device
    capture = FakeCapture(size=(640, 480))
    opened = captures(monkeypatch, capture)
    source = open_source(f"v4l2://{path}?fps=60&height=480&width=640&format=MJPG")
    frames = list(islice(source, 3))
    source.close()
    assert opened == [(str(path), cv2.CAP_V4L2)]
    assert capture.settings == [
        (cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG")),
        (cv2.CAP_PROP_FRAME_WIDTH, 640),
        (cv2.CAP_PROP_FRAME_HEIGHT, 480),
        (cv2.CAP_PROP_FPS, 60),
        (cv2.CAP_PROP_BUFFERSIZE, 1),
    ]
    assert {frame.pixels.shape for frame in frames} == {(480, 640, 3)}


def test_unplugged_and_plugged_in_again(device, monkeypatch):
    path, _ = device
    captures(monkeypatch, FakeCapture(6), FakeCapture(opened=False), FakeCapture(0), FakeCapture())
    source = open_source(f"v4l2://{path}")
    taken = iter(source)
    seen = []
    while not (seen and isinstance(seen[-1], MachineEvent)):
        seen.append(next(taken))
    assert seen[-1].kind is EventKind.DISCONNECTED
    assert "delivers no more frames" in seen[-1].value
    assert next(taken).kind is EventKind.CONNECTED
    assert isinstance(next(taken), Frame)
    source.close()


def test_refusals_of_what_is_really_there(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    for uri, text in (
        ("v4l2:///dev/video99", "/dev/video99 does not exist; plug the device in"),
        ("v4l2:///dev/null", "/dev/null is no video device"),
        (f"v4l2://{tmp_path}/file", "is no video device"),
        (f"v4l2://{tmp_path}", "Is a directory"),
        ("v4l2:///dev/a%00b", "embedded null byte"),
        ("v4l2://video0", "v4l2:///PATH with three slashes"),
        ("v4l2:///dev/video0?size=9", "no option 'size'; it goes with width, height, fps and format"),
        ("v4l2:///dev/video0?format=H264", "give one of MJPG, YUYV"),
        ("v4l2:///dev/video0?width=10", "width is 10 px; give 64 to 8192"),
        ("v4l2:///dev/video0?fps=0", "fps is 0"),
    ):
        with pytest.raises(BadInputError) as caught:
            open_source(uri, live=True)
        assert text in str(caught.value)
        assert str(caught.value).isprintable()


def test_refusals_of_a_device(device, monkeypatch):
    path, answers = device

    def refused() -> str:
        with pytest.raises(BadInputError) as caught:
            open_source(f"v4l2://{path}?width=640&height=480")
        return str(caught.value)

    answers["capabilities"] = (0x80000000 | 0x1, 0x00800000)
    assert "captures no video" in refused(), "the metadata node of a camera"
    answers["capabilities"] = (0x1, 0)
    captures(monkeypatch, FakeCapture(opened=False), FakeCapture(0, size=(640, 480)), FakeCapture())
    assert "cannot be opened for capture" in refused()
    assert "delivers no frames" in refused()
    assert "gives 96x80 px, not 640x480" in refused()
    answers["busy"] = True
    assert "in use by another program" in refused()
    monkeypatch.setattr(os, "open", _denied)
    assert "add this user to the group video" in refused()


def _denied(*_):
    raise PermissionError(errno.EACCES, "Permission denied")
