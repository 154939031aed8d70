"""The exam that is going on: whose frames these are, which of them count, and what may be said.

A frame counts once the engine has been found right after it: until then it may have been a lie. Evidence never crosses
from one patient, or fetus, to another.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edge_cns.contract import Contract
from edge_cns.decision.exam import Exam
from edge_cns.decision.statement import ExamStatement, Outcome
from edge_cns.decision.verdict import State, Verdict

__all__ = ["Evidence"]

_SAY_EVERY_NS = 1_000_000_000


class Evidence:
    """Gathers verified frames of one exam of one fetus.

    Attributes:
        exam, fetus: opaque names from the machine, or empty.
        gestational_age_days: as the machine says, or ``None``.
    """

    def __init__(self, contract: Contract) -> None:
        self._names = contract.class_names
        self._exam = Exam(contract)
        self._unverified: list[Verdict] = []
        self._began_ns = 0
        self._seconds = 0.0
        self._said: tuple[Any, ...] = ()
        self._said_ns = 0
        self._said_frames = -1
        self.exam = self.fetus = ""
        self.gestational_age_days: int | None = None

    @property
    def empty(self) -> bool:
        """Whether nothing has been gathered."""
        return not self._began_ns and not self._unverified

    def reset(self) -> None:
        """Forget every frame."""
        self._exam.reset()
        self._unverified.clear()
        self._began_ns, self._seconds, self._said_frames = 0, 0.0, -1

    def offer(self, verdict: Verdict) -> None:
        """A live frame's verdict, to count once the engine was found right."""
        self._unverified.append(verdict)

    def verify(self) -> None:
        """The engine is right: what was offered counts."""
        for verdict in self._unverified:
            self._began_ns = self._began_ns or verdict.captured_ns
            self._seconds = max(self._seconds, (verdict.captured_ns - self._began_ns) / 1e9)
            single = None if verdict.state is not State.CLASS or verdict.label is None else verdict.label
            self._exam.add(
                np.array(list(verdict.probabilities.values())),
                supported=verdict.state is not State.NOT_SUPPORTED_VIEW,
                single=None if single is None else self._names.index(single),
                view=verdict.view,
                seconds=self._seconds,
                sequence=verdict.sequence,
                novelty=verdict.novelty,
            )
        self._unverified.clear()

    def withdraw(self) -> int:
        """The engine was wrong: what was offered since it was last found right does not count.

        Returns:
            How many frames that are.
        """
        withdrawn = len(self._unverified)
        self._unverified.clear()
        return withdrawn

    def statement(self) -> ExamStatement:
        """What may be said so far."""
        return self._exam.statement()

    @property
    def finding(self) -> str | None:
        """The finding that is stated now, or ``None``."""
        statement = self.statement()
        return statement.label if statement.outcome is Outcome.FINDING else None

    def news(self, now_ns: int) -> dict[str, Any] | None:
        """What an exam record says, if something else may be said than last time, or a second later; else ``None``."""
        statement = self.statement()
        whose = {"exam": self.exam, "fetus": self.fetus, "gestational_age_days": self.gestational_age_days}
        what = (*whose.values(), statement.outcome, statement.label, statement.views_seen)
        waited = now_ns - self._said_ns >= _SAY_EVERY_NS and statement.n_frames != self._said_frames
        if what == self._said and not waited:
            return None
        self._said, self._said_ns, self._said_frames = what, now_ns, statement.n_frames
        scores = self._exam.scores()
        evidence = {} if scores is None else dict(zip(self._names, map(float, scores), strict=True))
        return {**whose, **statement.to_json(), "evidence": evidence}
