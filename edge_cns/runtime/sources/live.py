"""Cameras and streams: read in a thread of their own, connected again when they are lost."""

from __future__ import annotations

import atexit
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Protocol

import cv2

from edge_cns.errors import BadInputError, OperationError
from edge_cns.frames import Delivery, EventKind, MachineEvent
from edge_cns.runtime.sources.playback import usable

__all__ = ["READ_SECONDS", "Capture", "LiveCapture", "first_frame"]

READ_SECONDS = 2.0
"""How long a read may wait for a frame before the source counts as lost."""

_STALLED = 0.9 * READ_SECONDS  # a frame after such a wait is one that a decoder had left: seconds old, not fresh
_PAUSES = (0.25, 5.0)  # seconds: the first one before connecting again, and the longest
_FIRST = 10  # frames of which one must be whole
_WAITING = 2  # deliveries handed over and not yet taken; then reading waits, as it would without a thread
_SETTLE = 0.3  # seconds that closing waits for the reading thread
_CONNECTING = 15.0  # seconds; a library without a timeout of its own must not hold up the start for ever


class Capture(Protocol):
    """The part of `cv2.VideoCapture` that is used."""

    def grab(self) -> bool:
        """Wait for the next frame."""

    def retrieve(self) -> tuple[bool, Any]:
        """Decode it."""

    def release(self) -> None:
        """Let go of the device or stream."""


def first_frame(capture: Capture) -> bool:
    """Whether a frame comes; that is when a source counts as connected. Cameras may begin with damaged ones."""
    try:
        for _ in range(_FIRST):
            if not capture.grab():
                return False
            if capture.retrieve()[0]:
                return True
    except cv2.error:
        pass
    return False


class LiveCapture:
    """A camera or stream as a source. Frames that come before anybody iterates are let go, so that the first is fresh.

    OpenCV must not release a capture while it reads, and a read may wait for seconds: so a thread reads, and it alone
    releases, while `close` only sets a flag and the iteration ends at once.

    Args:
        connect: opens the capture and has seen a frame of it, within seconds.
        lost: what to say when frames stop.

    Raises:
        EdgeCnsError: the first connection fails, as ``connect`` says it.
    """

    def __init__(self, connect: Callable[[], Capture], *, lost: str) -> None:
        self._connect, self._lost = connect, lost
        self._closed = threading.Event()
        self._changed = threading.Condition()
        self._waiting: deque[Delivery] = deque()
        self._wanted = False
        self._failure: Exception | None = None
        self._sequence = 0
        self._connected = threading.Event()
        self._thread = threading.Thread(target=self._run, name="source-reader", daemon=True)
        self._thread.start()
        answered = self._connected.wait(_CONNECTING)
        if self._failure is not None:
            raise self._failure
        if not answered:
            self._closed.set()
            raise BadInputError(f"the source did not answer within {_CONNECTING:.0f} s; check that it runs")
        atexit.register(self.close)  # a thread inside OpenCV when the interpreter ends would abort the process

    def __iter__(self) -> Iterator[Delivery]:
        """Yield until closed; what is lost is announced and connected again.

        Raises:
            OperationError: reading failed in a way that connecting again cannot mend.
        """
        self._wanted = True
        while (delivery := self._take()) is not None:
            yield delivery
        if self._failure is not None and not self._closed.is_set():
            raise OperationError(f"the source failed ({self._failure}); start again, and report it if it comes back")

    def close(self) -> None:
        """End the iteration. The device or stream is free as soon as the read that is under way has ended."""
        self._closed.set()
        atexit.unregister(self.close)
        with self._changed:
            self._waiting.clear()
            self._changed.notify_all()
        if threading.current_thread() is not self._thread:
            self._thread.join(_SETTLE)

    def _take(self) -> Delivery | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed.is_set() or self._failure)
            if self._closed.is_set() or not self._waiting:
                return None
            self._changed.notify_all()
            return self._waiting.popleft()

    def _give(self, delivery: Delivery) -> None:
        with self._changed:
            self._changed.wait_for(lambda: len(self._waiting) < _WAITING or self._closed.is_set())
            if not self._closed.is_set():
                self._waiting.append(delivery)
                self._changed.notify_all()

    def _run(self) -> None:
        try:
            capture: Capture | None = self._connect()
            self._connected.set()
            while capture is not None:
                self._read(capture)
                if self._wanted:
                    self._give(MachineEvent.now(EventKind.DISCONNECTED, self._lost))
                capture.release()  # after it was said: a stream takes leave of its server, which may not answer
                capture = self._again()
        except Exception as error:  # whatever it is, the iterating thread has to hear of it
            with self._changed:
                self._failure = error
                self._connected.set()
                self._changed.notify_all()

    def _read(self, capture: Capture) -> None:
        """Hand over frame after frame until no more come."""
        while not self._closed.is_set():
            asked = time.monotonic()
            try:
                if not capture.grab() or time.monotonic() - asked > _STALLED:
                    return
                captured_ns = time.monotonic_ns()
                decoded, pixels = capture.retrieve()
            except cv2.error:
                return
            if self._wanted and not self._closed.is_set():
                frame = usable(pixels if decoded else None)
                self._give(replace(frame, captured_ns=captured_ns, sequence=self._sequence))
                self._sequence += 1

    def _again(self) -> Capture | None:
        """Connect once more, with growing pauses; ``None`` when the source was closed meanwhile."""
        pause, longest = _PAUSES
        while not self._closed.wait(pause):
            pause = min(2 * pause, longest)
            try:
                capture = self._connect()
            except (BadInputError, OperationError):  # still gone
                continue
            if self._wanted:
                self._give(MachineEvent.now(EventKind.CONNECTED))
            return capture
        return None
