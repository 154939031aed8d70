"""A bundle with an exam rule, and a session whose clock is turned by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_cns.bundle import Bundle
from edge_cns.contract import Aggregation, ClassDefinition, Contract, Decision, ExamRule, InputSpec, IntendedUse
from edge_cns.decision.verdict import LIFETIME_NS, State, Verdict
from edge_cns.frames import EventKind, Frame, Region
from edge_cns.runtime.live.counts import Cause
from edge_cns.runtime.live.monitor import Monitor
from edge_cns.runtime.live.observations import (
    Arrived,
    Control,
    EngineChanged,
    Machine,
    Pictured,
    Result,
    SourceEnded,
    Tick,
    Unusable,
    Verified,
)
from edge_cns.runtime.sinks.base import Record, RecordType

CLASSES = ("cele", "holo", "normal")
MS = 1_000_000


def make_bundle() -> Bundle:
    rule = ExamRule(Aggregation(), (0.4, 0.4, 0.6), 0.95, negative="normal", required_views=("head", "spine"))
    decision = Decision(calibrated=True, model_sha256="0" * 64, exam=rule)
    named = tuple(ClassDefinition(name) for name in CLASSES)
    contract = Contract(named, InputSpec(64, 64), IntendedUse("Research use only."), decision)
    return Bundle(Path("hand.cns"), {}, contract, {"outcome": "passed"})


class Play:
    """Tells a monitor what happens, and keeps what it says."""

    def __init__(self) -> None:
        self.monitor = Monitor(make_bundle())
        self.now = 10_000 * MS
        self.sequence = 0
        self.records: list[Record] = []
        self.refusals: list[Cause] = []
        self.tell(EngineChanged(self.now, True, "litert", 42))

    def tell(self, seen: object) -> Cause | None:
        reaction = self.monitor.observe(seen)
        self.records += reaction.records
        if reaction.refusal is not None:
            self.refusals.append(reaction.refusal)
        return reaction.refusal

    def wait(self, ms: float) -> None:
        end = self.now + round(ms * MS)
        while self.now < end:
            self.now = min(end, self.now + 20 * MS)
            self.tell(Tick(self.now))

    def frame(self, label: str | None = "cele", *, digest: int | None = None, blank: str = "", **changes) -> None:
        """A frame that is captured, looked at, run and verified, 5 ms in all; 33 ms until the next."""
        captured, meanwhile = changes.pop("captured_ns", self.now), changes.pop("meanwhile", None)
        sequence = changes.pop("sequence", self.sequence)
        self.sequence += 1
        self.now += MS
        arrived = self.now
        if self.tell(Arrived(arrived, sequence, captured)) is None:
            self.now += MS
            if self.tell(Pictured(self.now, self.sequence if digest is None else digest, blank)) is None:
                self.now += 3 * MS
                if meanwhile is not None:
                    meanwhile(self)
                verdict = self.verdict(label, sequence, captured, **changes)
                self.tell(Result(self.now, arrived, verdict, Region(0, 0, 64, 64)))
        self.wait(28)

    def film(self, label: str | None, seconds: float, **changes) -> None:
        for _ in range(round(seconds * 30)):
            self.frame(label, **changes)
            self.tell(Verified(self.now))

    def verdict(self, label: str | None, sequence: int, captured: int, state: State | None = None, view="head"):
        shares = {name: 0.9 if name == label else 0.05 for name in CLASSES}
        if label is None:
            shares = dict.fromkeys(CLASSES, 1 / 3)
        state = state or (State.CLASS if label else State.INDETERMINATE)
        return Verdict(
            state=state,
            label=label if state is State.CLASS else None,
            probability=0.9 if state is State.CLASS else None,
            probabilities=shares,
            reason="" if label else "could be anything",
            sequence=sequence,
            captured_ns=captured,
            emitted_ns=self.now,
            expires_ns=captured + LIFETIME_NS,
            latency_ms=3.0,
            heatmap=np.zeros((2, 2), np.float32),
            calibrated=True,
            proof="passed",
            view=view,
        )

    def say(self, kind: EventKind, value: str = "") -> None:
        self.tell(Machine(self.now, kind, value))

    def ask(self, action: str, note: str = "") -> None:
        self.tell(Control(self.now, action, note))

    def lose_engine(self, why: str = "the engine litert was lost: killed") -> None:
        self.tell(EngineChanged(self.now, False, "litert", 0, why))

    def regain_engine(self) -> None:
        self.tell(EngineChanged(self.now, True, "litert", 43))

    def unusable(self) -> None:
        self.tell(Unusable(self.now, "frame is 40x30 px"))

    def end(self, why: str = "the source ended") -> None:
        self.tell(SourceEnded(self.now, why))

    def of(self, kind: RecordType) -> list[dict]:
        return [record.value for record in self.records if record.type is kind]

    @property
    def verdicts(self) -> list[dict]:
        return self.of(RecordType.VERDICT)

    @property
    def last(self) -> dict:
        return self.verdicts[-1]

    def events(self) -> list[str]:
        return [value["event"] for value in self.of(RecordType.EVENT)]

    @property
    def exam(self) -> dict:
        return self.of(RecordType.EXAM)[-1]


@pytest.fixture
def play() -> Play:
    return Play()


@pytest.fixture
def live(play: Play) -> Play:
    """After half a second of film."""
    play.film("cele", 0.5)
    return play


__all__ = ["MS", "Frame", "Play", "live", "play"]
