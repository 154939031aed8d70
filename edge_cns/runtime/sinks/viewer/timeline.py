"""What was stated when, since the exam began."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Run", "Timeline"]

_MOST_RUNS = 2000
_SILENT_NS = 1_000_000_000  # without a record for so long, nothing was stated


class Run(NamedTuple):
    """From when on something was stated; it ends where the next one begins.

    Attributes:
        start_ms: since the exam began.
        kind: ``review`` or ``clear`` for a class, else a state.
        label: the class, or ``None``.
    """

    start_ms: int
    kind: str
    label: str | None


class Timeline:
    """Runs of the exam that is going on; the oldest are forgotten after 2000.

    Attributes:
        runs: in order.
        epoch: another number means that what was read of ``runs`` before is void.
    """

    def __init__(self) -> None:
        self.runs: list[Run] = []
        self.epoch = 0
        self._began_ns: int | None = None
        self._last_ns = 0

    def clear(self) -> None:
        """Another exam begins with the next note."""
        self.runs = []
        self.epoch += 1
        self._began_ns = None

    def note(self, at_ns: int, kind: str, label: str | None) -> None:
        """Say what is stated now; ``at_ns`` is ``CLOCK_MONOTONIC``."""
        if self._began_ns is None:
            self._began_ns = self._last_ns = at_ns
        if at_ns - self._last_ns > _SILENT_NS:
            self._add(self._last_ns + _SILENT_NS // 2, "no_signal", None)
        self._last_ns = max(at_ns, self._last_ns)
        self._add(self._last_ns, kind, label)

    def elapsed_ms(self, now_ns: int) -> int:
        """How long the exam has been going on."""
        return 0 if self._began_ns is None else max(0, (now_ns - self._began_ns) // 1_000_000)

    def _add(self, at_ns: int, kind: str, label: str | None) -> None:
        if self.runs and self.runs[-1][1:] == (kind, label):
            return
        self.runs.append(Run(self.elapsed_ms(at_ns), kind, label))
        if len(self.runs) > _MOST_RUNS:
            del self.runs[: _MOST_RUNS // 2]
            self.epoch += 1
