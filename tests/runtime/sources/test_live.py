from __future__ import annotations

import threading
import time
from itertools import islice

import pytest

from edge_cns.errors import BadInputError, OperationError
from edge_cns.frames import EventKind, Frame, MachineEvent, UnusableFrame
from edge_cns.runtime.sources import live
from edge_cns.runtime.sources.live import LiveCapture
from tests.runtime.sources.fake_capture import FakeCapture


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(live, "_PAUSES", (0.01, 0.05))


def connecting(*captures):
    """Connect to one after the other; an exception among them is raised."""
    left = iter(captures)

    def connect():
        one = next(left)
        if isinstance(one, Exception):
            raise one
        return one

    return connect


def test_frames_in_order_with_the_time_they_were_grabbed():
    source = LiveCapture(connecting(FakeCapture()), lost="gone")
    before = time.monotonic_ns()
    taken = list(islice(source, 20))
    source.close()
    assert [frame.sequence for frame in taken] == list(range(20))
    times = [frame.captured_ns for frame in taken]
    assert times == sorted(times)
    assert times[1] >= before


def test_what_comes_before_anybody_looks_is_let_go():
    capture = FakeCapture()
    source = LiveCapture(connecting(capture), lost="gone")
    deadline = time.monotonic() + 10
    while capture.given < 10 and time.monotonic() < deadline:
        time.sleep(0.01)
    first = next(iter(source))
    source.close()
    assert first.sequence == 0
    assert first.pixels[0, 0, 0] >= 9


@pytest.mark.parametrize("raises", [False, True])
def test_a_loss_is_said_and_the_source_connects_again(raises):
    first, second = FakeCapture(5, raises=raises), FakeCapture()
    still_gone = BadInputError("still gone"), OperationError("still gone")
    source = LiveCapture(connecting(first, *still_gone, second), lost="the cable is out")
    taken = []
    for one in source:
        taken.append(one)
        if len([t for t in taken if isinstance(t, Frame)]) >= 8 and second.given > 2:
            break
    source.close()
    events = [one for one in taken if isinstance(one, MachineEvent)]
    assert [event.kind for event in events] == [EventKind.DISCONNECTED, EventKind.CONNECTED]
    assert events[0].value == "the cable is out"
    numbers = [one.sequence for one in taken if isinstance(one, Frame)]
    assert numbers == list(range(len(numbers))), "they count on"
    assert first.released == 1
    assert len(first.threads | second.threads) == 1, "one thread reads and releases"


def test_pauses_grow():
    tried = []

    def connect():
        tried.append(time.monotonic())
        if len(tried) > 1:
            raise BadInputError("gone")
        return FakeCapture(3)

    source = LiveCapture(connect, lost="gone")
    threading.Timer(0.6, source.close).start()
    list(source)
    assert 3 <= len(tried) < 20
    assert tried[3] - tried[2] > tried[2] - tried[1] - 0.005


def test_a_frame_after_a_long_silence_is_old_and_not_shown(monkeypatch):
    monkeypatch.setattr(live, "_STALLED", 0.1)
    slow = FakeCapture()
    source = LiveCapture(connecting(slow, FakeCapture()), lost="gone")
    taken = iter(source)
    next(taken)
    grab = slow.grab
    monkeypatch.setattr(slow, "grab", lambda: time.sleep(0.3) or grab())
    kinds = [type(one) for one in islice(taken, 10)]
    source.close()
    assert MachineEvent in kinds


def test_what_cannot_be_decoded_is_counted():
    source = LiveCapture(connecting(FakeCapture(bad=range(0, 2000, 2))), lost="gone")
    taken = list(islice(source, 10))
    source.close()
    assert {type(one) for one in taken} == {Frame, UnusableFrame}
    assert [one.sequence for one in taken] == list(range(10))
    small = LiveCapture(connecting(FakeCapture(size=(40, 30))), lost="gone")
    (one,) = islice(small, 1)
    small.close()
    assert one.reason == "frame is 40x30 px; both sides must be 64 to 8192 px"


def test_a_camera_may_begin_with_damaged_frames():
    assert live.first_frame(FakeCapture(bad=range(4)))
    assert not live.first_frame(FakeCapture(bad=range(1000)))
    assert not live.first_frame(FakeCapture(2, bad=range(1000)))
    assert not live.first_frame(FakeCapture(0, raises=True))


def test_the_first_connection_must_succeed():
    with pytest.raises(BadInputError, match="no such camera"):
        LiveCapture(connecting(BadInputError("no such camera")), lost="gone")


def test_a_connection_that_hangs_is_given_up(monkeypatch):
    monkeypatch.setattr(live, "_CONNECTING", 0.05)
    hanging = threading.Event()
    capture = FakeCapture()
    with pytest.raises(BadInputError, match="did not answer within"):
        LiveCapture(lambda: hanging.wait(10) and capture, lost="gone")
    hanging.set()
    deadline = time.monotonic() + 10
    while not capture.released and time.monotonic() < deadline:
        time.sleep(0.01)
    assert capture.released == 1, "what opened in the end is let go"


def test_closing_does_not_wait_for_a_read():
    silent = FakeCapture(3, silent=2.0)
    source = LiveCapture(connecting(silent), lost="gone")
    ended = []
    reader = threading.Thread(target=lambda: ended.append(list(source)))
    reader.start()
    time.sleep(0.2)
    started = time.monotonic()
    source.close()
    reader.join(5)
    assert time.monotonic() - started < 1.0
    assert ended
    assert silent.released == 0, "that is for the thread that reads"
    source._thread.join(10)
    assert silent.released == 1
    assert list(source) == []


def test_a_failure_in_the_reader_ends_the_iteration():
    def connect():
        capture = FakeCapture(4)
        capture.retrieve = lambda: (True, 1 / (4 - capture.given) and FakeCapture.retrieve(capture)[1])
        return capture

    source = LiveCapture(connect, lost="gone")
    with pytest.raises(OperationError, match="the source failed"):
        list(source)
    source.close()
