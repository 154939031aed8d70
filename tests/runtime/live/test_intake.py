from __future__ import annotations

import select
import threading
import time

import numpy as np
import pytest

from edge_cns.frames import EventKind, Frame, MachineEvent, UnusableFrame
from edge_cns.runtime.live.counts import Cause, FrameCounts
from edge_cns.runtime.live.intake import Intake

PIXELS = np.full((64, 64), 90, np.uint8)


def frame(sequence: int) -> Frame:
    return Frame(PIXELS, sequence + 1, sequence)


def readable(intake: Intake) -> bool:
    poll = select.poll()
    poll.register(intake.descriptor, select.POLLIN)
    return bool(poll.poll(0))


def drain(intake: Intake) -> list:
    taken = []
    while (delivery := intake.take()) is not None:
        taken.append(delivery)
    return taken


def test_latest_keeps_the_newest_and_counts_the_others():
    counts = FrameCounts()
    intake = Intake("latest", counts)
    for i in range(5):
        assert intake.put(frame(i))
    assert [f.sequence for f in drain(intake)] == [4]
    assert counts.to_json() == {
        "seen": 5,
        "classified": 0,
        "dropped": {"superseded": 4},
        "pending": 1,
        "late": 0,
        "missed": 0,
    }


def test_numbers_that_were_left_out_are_frames_that_never_came():
    counts = FrameCounts()
    intake = Intake("latest", counts)
    for i in (3, 4, 7, 7, 5, 6, 2**40):  # 5 and 6 are missing; then the source begins to count anew, twice
        intake.put(frame(i))
    assert counts.to_json()["missed"] == 2


def test_events_are_never_dropped_and_frames_do_not_cross_them():
    counts = FrameCounts()
    intake = Intake("latest", counts)
    exam = MachineEvent(EventKind.EXAM, 1, "next")
    for delivery in (frame(0), frame(1), exam, frame(2), frame(3), UnusableFrame("small", 5, 4)):
        intake.put(delivery)
    taken = drain(intake)
    assert [getattr(d, "sequence", None) for d in taken] == [None, 4], "one frame waits, however many events do"
    assert taken[0] is exam
    assert counts.to_json()["dropped"] == {"superseded": 4}
    assert counts.to_json()["seen"] == 5


def test_every_makes_the_source_wait_and_drops_none():
    counts = FrameCounts()
    intake = Intake("every", counts)
    source = threading.Thread(target=lambda: [intake.put(frame(i)) for i in range(30)])
    source.start()
    taken, until = [], time.monotonic() + 5
    while len(taken) < 30 and time.monotonic() < until:
        assert len(intake._waiting) <= 4
        taken += drain(intake)
    source.join(5)
    assert [f.sequence for f in taken] == list(range(30))
    assert counts.to_json()["dropped"] == {}


def test_the_descriptor_is_readable_while_something_waits():
    intake = Intake("latest", FrameCounts())
    assert not readable(intake)
    intake.put(frame(0))
    assert readable(intake)
    drain(intake)
    assert not readable(intake)


@pytest.mark.parametrize("policy", ["latest", "every"])
def test_closing_frees_the_source_and_every_frame_is_accounted_for(policy):
    counts = FrameCounts()
    intake = Intake(policy, counts)
    refused = threading.Event()

    def feed() -> None:
        sequence = 0
        while intake.put(frame(sequence)):
            sequence += 1
            time.sleep(0.001)
        refused.set()

    source = threading.Thread(target=feed)
    source.start()
    time.sleep(0.05)
    intake.close()
    intake.close()
    assert refused.wait(1)
    source.join(1)
    assert not intake.put(UnusableFrame("small", 1, 1))
    figures = counts.to_json()
    assert figures["pending"] == 0
    assert figures["dropped"]["unusable"] == 1
    assert Cause.STOPPED.value in figures["dropped"]
