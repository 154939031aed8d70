"""What the page should show now, kept up to date from records; only the newest of each kind is kept."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

from edge_cns.runtime.sinks.base import RecordType, Session
from edge_cns.runtime.sinks.viewer.discreet import Discretion, source_name
from edge_cns.runtime.sinks.viewer.messages import (
    Audience,
    Value,
    events_message,
    exam_message,
    hello_message,
    shown,
    status_message,
    verdict_message,
)
from edge_cns.runtime.sinks.viewer.picture import Picture
from edge_cns.runtime.sinks.viewer.timeline import Timeline

__all__ = ["TOPICS", "Board"]

TOPICS = ("hello", "verdict", "exam", "timeline", "status", "events")
"""What a page is told, in the order in which a new one is told it."""

_EVENTS = 8
_NEW_EXAM: Value = {"outcome": "indeterminate", "reason": "no statement yet"}
_JUDGED = {"finding_accepted": "accepted", "finding_rejected": "rejected"}


class Board:
    """Takes records and writes messages. For one thread: the server's loop.

    Attributes:
        picture: the newest, or ``None``.
        timeline: of the exam.
        record_ns: when the last record came, ``CLOCK_MONOTONIC``.
        finding: what the exam states now, as an id that no later finding has; ``None`` if it states none.
    """

    def __init__(self, session: Session) -> None:
        self.discretion = Discretion(session.bundle.contract)
        self.picture: Picture | None = None
        self.timeline = Timeline()
        self.record_ns = time.monotonic_ns()
        self.finding: str | None = None
        self._source, self._bundle = source_name(session.source), session.bundle.path.name
        self._selftest: Value = {}
        self._verdict: Value | None = None
        self._exam, self._exam_number, self._judged = _NEW_EXAM, 1, ""
        self._exam_id: tuple[str, str] | None = None  # exam and fetus; the first to come are those of what is shown
        self._findings = 0
        self._status: Value | None = None
        self._events: deque[Value] = deque(maxlen=_EVENTS)
        self._ended = ""

    def take(self, kind: RecordType, value: Value, picture: Picture | None = None) -> set[str]:
        """Take a record in; returns the topics that it changes."""
        self.record_ns = time.monotonic_ns()
        if picture is not None:
            self.picture = picture
        if kind is RecordType.VERDICT:
            return self._take_verdict(value)
        if kind is RecordType.EXAM:
            return self._take_exam(value)
        if kind is RecordType.EVENT:
            return self._take_event(value)
        if kind is RecordType.STATUS:
            self._status = value
            return {"status"}
        if kind is RecordType.SELFTEST:
            self._selftest = value
        else:
            self._ended = str(value.get("ended") or "stopped")
        return {"hello"}

    def message(self, topic: str, *, names: bool) -> dict[str, Any] | None:
        """The topic as it stands, for a page that shows names or does not; ``None`` if there is nothing yet."""
        audience, now = Audience(self.discretion, names), time.monotonic_ns()
        if topic == "hello":
            return hello_message(self._selftest, audience, source=self._source, bundle=self._bundle, ended=self._ended)
        if topic == "verdict":
            return None if self._verdict is None else verdict_message(self._verdict, audience, now)
        if topic == "exam":
            return exam_message(
                self._exam, audience, serial=self._exam_number, finding=self.finding, judged=self._judged
            )
        if topic == "status":
            return None if self._status is None else status_message(self._status, audience)
        return events_message(self._events, audience, now)

    def runs_message(self, since: int, *, names: bool) -> dict[str, Any]:
        """The runs of the timeline from number ``since`` on."""
        runs = [[run.start_ms, run.kind, run.label if names else None] for run in self.timeline.runs[since:]]
        elapsed = self.timeline.elapsed_ms(time.monotonic_ns())
        return {"type": "timeline", "elapsed_ms": elapsed, "from": since, "runs": runs}

    def picture_calls_for_review(self) -> bool:
        """Whether the picture's evidence is for a finding that is stated now.

        Only then a discreet page may colour it: anything coloured looks like a finding to a patient, whatever class it
        speaks for.
        """
        if self._verdict is None or self.picture is None:
            return False
        review = self.discretion.review
        return review(shown(self._verdict)[1]) is True and review(self.picture.label) is True

    def _take_verdict(self, value: Value) -> set[str]:
        self._verdict = value
        state, label, _ = shown(value)
        review = self.discretion.review(label) if state == "class" else None
        kind = state if review is None else ("review" if review else "clear")
        if value.get("frozen") and state != "no_signal":
            kind = "frozen"  # held, or played from memory: nothing of it is of now
        runs = len(self.timeline.runs), self.timeline.epoch
        named = label if state == "class" and not self.discretion.negative(label) else None
        self.timeline.note(int(value.get("emitted_ns", self.record_ns)), kind, named)
        return {"verdict"} if runs == (len(self.timeline.runs), self.timeline.epoch) else {"verdict", "timeline"}

    def _take_exam(self, value: Value) -> set[str]:
        topics = {"exam"}
        identity = str(value.get("exam") or ""), str(value.get("fetus") or "")
        if self._exam_id not in (None, identity):
            topics |= self._new_exam()
        self._exam_id = identity
        stated = self._stated(value)
        if stated != self._stated(self._exam):
            self._judged = ""
            self._findings += stated is not None
        self.finding = None if stated is None else f"{self._exam_number}.{self._findings}"
        self._exam = value
        return topics

    def _stated(self, value: Value) -> str | None:
        """The finding, if there is one that somebody may judge."""
        label = value.get("label") if value.get("outcome") == "finding" else None
        return str(label) if self.discretion.review(label) else None

    def _take_event(self, value: Value) -> set[str]:
        self._events.append(value)
        name = str(value.get("event", ""))
        topics = {"events"}
        if name == "exam_reset":
            topics |= self._new_exam()
        elif name in _JUDGED and self.finding is not None:
            self._judged = _JUDGED[name]
            topics.add("exam")
        return topics

    def _new_exam(self) -> set[str]:
        """Nothing of the exam before may stay in view."""
        if self._exam is not _NEW_EXAM or self.timeline.runs:
            self._exam_number += 1
        self._exam, self._exam_id, self._judged, self.finding = _NEW_EXAM, None, "", None
        self.timeline.clear()
        return {"exam", "timeline"}
