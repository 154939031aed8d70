"""Between the source and the engine: one slot for the newest frame, or a short queue that loses none."""

from __future__ import annotations

import os
import threading
from collections import deque
from contextlib import suppress
from typing import Literal, TypeAlias

from edge_cns.frames import Delivery, Frame, UnusableFrame
from edge_cns.runtime.live.counts import Cause, FrameCounts

__all__ = ["POLICIES", "Intake", "Policy"]

Policy: TypeAlias = Literal["latest", "every"]
POLICIES: tuple[Policy, ...] = ("latest", "every")

_FRAMES = (Frame, UnusableFrame)
_LARGEST_GAP = 2**20  # of numbers: more is another way of counting
_QUEUE = 4  # frames of ``every`` that may wait: more would only make them older


class Intake:
    """Hands deliveries from the source's thread to the dispatcher's, in order. Events are never dropped.

    Args:
        policy: ``latest`` keeps the newest frame and drops the one it replaces; ``every`` makes the source wait.
        counts: told of every frame that arrives and of every one that is replaced.

    Attributes:
        descriptor: readable while something is there.
    """

    def __init__(self, policy: Policy, counts: FrameCounts) -> None:
        self._policy, self._counts = policy, counts
        self._waiting: deque[Delivery] = deque()
        self._frames = 0
        self._changed = threading.Condition()
        self._closed = False
        self._sequence: int | None = None
        self.descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def put(self, delivery: Delivery) -> bool:
        """Hand over; called by the source's thread.

        Returns:
            Whether more is wanted.
        """
        with self._changed:
            if isinstance(delivery, _FRAMES):
                self._count(delivery.sequence)
                if self._policy == "latest" and self._frames:
                    older = next(waiting for waiting in self._waiting if isinstance(waiting, _FRAMES))
                    self._waiting = deque(waiting for waiting in self._waiting if waiting is not older)
                    self._drop(older, Cause.SUPERSEDED)
                self._changed.wait_for(lambda: self._closed or self._frames < _QUEUE)
            if self._closed:
                self._count_dropped(delivery, Cause.STOPPED)
                return False
            self._waiting.append(delivery)
            self._frames += isinstance(delivery, _FRAMES)
        os.eventfd_write(self.descriptor, 1)
        return True

    def take(self) -> Delivery | None:
        """The oldest that waits, or ``None``."""
        with self._changed:
            if not self._waiting:
                self._quieten()
                return None
            delivery = self._waiting.popleft()
            self._frames -= isinstance(delivery, _FRAMES)
            self._changed.notify()
            return delivery

    @property
    def empty(self) -> bool:
        """Whether nothing waits."""
        return not self._waiting

    def close(self) -> None:
        """Take no more, and drop what still waits. May be called twice."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            while self._waiting:
                self._drop(self._waiting.popleft(), Cause.STOPPED)
        os.eventfd_write(self.descriptor, 1)

    def _count(self, sequence: int) -> None:
        """One more is here; numbers that were left out are frames that never came."""
        self._counts.seen()
        if self._sequence is not None and 1 < sequence - self._sequence < _LARGEST_GAP:
            self._counts.missed(sequence - self._sequence - 1)
        self._sequence = sequence

    def _drop(self, delivery: Delivery, cause: Cause) -> None:
        self._frames -= isinstance(delivery, _FRAMES)
        self._count_dropped(delivery, cause)

    def _count_dropped(self, delivery: Delivery, cause: Cause) -> None:
        if isinstance(delivery, _FRAMES):
            self._counts.dropped(Cause.UNUSABLE if isinstance(delivery, UnusableFrame) else cause)

    def _quieten(self) -> None:
        """Make the descriptor unreadable until the next `put`."""
        with suppress(BlockingIOError):
            os.eventfd_read(self.descriptor)
