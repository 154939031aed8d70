from __future__ import annotations

import threading
import time

import numpy as np

from edge_cns.frames import Frame
from edge_cns.runtime.live.observations import Result, Tick
from edge_cns.runtime.recording.codec import Entry
from edge_cns.runtime.recording.waiting import Waiting

PIXELS = np.zeros((64, 64), np.uint8)


def result(pixels=PIXELS):
    return Entry(Result(1, 1, None, None), Frame(pixels), {})


def drain(waiting):
    waiting.end(time.monotonic() + 60, time.monotonic() + 60)
    return list(iter(waiting.take, None))


def test_frames_are_left_out_when_too_many_wait_but_nothing_else_is():
    waiting = Waiting()
    for _ in range(40):
        waiting.put(result())
    entries = drain(waiting)
    assert [entry.frame is not None for entry in entries] == [True] * 32 + [False] * 8
    assert waiting.frames_left_out == 8
    assert all(entry.lost_before == 0 for entry in entries)


def test_large_frames_are_bounded_in_bytes_and_one_always_fits():
    waiting = Waiting()
    huge = np.zeros((8192, 8192), np.uint8)
    for pixels in (huge, PIXELS, huge):
        waiting.put(result(pixels))
    assert [entry.frame is not None for entry in drain(waiting)] == [True, False, False]


def test_room_is_given_back():
    waiting = Waiting()
    for _ in range(100):
        waiting.put(result())
        assert waiting.take().frame is not None
    assert waiting.frames_left_out == 0


def test_observations_are_bounded_and_the_loss_is_said_with_the_next():
    waiting = Waiting()
    for _ in range(4100):
        waiting.put(Entry(Tick(1)))
    assert waiting.take().lost_before == 0
    waiting.put(Entry(Tick(2)))
    assert drain(waiting)[-1].lost_before == 4


def test_take_waits_until_something_comes():
    waiting, got = Waiting(), []
    thread = threading.Thread(target=lambda: got.append(waiting.take()))
    thread.start()
    waiting.put(Entry(Tick(7)))
    thread.join(10)
    assert got[0].seen == Tick(7)


def test_at_the_end_frames_go_first_and_then_the_rest():
    now = time.monotonic()
    waiting = Waiting()
    for _ in range(3):
        waiting.put(result())
    waiting.end(now - 1, now + 60)
    assert waiting.take().frame is None
    late = Waiting()
    for _ in range(3):
        late.put(result())
    late.end(now - 2, now - 1)
    late.put(Entry(Tick(1)))
    assert late.take() is None
    assert late.left() == 4
    assert late.frames_left_out == 3
