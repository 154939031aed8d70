"""What every source keeps, whatever it reads: order, times, and an end when it is closed."""

from __future__ import annotations

import importlib.util
import threading
import time
from itertools import islice

import pytest

from edge_cns.frames import Frame, MachineEvent, UnusableFrame, check_pixels
from edge_cns.runtime.sources import v4l2
from edge_cns.runtime.sources.table import open_source
from tests.peers.rtsp import RtspServer, need_rtsp_server
from tests.runtime.sources.fake_capture import FakeCapture
from tests.runtime.sources.material import write_clip, write_image

PROMPT_SECONDS = 0.5
SLACK_SECONDS = 1.0  # of a machine where much else runs


@pytest.fixture(scope="module")
def server():
    need_rtsp_server()
    running = RtspServer()
    yield running
    running.kill()


@pytest.fixture(params=["clip", "folder", "image", "dicom", "phantom", "cart", "v4l2", "rtsp"])
def uri(request, tmp_path, monkeypatch):
    """Sources that go on for ever, at rates between 10 and 60 frames a second."""
    name = request.param
    if name == "clip":
        return f"{write_clip(tmp_path / 'clip.mp4', 8).as_uri()}?loop=1"
    if name == "folder":
        for i in range(3):
            write_image(tmp_path / f"{i}.png", i)
        return f"{tmp_path.as_uri()}?loop=1"
    if name == "image":
        return f"{write_image(tmp_path / 'one.png', 9).as_uri()}?loop=1&rate=50"
    if name == "dicom":
        if importlib.util.find_spec("pydicom") is None:
            pytest.skip("needs the dicom extra")
        from tests.dicoms import packaged

        return f"dicom://{packaged('examples_ybr_color.dcm')}?loop=1"
    if name == "v4l2":
        monkeypatch.setattr(v4l2, "_check", lambda device: None)
        monkeypatch.setattr(v4l2, "open_capture", lambda *_: FakeCapture())
        return "v4l2:///dev/video0"
    if name == "rtsp":
        return request.getfixturevalue("server").uri
    return {"phantom": "synthetic://phantom?size=64&fps=30", "cart": "synthetic://cart"}[name]


@pytest.fixture
def source(uri):
    opened = open_source(uri, live=True)
    yield opened
    opened.close()


def time_of(delivery) -> int:
    return delivery.at_ns if isinstance(delivery, MachineEvent) else delivery.captured_ns


def test_order_times_and_pixels(source):
    before = time.monotonic_ns()
    taken = list(islice(source, 14))
    after = time.monotonic_ns()
    numbered = [one for one in taken if isinstance(one, Frame | UnusableFrame)]
    assert [one.sequence for one in numbered] == list(range(len(numbered)))
    times = [time_of(one) for one in taken]
    assert times == sorted(times)
    assert before - 5e9 < times[0]
    assert times[-1] <= after
    for one in numbered:
        assert isinstance(one, Frame)
        check_pixels(one.pixels)
    assert len(numbered) > 5


def test_closing_from_another_thread_ends_it_at_once(source):
    taken, begun, ended_at = [], threading.Event(), []

    def watch() -> None:
        for one in source:
            taken.append(one)
            begun.set()
        ended_at.append(time.monotonic())

    watching = threading.Thread(target=watch)
    watching.start()
    assert begun.wait(20)
    closed_at = time.monotonic()
    source.close()
    source.close()
    watching.join(20)
    assert ended_at[0] - closed_at < PROMPT_SECONDS + SLACK_SECONDS
    assert list(source) == []


def test_closing_before_it_is_looked_at(source):
    source.close()
    assert list(source) == []
    source.close()


def test_closing_in_mid_iteration(source):
    taken = iter(source)
    next(taken)
    source.close()
    assert list(taken) == []


@pytest.mark.parametrize("query", ["loop=1&rate=0.01", "rate=0.01"])
def test_a_long_pause_is_no_reason_to_wait(tmp_path, query):
    write_image(tmp_path / "a.png", 1)
    write_image(tmp_path / "b.png", 2)
    source = open_source(f"{tmp_path.as_uri()}?{query}", live=True)
    threading.Timer(0.2, source.close).start()
    started = time.monotonic()
    assert len(list(source)) == 1
    assert time.monotonic() - started < PROMPT_SECONDS + SLACK_SECONDS
