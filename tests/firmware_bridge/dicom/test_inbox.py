"""What waits: by study, bounded, and nothing twice."""

from __future__ import annotations

import threading
import time

from firmware_bridge.dicom.decoder import Described
from firmware_bridge.dicom.inbox import Inbox, Received
from tests.firmware_bridge.dicom.material import identity


def received(study: str, instance: str, size: int = 10) -> Received:
    return Received(study, Described(1, identity(instance)), (b"x" * size,))


def test_by_study_in_order():
    inbox = Inbox(100)
    for study, instance in (("a", "1"), ("b", "2"), ("a", "3")):
        assert inbox.put(received(study, instance))
    assert inbox.waiting == 3
    assert inbox.take("a", 0).described.identity.instance == "1"
    assert inbox.take("a", 0).described.identity.instance == "3"
    assert inbox.take("a", 0) is None
    assert inbox.take(None, 0).study == "b"
    assert inbox.take(None, 0) is None


def test_full_is_full_until_something_is_taken():
    inbox = Inbox(25)
    assert inbox.put(received("a", "1"))
    assert inbox.put(received("a", "2"))
    assert not inbox.put(received("a", "3"))
    inbox.take(None, 0)
    assert inbox.put(received("a", "3"))
    assert not inbox.has_room(26)


def test_an_object_that_comes_again_is_taken_once_while_its_exam_goes_on():
    inbox = Inbox(100)
    assert inbox.put(received("a", "1"))
    assert inbox.put(received("a", "1"))
    assert inbox.waiting == 1
    inbox.take("a", 0)
    assert inbox.put(received("a", "1"))
    assert inbox.waiting == 0
    inbox.finish("a")
    assert inbox.put(received("a", "1"))
    assert inbox.waiting == 1
    inbox.finish("a")  # what waits still counts
    assert inbox.put(received("a", "1"))
    assert inbox.waiting == 1


def test_an_object_that_was_refused_may_come_again():
    inbox = Inbox(10)
    assert inbox.put(received("b", "0"))
    assert not inbox.put(received("a", "1"))
    inbox.take("b", 0)
    assert inbox.put(received("a", "1"))
    assert inbox.waiting == 1


def test_waiting_ends_with_an_object_and_with_the_end():
    inbox = Inbox(100)
    threading.Timer(0.1, inbox.put, [received("a", "1")]).start()
    assert inbox.take("a", 10) is not None
    inbox.put(received("b", "1"))
    threading.Timer(0.1, inbox.close).start()
    started = time.monotonic()
    assert inbox.take("a", 10) is None
    assert time.monotonic() - started < 5
    assert inbox.close() == 0
    assert not inbox.put(received("a", "2"))
    assert inbox.take(None, 0) is None
