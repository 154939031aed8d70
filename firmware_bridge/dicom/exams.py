"""Records gathered by exam: what was stated in the end, and what a person said of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_cns.decision.statement import Outcome
from edge_cns.decision.verdict import State
from edge_cns.runtime.sinks.base import Record, RecordType

__all__ = ["ExamGatherer", "ExamResult"]

_ANSWERED = (State.CLASS.value, State.INDETERMINATE.value)


@dataclass(frozen=True, slots=True)
class ExamResult:
    """What is said of an exam.

    Attributes:
        exam: opaque id.
        over: whether the exam has ended; else somebody has just judged its finding.
        statement: value of the last exam record.
        accepted: whether a person accepted its finding; ``None`` if nobody judged.
        means: mean probability of each class over the frames of a supported view.
        n_means: how many frames those are.
        picture: record of the frame that shows the stated class best, where it was kept.
    """

    exam: str
    over: bool
    statement: Mapping[str, Any]
    accepted: bool | None
    means: Mapping[str, float]
    n_means: int
    picture: Record | None

    @property
    def finding(self) -> str | None:
        """The finding that is stated, or ``None``."""
        label = self.statement.get("label")
        return str(label) if label and self.statement["outcome"] == Outcome.FINDING.value else None


@dataclass(slots=True)
class _Running:
    """The exam that is going on."""

    exam: str = ""
    statement: Mapping[str, Any] | None = None
    accepted: bool | None = None
    sequence: int = -1
    total: NDArray[np.float64] | float = 0.0
    count: int = 0
    best: dict[str, tuple[float, Record]] = field(default_factory=dict)


class ExamGatherer:
    """Takes records in order, and gives a result when a person judges an exam's finding, and when the exam is over.

    An exam begins and ends with `exam_reset`, and ends with the session. Asked to start anew, the runtime forgets the
    frames of an exam that goes on, and so does this.

    Args:
        names: classes, in the contract's order.
        pictures: keep the frame that shows each class best.
    """

    def __init__(self, names: Sequence[str], *, pictures: bool = False) -> None:
        self._names, self._pictures = tuple(names), pictures
        self._running = _Running()

    @property
    def exam(self) -> str:
        """Opaque id of the exam that is going on, or empty."""
        return self._running.exam

    def take(self, record: Record) -> ExamResult | None:
        """A record; the result that follows from it, if anything was said of the exam."""
        value = record.value
        match record.type:
            case RecordType.VERDICT:
                self._verdict(record)
            case RecordType.EXAM:
                if value["exam"] == self._running.exam:
                    self._running.statement = value
            case RecordType.EVENT if value["event"] == "exam_reset":
                return self._reset(str(value["exam"]))
            case RecordType.EVENT if value["event"] in ("finding_accepted", "finding_rejected"):
                self._running.accepted = value["event"] == "finding_accepted"
                return self._result(self._running, over=False)
            case RecordType.SUMMARY:
                return self._reset("")
        return None

    def _verdict(self, record: Record) -> None:
        value, running = record.value, self._running
        if not value["probabilities"] or value["sequence"] <= running.sequence:
            return
        running.sequence = value["sequence"]
        if value["state"] not in _ANSWERED or not running.exam:
            return
        running.total = running.total + np.array([value["probabilities"][name] for name in self._names])
        running.count += 1
        label, verdict = value["label"], record.verdict
        if self._pictures and label is not None and record.frame is not None and verdict is not None:
            before = running.best.get(label)
            if before is None or (verdict.probability or 0.0) > before[0]:
                running.best[label] = (verdict.probability or 0.0, record)

    def _reset(self, exam: str) -> ExamResult | None:
        over, self._running = self._running, _Running(exam)
        self._running.sequence = over.sequence
        return None if exam == over.exam else self._result(over, over=True)

    def _result(self, running: _Running, *, over: bool) -> ExamResult | None:
        statement = running.statement
        if not running.exam or statement is None or not statement["n_frames"]:
            return None
        means = running.total / running.count if running.count else np.zeros(len(self._names))
        picture = running.best.get(str(statement["label"]))
        return ExamResult(
            exam=running.exam,
            over=over,
            statement=statement,
            accepted=running.accepted,
            means=dict(zip(self._names, np.atleast_1d(means).tolist(), strict=True)),
            n_means=running.count,
            picture=None if picture is None else picture[1],
        )
