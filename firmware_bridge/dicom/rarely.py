"""What strangers can make us log, said now and then: they shall not fill a disk."""

from __future__ import annotations

import logging
import threading
import time

from edge_cns.runtime import log

__all__ = ["Rarely"]


class Rarely:
    """Says each thing at once the first time, and then with how often it happened. From any thread.

    Args:
        seconds: between two lines about the same thing.
    """

    def __init__(self, seconds: float = 10.0) -> None:
        self._seconds = seconds
        self._changed = threading.Lock()
        self._said: dict[tuple[str, str], tuple[float, int]] = {}

    def say(self, event: str, detail: str) -> None:
        """Log a warning; ``event`` and ``detail`` are ours, and few."""
        now, key = time.monotonic(), (event, detail)
        with self._changed:
            before, held = self._said.get(key, (-self._seconds, 0))
            if now - before < self._seconds:
                self._said[key] = (before, held + 1)
                return
            self._said[key] = (now, 0)
        more = f", and {held} times before that" if held else ""
        log.say(event, f"{detail}{more}", level=logging.WARNING)
