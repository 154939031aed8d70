"""Objects that were received and not yet looked at, in memory, by study."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from firmware_bridge.dicom.decoder import Described

__all__ = ["Inbox", "Received"]

_MOST = 4096  # objects


@dataclass(frozen=True, slots=True, eq=False)
class Received:
    """An object that can be decoded.

    Attributes:
        study: opaque key of its study.
        described: what is in it.
        content: a DICOM file, in parts.
    """

    study: str
    described: Described
    content: Sequence[bytes]

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(map(len, self.content))


class Inbox:
    """Holds objects until the source comes to them; what is more than a number of bytes is not taken.

    Args:
        most_bytes: of all that waits.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._waiting: deque[Received] = deque()
        self._bytes = 0
        self._instances: dict[str, set[str]] = {}  # of studies that wait or are looked at, by key
        self._changed = threading.Condition()
        self._closed = False

    @property
    def waiting(self) -> int:
        """Objects that wait."""
        return len(self._waiting)

    def has_room(self, size: int) -> bool:
        """Whether an object of so many bytes would be taken now."""
        return not self._closed and len(self._waiting) < _MOST and self._bytes + size <= self._most

    def put(self, received: Received) -> bool:
        """Take an object; whether it is taken. One that was taken before, and whose exam goes on, is not taken twice.

        An object that is sent again, because the answer to the first time was lost, is so no second evidence.
        """
        instance = received.described.identity.instance
        with self._changed:
            known = self._instances.setdefault(received.study, set())
            if instance in known:
                return True
            if not self.has_room(received.size):
                if not known:
                    del self._instances[received.study]
                return False
            known.add(instance)
            self._waiting.append(received)
            self._bytes += received.size
            self._changed.notify_all()
            return True

    def take(self, study: str | None, seconds: float) -> Received | None:
        """The oldest object of a study, or of any where ``study`` is ``None``; waits so long for one."""
        until = time.monotonic() + seconds
        with self._changed:
            while not self._closed:
                for received in self._waiting:
                    if study is None or received.study == study:
                        self._waiting.remove(received)
                        self._bytes -= received.size
                        return received
                left = until - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            return None

    def finish(self, study: str) -> None:
        """The study's exam is over: what of it comes, or still waits, is of another exam."""
        with self._changed:
            left = {r.described.identity.instance for r in self._waiting if r.study == study}
            if left:
                self._instances[study] = left
            else:
                self._instances.pop(study, None)

    def close(self) -> int:
        """Take no more, end every wait, forget everything; how many objects waited. May be called twice."""
        with self._changed:
            self._closed = True
            left = len(self._waiting)
            self._waiting.clear()
            self._instances.clear()
            self._bytes = 0
            self._changed.notify_all()
            return left
