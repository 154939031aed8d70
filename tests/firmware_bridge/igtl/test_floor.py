"""One peer is heard at a time; whoever comes after another begins without evidence."""

from __future__ import annotations

import threading
import time

import pytest

from edge_cns.frames import EventKind, Frame, MachineEvent, UnusableFrame
from firmware_bridge.igtl.floor import Floor
from tests.firmware_bridge.igtl.material import grey


class Heard:
    """A floor with somebody who iterates."""

    def __init__(self, floor: Floor) -> None:
        self.floor, self.taken = floor, []
        self._thread = threading.Thread(target=self._take, daemon=True)
        self._thread.start()
        while not floor.wants_images(10**6):
            time.sleep(0.001)

    def _take(self) -> None:
        while (delivery := self.floor.take()) is not None:
            self.taken.append(delivery)

    def until(self, count: int) -> list:
        deadline = time.monotonic() + 10
        while len(self.taken) < count and time.monotonic() < deadline:
            time.sleep(0.001)
        assert len(self.taken) == count
        return self.taken

    def end(self) -> None:
        self.floor.close()
        self._thread.join(10)


@pytest.fixture
def heard():
    one = Heard(Floor(strangers=True, waiting_for="nobody yet"))
    yield one
    one.end()


def frame(at_ns: int | None = None) -> Frame:
    return Frame(grey(), time.monotonic_ns() if at_ns is None else at_ns)


def kinds(taken) -> list[str]:
    return [one.kind.value if isinstance(one, MachineEvent) else type(one).__name__ for one in taken]


def test_the_first_one_begins_with_nothing_to_forget(heard):
    assert heard.floor.say(1, frame())
    assert kinds(heard.until(3)) == ["disconnected", "connected", "Frame"]
    assert heard.taken[0].value == "nobody yet"


def test_a_later_one_takes_over_and_evidence_begins_anew(heard):
    assert heard.floor.say(1, frame())
    assert heard.floor.say(2, frame())
    assert not heard.floor.say(1, frame())
    assert not heard.floor.wants_images(1)
    heard.floor.leave(1, "gone")  # of no consequence: it had lost the floor
    assert heard.floor.say(2, UnusableFrame("small", time.monotonic_ns(), 0))
    assert kinds(heard.until(9))[3:] == ["disconnected", "connected", "exam", "mode", "Frame", "UnusableFrame"]
    assert [one.sequence for one in heard.taken if not isinstance(one, MachineEvent)] == [0, 1, 2]


def test_who_comes_after_one_that_left_begins_anew_too(heard):
    heard.floor.say(1, frame())
    heard.floor.leave(1, "cable")
    heard.floor.say(3, MachineEvent.now(EventKind.MODE, "B"))
    assert kinds(heard.until(8))[3:] == ["disconnected", "connected", "exam", "mode", "mode"]
    assert heard.taken[3].value == "cable"


def test_an_older_one_is_heard_again_once_the_later_has_left(heard):
    heard.floor.say(2, frame())
    assert not heard.floor.say(1, frame())
    heard.floor.leave(2, "gone")
    assert heard.floor.say(1, frame())


def test_a_machine_that_is_connected_to_is_the_same_one_when_it_comes_back():
    heard = Heard(Floor(strangers=False))
    heard.floor.enter(1)
    heard.floor.say(1, frame())
    heard.floor.leave(1, "gone")
    heard.floor.enter(2)
    heard.floor.say(2, frame())
    assert kinds(heard.until(4)) == ["Frame", "disconnected", "connected", "Frame"]
    heard.end()


def test_times_never_go_back(heard):
    now = time.monotonic_ns()
    heard.floor.say(1, frame(now))
    heard.floor.say(2, frame(now - 10**9))
    heard.until(8)
    times = [one.at_ns if isinstance(one, MachineEvent) else one.captured_ns for one in heard.taken]
    assert times == sorted(times)


def test_images_before_anybody_looks_are_let_go_and_events_are_not():
    floor = Floor(strangers=True)
    assert floor.say(1, frame())
    assert floor.say(1, MachineEvent.now(EventKind.EXAM, "7"))
    heard = Heard(floor)
    assert kinds(heard.until(2)) == ["connected", "exam"]
    heard.end()


def test_one_that_waits_for_room_loses_it_with_the_floor():
    floor = Floor(strangers=True)
    floor.say(1, MachineEvent.now(EventKind.FREEZE))  # connected, freeze: no room is left
    answers = []
    waiting = threading.Thread(target=lambda: answers.append(floor.say(1, MachineEvent.now(EventKind.LIVE))))
    waiting.start()
    floor.enter(2)
    waiting.join(10)
    assert answers == [False]
    floor.close()


def test_closing_ends_every_wait():
    floor = Floor(strangers=True)
    floor.say(1, MachineEvent.now(EventKind.FREEZE))
    answers = []
    waiting = threading.Thread(target=lambda: answers.append(floor.say(1, MachineEvent.now(EventKind.LIVE))))
    waiting.start()
    floor.close()
    waiting.join(10)
    assert answers == [False]
    assert floor.take() is None
    assert not floor.say(1, frame())
