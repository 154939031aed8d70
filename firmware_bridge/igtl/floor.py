"""Who is heard: of all peers one has the floor, and its frames and events go to whoever iterates, in order.

Frames of two machines must never be evidence of one exam. So the peer that connected last among those that send images
has the floor until it leaves; whoever takes it from another, or finds it empty, begins without evidence.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import replace

from edge_cns.frames import Delivery, EventKind, Frame, MachineEvent, UnusableFrame

__all__ = ["Floor"]

_WAITING = 2  # deliveries that are not yet taken; then the peer has to wait, and its connection with it


class Floor:
    """Hands deliveries of one peer at a time from the connections' threads to the iterating one.

    Args:
        strangers: whether a new connection may be another machine. Then it begins a new exam; otherwise it is the same
            machine again, and only *connected* is said.
        waiting_for: what to say until somebody has the floor; empty where somebody will have it at once.
    """

    def __init__(self, *, strangers: bool, waiting_for: str = "") -> None:
        self._strangers = strangers
        self._changed = threading.Condition()
        self._waiting: deque[Delivery] = deque()
        self._speaker: int | None = None
        self._anybody = False
        self._iterated = self._closed = False
        self._sequence = self._last_ns = 0
        if waiting_for:
            self._append(MachineEvent.now(EventKind.DISCONNECTED, waiting_for))

    def wants_images(self, who: int) -> bool:
        """Whether images of a peer would be heard now."""
        return self._iterated and not self._closed and self._may_speak(who)

    def enter(self, who: int) -> None:
        """A peer has the floor from now on, before it has said anything."""
        with self._changed:
            self._take_floor(who, time.monotonic_ns())
            self._changed.notify_all()

    def say(self, who: int, delivery: Delivery) -> bool:
        """Hand over what a peer sent: a frame, or an event of its machine; waits for room.

        Args:
            who: number of the connection; a later one has a larger number.
            delivery: its sequence is set here. Frames that come before anybody iterates are let go.

        Returns:
            Whether the peer is heard: not if another has the floor, or after `close`.
        """
        with self._changed:
            frame = not isinstance(delivery, MachineEvent)
            self._changed.wait_for(lambda: self._closed or not self._may_speak(who) or self._has_room())
            if self._closed or not self._may_speak(who):
                return False
            if frame and not self._iterated:
                return True
            at_ns = delivery.at_ns if isinstance(delivery, MachineEvent) else delivery.captured_ns
            self._take_floor(who, at_ns)
            self._append(delivery)
            self._changed.notify_all()
            return True

    def has(self, who: int) -> bool:
        """Whether a peer has the floor."""
        return self._speaker == who

    def leave(self, who: int, why: str) -> None:
        """A peer is gone; if it had the floor, that is said."""
        with self._changed:
            if self._speaker == who and not self._closed:
                self._speaker = None
                self._append(MachineEvent.now(EventKind.DISCONNECTED, why))
            self._changed.notify_all()

    def take(self) -> Delivery | None:
        """The next delivery; waits for one. ``None`` after `close`."""
        with self._changed:
            self._iterated = True
            self._changed.wait_for(lambda: self._waiting or self._closed)
            if self._closed:
                return None
            self._changed.notify_all()
            return self._waiting.popleft()

    def close(self) -> None:
        """Nothing is heard any more. May be called twice."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._changed.notify_all()

    def _may_speak(self, who: int) -> bool:
        return self._speaker is None or who >= self._speaker

    def _has_room(self) -> bool:
        return len(self._waiting) < _WAITING

    def _take_floor(self, who: int, at_ns: int) -> None:
        """What has to be said when another peer is heard than before."""
        if self._speaker == who:
            return
        if self._speaker is not None:
            self._append(MachineEvent(EventKind.DISCONNECTED, at_ns, "another client sends images now"))
        self._speaker = who
        if self._strangers or self._anybody:
            self._append(MachineEvent(EventKind.CONNECTED, at_ns))
        if self._strangers and self._anybody:
            self._append(MachineEvent(EventKind.EXAM, at_ns))
            self._append(MachineEvent(EventKind.MODE, at_ns))
        self._anybody = True

    def _append(self, delivery: Delivery) -> None:
        """Append; times never go back, even where two connections' threads have changed places."""
        if isinstance(delivery, Frame | UnusableFrame):
            self._last_ns = max(delivery.captured_ns, self._last_ns + 1)
            delivery = replace(delivery, captured_ns=self._last_ns, sequence=self._sequence)
            self._sequence += 1
        else:
            self._last_ns = max(delivery.at_ns, self._last_ns)
            delivery = replace(delivery, at_ns=self._last_ns)
        self._waiting.append(delivery)
