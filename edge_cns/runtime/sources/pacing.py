"""Waiting until a frame is due, in a way that closing a source ends at once."""

from __future__ import annotations

import threading
import time

__all__ = ["Pacer"]


class Pacer:
    """Keeps a rate. A frame that is late goes out at once and the schedule starts again from it: frames never bunch.

    Args:
        closed: set by whoever closes the source; it ends every wait.
    """

    def __init__(self, closed: threading.Event) -> None:
        self._closed = closed
        self._due_ns = 0

    def wait(self, seconds: float) -> bool:
        """Sleep until ``seconds`` after the frame before was due.

        Returns:
            ``False`` when the source was closed meanwhile: deliver nothing more.
        """
        now = time.monotonic_ns()
        self._due_ns = max(now, self._due_ns + round(seconds * 1e9)) if self._due_ns else now
        if self._due_ns > now:
            self._closed.wait((self._due_ns - now) / 1e9)
        return not self._closed.is_set()
