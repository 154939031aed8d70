"""What waits to be written: bounded in observations, frames and bytes, and whoever puts something never waits."""

from __future__ import annotations

import threading
import time
from collections import deque

from edge_cns.runtime.live.observations import Result
from edge_cns.runtime.recording.codec import Entry

__all__ = ["Waiting"]

_OBSERVATIONS = 4096
_FRAMES = 32
_FRAME_BYTES = 48 * 10**6  # the whole runtime is to fit into 150 MB


class Waiting:
    """Entries from the dispatcher's thread to the recorder's.

    Attributes:
        frames_left_out: results that had to go without their frame.
    """

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque()
        self._changed = threading.Condition()
        self._frames = self._frame_bytes = self._lost = 0
        self._deadlines: tuple[float, float] | None = None
        self.frames_left_out = 0

    def put(self, entry: Entry) -> None:
        """Hand over. If too many frames wait, this one's is left out; if too many observations wait, all of it is."""
        with self._changed:
            if self._deadlines is not None or len(self._entries) >= _OBSERVATIONS:
                self._lost += 1
                self.frames_left_out += isinstance(entry.seen, Result)
                return
            entry.lost_before, self._lost = self._lost, 0
            if entry.frame is not None:
                size = entry.frame.pixels.nbytes
                if self._frames >= _FRAMES or (self._frames and self._frame_bytes + size > _FRAME_BYTES):
                    entry.frame = None
                    self.frames_left_out += 1
                else:
                    self._frames += 1
                    self._frame_bytes += size
            self._entries.append(entry)
            self._changed.notify()

    def take(self) -> Entry | None:
        """The oldest; waits for one. ``None`` at the end."""
        with self._changed:
            while not self._entries and self._deadlines is None:
                self._changed.wait()
            if not self._entries:
                return None
            if self._deadlines is not None and time.monotonic() > self._deadlines[1]:
                return None
            entry = self._entries.popleft()
            if entry.frame is not None:
                self._frames -= 1
                self._frame_bytes -= entry.frame.pixels.nbytes
                if self._deadlines is not None and time.monotonic() > self._deadlines[0]:
                    entry.frame = None  # encoding is what takes the time; the rest may still be in time
                    self.frames_left_out += 1
            return entry

    def end(self, frames_until: float, until: float) -> None:
        """Take no more. What waits is handed out with its frames until one time, and at all until another (s)."""
        with self._changed:
            self._deadlines = self._deadlines or (frames_until, until)
            self._changed.notify()

    def left(self) -> int:
        """How many observations nobody will take any more, after `end`."""
        with self._changed:
            self.frames_left_out += sum(isinstance(entry.seen, Result) for entry in self._entries)
            left = len(self._entries) + self._lost
            self._entries.clear()
            self._lost = 0
            return left
