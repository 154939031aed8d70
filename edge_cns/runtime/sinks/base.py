"""What goes to a sink, what a sink is, and what one may ask of the runtime."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from edge_cns.bundle import Bundle
from edge_cns.decision.verdict import Verdict
from edge_cns.frames import Frame, Region

__all__ = ["Controls", "Record", "RecordType", "ResultSink", "Session"]


class RecordType(str, enum.Enum):
    """Kinds of record, in the order in which they first appear. Programs read these words."""

    SELFTEST = "selftest"
    """Once, first: what was checked at power-on, on which engine, and how long its warm-up took."""
    EVENT = "event"
    """Something happened: the engine started or died, the machine froze, somebody rejected a finding."""
    VERDICT = "verdict"
    """One for each classified frame, and at least two a second otherwise."""
    EXAM = "exam"
    """What may be said of the exam so far; whenever it changes."""
    STATUS = "status"
    """Once a second: counts, engine, rate, drift."""
    SUMMARY = "summary"
    """Once, last: frames seen, classified, dropped by cause."""


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """One thing the runtime says.

    Attributes:
        type: what kind.
        value: JSON-ready, without the type; see `docs/run.md` for the fields.
        verdict: of a verdict record, with its heat map.
        frame: the frame that ``verdict`` is about; ``None`` where no frame is (*no signal*).
        region: the part of it that was classified, px.
    """

    type: RecordType
    value: Mapping[str, Any]
    verdict: Verdict | None = None
    frame: Frame | None = None
    region: Region | None = None

    def to_json(self) -> dict[str, Any]:
        """``{"type": ..., **value}``."""
        return {"type": self.type.value, **self.value}


class Controls(Protocol):
    """What a person at a sink may ask of the runtime. From any thread; each is logged as an event."""

    def freeze(self, on: bool) -> None:
        """Hold the image and its verdict, or let it go on."""

    def reset_exam(self) -> None:
        """Forget the evidence: another patient, or from the start."""

    def judge(self, accepted: bool, note: str = "") -> None:
        """Accept or reject the finding that the exam states now."""


@dataclass(frozen=True, slots=True, eq=False)
class Session:
    """What a sink has to know before the first record.

    Attributes:
        bundle: that classifies.
        source: URI of the source, without a password.
        controls: what the sink may ask for.
    """

    bundle: Bundle
    source: str
    controls: Controls


class ResultSink(Protocol):
    """Something that takes records. Each runs in a thread of its own, so that a slow one slows nobody.

    The constructor claims what the sink needs (file, port) and raises `BadInputError` for what cannot be had. A sink
    that serves something has an ``address`` too, the URL that a person opens.
    """

    lossless: bool
    """Whether every record must arrive. The others lose their oldest verdicts when they fall behind, and are told."""

    def start(self, session: Session) -> None:
        """Make ready, in the sink's thread, before the first record."""

    def write(self, record: Record) -> None:
        """Take a record.

        Raises:
            OSError, EdgeCnsError: it could not be taken. That is said on the log; the next one is tried all the same.
        """

    def close(self) -> None:
        """Finish within half a second. May be called twice."""
