"""What may be said now: the one place where frames, engine, machine and time become a verdict.

It is told everything with its time (`edge_cns.runtime.live.observations`) and keeps no clock of its own. In order,
the first that holds is said:

    no signal     the source is gone
    frozen        the machine holds the image: the verdict on it is held too, "frozen image, not live"
    no signal     the engine is gone; frames stopped, run backwards in time, or have no picture in them
    not supported what comes is no frame
    frozen        the same pixels for half a second: "frozen or stalled"
    no signal     the newest answer is older than half a second
    otherwise     the verdict on the newest frame
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from edge_cns.bundle import Bundle
from edge_cns.decision.steady import Shown, Steady
from edge_cns.decision.verdict import LIFETIME_NS, State, Verdict
from edge_cns.frames import EventKind, Frame, Region
from edge_cns.runtime.live.counts import Cause
from edge_cns.runtime.live.evidence import Evidence
from edge_cns.runtime.live.observations import (
    Arrived,
    Control,
    EngineChanged,
    Machine,
    Observation,
    Pictured,
    Result,
    SourceEnded,
    Tick,
    Unusable,
    Verified,
)
from edge_cns.runtime.sinks.base import Record, RecordType

__all__ = ["Monitor", "Reaction"]

_SILENCE_NS = 400_000_000  # without a frame: said with 100 ms to spare
_STALLED_NS = 480_000_000  # with the same pixels: half a second, less a tick
_REPEAT_NS = 400_000_000  # a verdict is repeated so often, where nothing new is to be said
_FORGET_NS = 60_000_000_000  # without a picture: the next one is of another exam
_FORGET_HELD_NS = 900_000_000_000  # with one that does not move: nobody looks at an image for a quarter of an hour
_REBASE_NS = 2_000_000_000  # of older frames: the source's clock was set back
_GREY_SCALE = ("", "B")
_UNKNOWN = Shown(State.INDETERMINATE, None, None, 0)


@dataclass(frozen=True, slots=True)
class Reaction:
    """What follows from an observation: records, and why the frame need not be looked at any further."""

    records: tuple[Record, ...] = ()
    refusal: Cause | None = None


class Monitor:
    """The state of a session. Deterministic: the same observations give the same records.

    Args:
        bundle: whose verdicts these are.
    """

    def __init__(self, bundle: Bundle) -> None:
        self._calibrated, self._proof = bundle.contract.decision.calibrated, bundle.proof
        self._steady = Steady()
        self._evidence = Evidence(bundle.contract)
        self._shown = _UNKNOWN
        # the source
        self._source = "no frame yet"  # why none can come; empty while they can
        self._arrived_ns = self._captured_ns = 0
        self._sequence = -1
        self._backwards_ns = 0
        self._unusable = self._mode = ""
        # the picture
        self._digest: int | None = None
        self._pictured_ns = self._changed_ns = 0
        self._blank = ""
        self._machine_hold = ""  # "announced", "cine" or empty: what the machine says of its image
        self._page_hold = False  # whether somebody at a sink holds the image
        self._asked_ns = 0  # somebody asked for a fresh start: what was captured before is not part of it
        self._since_ns = 0  # frames that came earlier are of what was before: an exam, a mode, an image from memory
        self._held: Result | None = None
        # the engine
        self._engine, self._backend, self._fallback = "the engine has not started", "", ""
        # what was said
        self._current: Result | None = None
        self._said: tuple[State, str] | None = None
        self._said_ns = 0

    @property
    def _hold(self) -> str:
        """``announced`` while the image is held on purpose, ``cine`` while it comes from memory, or empty."""
        return "announced" if self._page_hold else self._machine_hold

    @property
    def state(self) -> State:
        """What was said last."""
        return State.NO_SIGNAL if self._said is None else self._said[0]

    @property
    def unreadable(self) -> str:
        """Why no frame of the machine's present mode can be read; empty if they can."""
        return "" if self._mode in _GREY_SCALE else f"the machine is in {self._mode} mode: only B mode is supported"

    def observe(self, seen: Observation) -> Reaction:  # noqa: PLR0911 - a line a kind
        """Take in an observation. Times must not go back."""
        match seen:
            case Arrived():
                return self._arrived(seen)
            case Pictured():
                return self._pictured(seen)
            case Result():
                return Reaction(self._result(seen))
            case Verified():
                self._evidence.verify()
                return Reaction(self._exam_news(seen.now_ns))
            case EngineChanged():
                return Reaction(self._engine_changed(seen))
            case Machine():
                return Reaction(self._machine(seen))
            case Unusable():
                self._arrived_ns, self._unusable, self._source = seen.now_ns, seen.reason, ""
                self._digest = None
                return Reaction(self._tick(seen.now_ns))
            case SourceEnded():
                self._source = seen.reason
                return Reaction(self._tick(seen.now_ns))
            case Control():
                return Reaction(self._control(seen))
            case Tick():
                return Reaction(self._forget(seen.now_ns) + self._tick(seen.now_ns))

    # frames

    def _arrived(self, seen: Arrived) -> Reaction:
        now, refusal = seen.now_ns, None
        records = self._forget(now)
        self._arrived_ns, self._source = now, ""
        if seen.sequence == self._sequence or (seen.captured_ns == self._captured_ns and seen.captured_ns):
            refusal = Cause.REPEATED
        elif seen.captured_ns < self._captured_ns:
            self._backwards_ns = self._backwards_ns or now
            if now - self._backwards_ns < _REBASE_NS:
                return Reaction(records + self._tick(now), Cause.BACKWARDS)
            records += self._strangers(now, "the source's clock was set back")
        if refusal is None:
            self._sequence, self._captured_ns = seen.sequence, seen.captured_ns
            self._backwards_ns = 0
            if self._hold == "announced":
                refusal = Cause.FROZEN
        return Reaction(records + (self._tick(now) if refusal else ()), refusal)

    def _pictured(self, seen: Pictured) -> Reaction:
        self._blank, self._unusable = seen.blank, ""
        if seen.blank:
            self._digest = None
            return Reaction(self._tick(seen.now_ns), Cause.BLANK)
        self._pictured_ns = seen.now_ns
        if seen.digest == self._digest:
            return Reaction(self._tick(seen.now_ns), Cause.UNCHANGED)
        self._digest, self._changed_ns = seen.digest, seen.now_ns
        return Reaction()

    def _forget(self, now: int) -> tuple[Record, ...]:
        """After so long a time the next frame may be of another patient; an image on hold is another thing."""
        if self._evidence.empty:
            return ()
        if self._hold != "announced" and now - self._pictured_ns >= _FORGET_NS:
            return self._strangers(now, "60 s without a picture")
        if now - self._changed_ns >= _FORGET_HELD_NS:
            return self._strangers(now, "the image has not moved for a quarter of an hour")
        return ()

    def _result(self, seen: Result) -> tuple[Record, ...]:
        verdict, now = seen.verdict, seen.now_ns
        if self._hold == "announced":  # it was on its way when the image froze: what is held is older, and stays
            self._said_ns = 0
            return self._tick(now)
        if verdict.expired(now):
            late = f"too late: the frame is {verdict.age_ms(now):.0f} ms old"
            return (self._say(self._stand_in(State.NO_SIGNAL, late, now), now),)
        if seen.arrived_ns < self._since_ns or verdict.captured_ns < self._asked_ns:
            passed = "the frame came before the exam, or the image, changed"
            return (self._say(self._stand_in(State.INDETERMINATE, passed, now), now),)
        if self._hold == "cine":
            verdict = replace(verdict, reason=_joined("played from memory, not live", verdict.reason))
        else:
            self._evidence.offer(verdict)
        if self._current is None or verdict.captured_ns >= self._current.verdict.captured_ns:
            self._current = replace(seen, verdict=verdict)
        label, probability = verdict.label, verdict.probability
        self._shown = self._steady.add(verdict.state, label, probability, verdict.captured_ns / 1e9)
        instead = self._situation(now)
        if instead is not None:  # the frame is fine, but what came after it is not
            return (self._say(self._stand_in(*instead, now), now),)
        said = self._say(verdict, now, seen.frame, seen.region)
        return (replace(said, value={**said.value, "stages_ms": dict(seen.stages_ms)}),)

    # what happens beside them

    def _machine(self, seen: Machine) -> tuple[Record, ...]:  # noqa: PLR0911 - a word a line
        now, value = seen.now_ns, seen.value
        match seen.kind:
            case EventKind.FREEZE:
                return self._freeze(now, "the machine froze the image", machine=True)
            case EventKind.CINE:
                if self._machine_hold == "cine":
                    return ()
                self._machine_hold, self._since_ns = "cine", now
                return (_event(now, "cine", "the machine plays from memory"), *self._tick(now))
            case EventKind.LIVE:
                return self._unfreeze(now, machine=True)
            case EventKind.MODE:
                if value == self._mode:
                    return ()
                self._mode, self._since_ns = value, now
                return (_event(now, "mode", value), *self._tick(now))
            case EventKind.CONNECTED:
                self._source = "" if self._arrived_ns else "no frame yet"
                self._arrived_ns = now if self._arrived_ns else 0
                self._digest = self._current = None
                return (_event(now, "source_connected", value),)
            case EventKind.DISCONNECTED:
                self._source = f"the source is gone: {value}" if value else "the source is gone"
                self._since_ns = now
                self._machine_hold, self._held = "", None  # when it comes back it has to say anew what it holds
                return (_event(now, "source_disconnected", value), *self._tick(now))
            case _:
                return self._examined(now, seen.kind, value)

    def _examined(self, now: int, kind: EventKind, value: str) -> tuple[Record, ...]:
        """Who is examined, and with what."""
        match kind:
            case EventKind.EXAM:
                return self._another(now, "exam", value, self._evidence.exam)
            case EventKind.EXAM_END:
                return self._strangers(now, "the exam is over")
            case EventKind.FETUS:
                return self._another(now, "fetus", value, self._evidence.fetus)
            case EventKind.PROBE if not value:
                return self._reset(now, "the probe was removed")
            case EventKind.GESTATIONAL_AGE:
                return self._gestational_age(now, value)
            case _:
                return (_event(now, kind.value, value),)

    def _gestational_age(self, now: int, value: str) -> tuple[Record, ...]:
        days = int(value) if value.isascii() and value.isdigit() and len(value) <= 3 else None
        self._evidence.gestational_age_days = days
        return (_event(now, "gestational_age", value), *self._exam_news(now))

    def _another(self, now: int, what: str, value: str, before: str) -> tuple[Record, ...]:
        """Another exam or fetus: nothing of the last one is left, not even on the display."""
        if value and value == before:
            return ()
        if what == "exam":
            self._evidence.exam, self._evidence.fetus = value, ""
        else:
            self._evidence.fetus = value
        self._evidence.gestational_age_days = None
        return self._reset(now, f"another {what}")

    def _control(self, seen: Control) -> tuple[Record, ...]:
        now = seen.now_ns
        if seen.action == "freeze":
            return self._freeze(now, "somebody froze the page", machine=False)
        if seen.action == "unfreeze":
            return self._unfreeze(now, machine=False)
        if seen.action == "reset_exam":
            self._asked_ns = now
            return self._reset(now, "somebody asked for it")
        finding = self._evidence.finding
        if finding is None:
            return (_event(now, "nothing_to_judge", "the exam states no finding"),)
        word = "accepted" if seen.action == "accept" else "rejected"
        return (_event(now, f"finding_{word}", _joined(finding, seen.note), label=finding, note=seen.note),)

    def _freeze(self, now: int, why: str, *, machine: bool) -> tuple[Record, ...]:
        held = self._hold == "announced"
        live = self._situation(now) is None
        if machine:
            self._machine_hold = "announced"
        else:
            self._page_hold = True
        if held:
            return ()
        self._held = self._current if live else None
        return (_event(now, "frozen", why), *self._tick(now))

    def _unfreeze(self, now: int, *, machine: bool) -> tuple[Record, ...]:
        """The machine lets go of what it holds, and the page of what it holds: neither of what the other does."""
        before = self._hold
        if machine:
            self._machine_hold = ""
        else:
            self._page_hold = False
        if self._hold == before:
            return ()
        self._held = self._current = self._digest = None
        self._since_ns = self._arrived_ns = self._pictured_ns = now  # a frozen machine may have sent none
        self._shown = _UNKNOWN
        self._steady.reset()
        return (_event(now, "live", "the image moves again"),)

    def _engine_changed(self, seen: EngineChanged) -> tuple[Record, ...]:
        now = seen.now_ns
        fell_back = bool(seen.fallback) and seen.fallback != self._fallback
        self._backend, self._fallback = seen.backend, seen.fallback
        if seen.up:
            self._engine, self._digest = "", None
            started = _event(now, "engine_started", seen.backend, engine_pid=seen.pid, backend=seen.backend)
            return (_event(now, "engine_fallback", seen.fallback), started) if fell_back else (started,)
        withdrawn = self._evidence.withdraw()
        self._engine = f"{seen.detail}; it is being restarted"
        self._current = self._held = None
        lost = _event(now, "engine_died", seen.detail, frames_withdrawn=withdrawn)
        return (lost, *self._tick(now))

    def _strangers(self, now: int, why: str) -> tuple[Record, ...]:
        """What comes may be of another patient: the last one's names must not stand beside it."""
        self._evidence.exam = self._evidence.fetus = ""
        self._evidence.gestational_age_days = None
        return self._reset(now, why)

    def _reset(self, now: int, why: str) -> tuple[Record, ...]:
        self._evidence.reset()
        self._steady.reset()
        self._current = self._held = None
        self._since_ns, self._said, self._shown = now, None, _UNKNOWN
        event = _event(now, "exam_reset", why, exam=self._evidence.exam)
        said = self._tick(now)  # what was said of the last exam is taken off the screen at once
        said = said or (self._say(self._stand_in(State.INDETERMINATE, why, now), now),)
        return (event, *self._exam_news(now), *said)

    # what is said

    def _tick(self, now: int) -> tuple[Record, ...]:
        situation = self._situation(now)
        if situation is None:
            return self._repeat(now)
        state, reason = situation
        if self._said == (state, _kind(reason)) and now - self._said_ns < _REPEAT_NS:
            return ()
        self._steady.reset()
        self._shown = _UNKNOWN
        held = self._held if state is State.FROZEN and self._hold == "announced" else None
        if held is None:
            return (self._say(self._stand_in(state, reason, now), now),)
        verdict = replace(
            held.verdict,
            state=State.FROZEN,
            reason=_joined(reason, held.verdict.reason),
            emitted_ns=now,
            expires_ns=now + LIFETIME_NS,
        )
        return (self._say(verdict, now, held.frame, held.region, kind=reason),)

    def _repeat(self, now: int) -> tuple[Record, ...]:
        """A verdict that still holds is said again, with its age, before anybody takes silence for an answer."""
        if self._current is None or now - self._said_ns < _REPEAT_NS:
            return ()
        current = self._current
        return (self._say(replace(current.verdict, emitted_ns=now), now, current.frame, current.region),)

    def _situation(self, now: int) -> tuple[State, str] | None:  # noqa: PLR0911 - the order of the table above
        """What has to be said in place of the newest verdict, or ``None``."""
        if self._source:
            return State.NO_SIGNAL, self._source
        if self._hold == "announced":
            return State.FROZEN, "frozen image, not live"
        if self._engine:
            return State.NO_SIGNAL, self._engine
        if now - self._arrived_ns >= _SILENCE_NS:
            return State.NO_SIGNAL, f"no frame for {(now - self._arrived_ns) / 1e6:.0f} ms"
        if self._backwards_ns:
            return State.NO_SIGNAL, "frames run backwards in time"
        if self._blank:
            return State.NO_SIGNAL, self._blank
        if self._unusable:
            return State.NOT_SUPPORTED_VIEW, self._unusable
        if self._digest is not None and now - self._changed_ns >= _STALLED_NS:
            still = (now - self._changed_ns) / 1e9
            return State.FROZEN, f"frozen or stalled: the same image for {still:.1f} s"
        if self._current is None:
            return (State.NO_SIGNAL, "no verdict yet") if now - self._said_ns >= _REPEAT_NS else None
        if self._current.verdict.expired(now):
            return State.NO_SIGNAL, f"the newest verdict is {self._current.verdict.age_ms(now):.0f} ms old"
        return None

    def _stand_in(self, state: State, reason: str, now: int) -> Verdict:
        """A verdict that states nothing of a frame."""
        return Verdict(
            state=state,
            label=None,
            probability=None,
            probabilities={},
            reason=reason,
            sequence=max(0, self._sequence),
            captured_ns=self._captured_ns or now,
            emitted_ns=now,
            expires_ns=now + LIFETIME_NS,
            latency_ms=0.0,
            heatmap=None,
            calibrated=self._calibrated,
            proof=self._proof,
        )

    def _say(
        self,
        verdict: Verdict,
        now: int,
        frame: Frame | None = None,
        region: Region | None = None,
        kind: str | None = None,
    ) -> Record:
        self._said, self._said_ns = (verdict.state, _kind(verdict.reason if kind is None else kind)), now
        stalled = verdict.state is State.FROZEN and not self._hold
        shown = self._shown
        value: dict[str, Any] = verdict.to_json() | {
            "age_ms": verdict.age_ms(verdict.emitted_ns),
            "frames_behind": shown.frames,
            "steady": {"state": shown.state.value, "label": shown.label, "probability": shown.probability},
            "frozen": "stalled" if stalled else self._hold,
            "engine": self._backend,
            "fallback": self._fallback,
            "region": None if region is None else [region.x, region.y, region.width, region.height],
            "exam": self._evidence.exam,
            "fetus": self._evidence.fetus,
        }
        if verdict.state in (State.NO_SIGNAL, State.FROZEN) or not verdict.probabilities:  # no frame was classified
            value["steady"] = {"state": verdict.state.value, "label": verdict.label, "probability": verdict.probability}
        return Record(RecordType.VERDICT, value, verdict, frame, region)

    def _exam_news(self, now: int) -> tuple[Record, ...]:
        news = self._evidence.news(now)
        return () if news is None else (Record(RecordType.EXAM, news),)


def _event(now: int, event: str, detail: str, **more: Any) -> Record:
    return Record(RecordType.EVENT, {"at_ns": now, "event": event, "detail": detail, **more})


def _joined(*parts: str) -> str:
    return ", ".join(filter(None, parts))


def _kind(reason: str) -> str:
    """A reason without its numbers, which change from one moment to the next."""
    return "".join(c for c in reason if not c.isdigit())
