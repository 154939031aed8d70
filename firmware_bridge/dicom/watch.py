"""How far the runtime is with what the source has delivered: the source's own sink."""

from __future__ import annotations

import threading
import time

from edge_cns.decision.statement import Outcome
from edge_cns.runtime.sinks.base import Record, RecordType, Session

__all__ = ["Watch"]

_PATIENCE = 3.0  # times what the last answer took
_PATIENCE_SECONDS = 0.12


class Watch:
    """A sink that the source asks.

    Args:
        address: of the source, for people.
    """

    lossless = True

    def __init__(self, address: str) -> None:
        self.address = address
        self._changed = threading.Condition()
        self._running = False
        self._classified = -1
        self._answered = self._latency = 0.0  # seconds
        self._finding = self._judged = False

    @property
    def unjudged(self) -> bool:
        """Whether the exam states a finding that nobody has accepted or rejected."""
        return self._finding and not self._judged

    def wait_for(self, sequence: int, seconds: float) -> None:
        """Wait until a frame was answered, or no answer comes any more; not at all where nobody runs this sink.

        A frame that the runtime does not classify, such as a repeated one, has no answer: after three times as long as
        an answer takes it is given up.
        """
        until = time.monotonic() + seconds
        with self._changed:
            began = time.monotonic()
            while self._running and self._classified < sequence:
                now = time.monotonic()
                given_up = max(self._answered, began) + max(_PATIENCE_SECONDS, _PATIENCE * self._latency)
                if now >= min(until, given_up):
                    return
                self._changed.wait(min(until, given_up) - now)

    def start(self, session: Session) -> None:
        """See `ResultSink.start`."""
        self._running = True

    def write(self, record: Record) -> None:
        """See `ResultSink.write`."""
        value = record.value
        if record.type is RecordType.VERDICT and value["probabilities"]:
            with self._changed:
                if value["sequence"] > self._classified:  # else it is said again
                    self._classified, self._answered = int(value["sequence"]), time.monotonic()
                    self._latency = float(value["latency_ms"]) / 1000
                self._changed.notify_all()
        elif record.type is RecordType.EXAM:
            self._finding = value["outcome"] == Outcome.FINDING.value
        elif record.type is RecordType.EVENT:
            if value["event"] == "exam_reset":
                self._finding = self._judged = False
            elif value["event"] in ("finding_accepted", "finding_rejected"):
                self._judged = True

    def close(self) -> None:
        """See `ResultSink.close`. Ends every wait."""
        with self._changed:
            self._running = False
            self._changed.notify_all()
