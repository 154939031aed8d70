"""Records kept in memory, in order: for a program that runs a session itself, for benchmarks and tests."""

from __future__ import annotations

from typing import Any

from edge_cns.runtime.sinks.base import Record, RecordType, Session

__all__ = ["Memory"]


class Memory:
    """A sink that remembers everything, so it is for short sessions.

    Attributes:
        records: all so far, also while the session runs.
    """

    lossless = True

    def __init__(self) -> None:
        self.records: list[Record] = []

    def start(self, session: Session) -> None:
        """See `ResultSink.start`."""

    def write(self, record: Record) -> None:
        """See `ResultSink.write`."""
        self.records.append(record)

    def close(self) -> None:
        """See `ResultSink.close`."""

    def of(self, kind: RecordType) -> list[dict[str, Any]]:
        """Values of the records of a kind, so far."""
        return [dict(record.value) for record in list(self.records) if record.type is kind]

    def classified(self) -> list[dict[str, Any]]:
        """The first verdict of each frame that was classified; later ones with its number are repetitions."""
        found: dict[int, dict[str, Any]] = {}
        for verdict in self.of(RecordType.VERDICT):
            if verdict["probabilities"]:
                found.setdefault(verdict["sequence"], verdict)
        return list(found.values())

    def events(self) -> list[str]:
        """Names of the events so far."""
        return [value["event"] for value in self.of(RecordType.EVENT)]
