from __future__ import annotations

import threading
import time

from edge_cns.runtime.sources.pacing import Pacer


def test_frames_come_at_their_rate():
    pacer = Pacer(threading.Event())
    started = time.monotonic()
    assert all(pacer.wait(0.02) for _ in range(11))
    assert 0.195 < time.monotonic() - started < 2, "the first is due at once, ten more each 20 ms later"


def test_a_late_frame_goes_out_at_once_and_the_next_are_not_bunched():
    pacer = Pacer(threading.Event())
    pacer.wait(0.05)
    time.sleep(0.3)
    late = time.monotonic()
    pacer.wait(0.05)
    next_one = time.monotonic()
    pacer.wait(0.05)
    assert next_one - late < 0.045
    assert time.monotonic() - next_one > 0.04


def test_closing_ends_a_wait():
    closed = threading.Event()
    pacer = Pacer(closed)
    assert pacer.wait(60)
    threading.Timer(0.1, closed.set).start()
    started = time.monotonic()
    assert not pacer.wait(60)
    assert time.monotonic() - started < 2
    assert not pacer.wait(0)
