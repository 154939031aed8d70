"""Every frame is accounted for: seen = classified + dropped, by cause, + pending."""

from __future__ import annotations

import enum
import threading
from collections import Counter
from typing import Any

__all__ = ["Cause", "FrameCounts"]


class Cause(str, enum.Enum):
    """Why a frame was not classified. Programs read these words."""

    SUPERSEDED = "superseded"
    """A newer one came before the engine was free (policy ``latest``)."""
    RATE = "rate"
    """More came than ``--max-fps`` or the reduced rate lets through."""
    REPEATED = "repeated"
    """The source delivered it twice: same number or same time."""
    UNCHANGED = "unchanged"
    """The same pixels as the one before."""
    BACKWARDS = "backwards"
    """Older than one that came before it."""
    FROZEN = "frozen"
    """The machine, or somebody at the page, holds the image."""
    BLANK = "blank"
    """Black, or all one grey."""
    UNUSABLE = "unusable"
    """No frame could be made of it."""
    ENGINE = "engine"
    """The engine was lost while it ran it, twice."""
    NO_ENGINE = "no_engine"
    """There was no engine."""
    STOPPED = "stopped"
    """The runtime ended before its turn."""


class FrameCounts:
    """Counts of frames, from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen = self._classified = self._late = self._missed = 0
        self._dropped: Counter[str] = Counter()

    def seen(self) -> None:
        """One arrived."""
        with self._lock:
            self._seen += 1

    def missed(self, count: int) -> None:
        """Frames that the source numbered and could not deliver."""
        with self._lock:
            self._missed += count

    def classified(self, *, late: bool) -> None:
        """One has its verdict; ``late`` if that had expired by then."""
        with self._lock:
            self._classified += 1
            self._late += late

    def dropped(self, cause: Cause) -> None:
        """One will have none."""
        with self._lock:
            self._dropped[cause.value] += 1

    def to_json(self) -> dict[str, Any]:
        """``seen``, ``classified``, ``dropped`` by cause, ``pending``; and ``late`` ones of the classified.

        ``missed`` ones never came, and are not among those seen.
        """
        with self._lock:
            pending = self._seen - self._classified - sum(self._dropped.values())
            return {
                "seen": self._seen,
                "classified": self._classified,
                "dropped": dict(sorted(self._dropped.items())),
                "pending": pending,
                "late": self._late,
                "missed": self._missed,
            }
