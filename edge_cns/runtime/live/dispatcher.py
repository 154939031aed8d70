"""The loop between source, engine and sinks.

    source thread ─► intake ─► prepare ─► engine process ─► reading ─► monitor ─► sink threads

One thread runs it, and never waits for longer than a tick: not for the source, not for the engine, not for a sink.
"""

from __future__ import annotations

import logging
import math
import select
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from edge_cns.bundle import Bundle
from edge_cns.errors import BadInputError, EdgeCnsError, OperationError
from edge_cns.frames import Frame, FrameSource, MachineEvent, UnusableFrame
from edge_cns.preprocess import Prepared, prepare, quantise_into
from edge_cns.runtime import log
from edge_cns.runtime.engine.supervisor import Answer, Checked, Lost, Outcome, Started, Supervisor
from edge_cns.runtime.live.counts import Cause, FrameCounts
from edge_cns.runtime.live.intake import Intake, Policy
from edge_cns.runtime.live.limiter import Limiter
from edge_cns.runtime.live.monitor import Monitor
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
from edge_cns.runtime.live.picture import blank, digest
from edge_cns.runtime.live.status import Status
from edge_cns.runtime.power import PowerPolicy
from edge_cns.runtime.reading import Reading
from edge_cns.runtime.sinks.base import Record, RecordType
from edge_cns.runtime.sinks.runner import SinkRunner

__all__ = ["Dispatcher", "Journal"]

_TICK_NS = 20_000_000
_STATUS_NS = 1_000_000_000
_STOP_SECONDS = 0.85  # from `stop` to the end of all that can be waited for
_READER_SECONDS = 0.2  # for the source's thread to end once its source is closed; a hanging driver is left to itself
_VERIFY_SECONDS = 0.05  # for a last check of the engine, so that the last frames count
_WORRYING = (
    *("engine_died", "engine_fallback", "engine_slow", "source_disconnected", "sink", "recording_stopped"),
    *("rate_reduced", "drift"),
)
_TRIES = 2  # runs of one frame of policy ``every``: a frame that kills the engine twice is not tried again


class Journal(Protocol):
    """Keeps what a session was made of, so that it can be replayed."""

    @property
    def state(self) -> Mapping[str, Any]:
        """For status records: ``state``, ``bytes`` and more."""

    def take(
        self,
        seen: Observation,
        frame: Frame | None,
        outputs: Mapping[str, NDArray[np.int8]] | None,
        records: tuple[Record, ...],
    ) -> None:
        """An observation, in order, and the records that followed; with a result its frame and the engine's outputs."""


@dataclass(slots=True)
class _Job:
    """A frame on its way through the engine."""

    frame: Frame
    prepared: Prepared
    started_ns: int
    prepared_ns: int
    tries: int = 1


class Dispatcher:
    """One live session.

    Args:
        bundle: verified bundle.
        supervisor: started.
        source: opened; it is closed at the end.
        policy: what happens to frames that come faster than they can be classified.
        limiter: of frames a second.
        power: the device's own limit.
        journal: keeps the session; ``None`` keeps nothing.
        uri: of the source, as it may be shown.
    """

    def __init__(
        self,
        bundle: Bundle,
        supervisor: Supervisor,
        source: FrameSource,
        *,
        policy: Policy,
        limiter: Limiter,
        power: PowerPolicy,
        journal: Journal | None = None,
        uri: str = "",
    ) -> None:
        self._bundle, self._spec = bundle, bundle.contract.input
        self._engine, self._source = supervisor, source
        self._sinks: Sequence[SinkRunner] = ()
        self._limiter, self._power, self._journal = limiter, power, journal
        self._depth = 2 if policy == "every" else 1
        self._policy = policy
        self.counts = FrameCounts()
        self._intake = Intake(policy, self.counts)
        self._monitor = Monitor(bundle)
        self._status = Status(bundle, supervisor, self.counts, policy, limiter.fps, uri)
        self._reading: Reading | None = None
        self._images = [np.empty((self._spec.height, self._spec.width), np.uint8) for _ in range(2)]
        self._running: dict[int, _Job] = {}
        self._again: deque[_Job] = deque()
        self._asides: deque[tuple[str, str]] = deque()
        self._controls: deque[tuple[Literal["freeze", "unfreeze", "reset_exam", "accept", "reject"], str]] = deque()
        self._ended: str | None = None
        self._failure: EdgeCnsError | OSError | None = None
        self._stopping = False
        self._stop_by = math.inf
        self._ticked_ns = self._status_ns = 0

    # what others may ask, from any thread

    def stop(self) -> None:
        """End the session soon. From a signal handler too; may be called again and again."""
        self._stop_by = min(self._stop_by, time.monotonic() + _STOP_SECONDS)
        self._stopping = True

    def seconds_left(self, most: float) -> float:
        """How long something may still be waited for at the end: ``most``, or what is left of the time to stop."""
        return max(0.0, min(most, self._stop_by - time.monotonic()))

    def freeze(self, on: bool) -> None:
        """See `Controls.freeze`."""
        self._controls.append(("freeze" if on else "unfreeze", ""))

    def reset_exam(self) -> None:
        """See `Controls.reset_exam`."""
        self._controls.append(("reset_exam", ""))

    def judge(self, accepted: bool, note: str = "") -> None:
        """See `Controls.judge`."""
        self._controls.append(("accept" if accepted else "reject", note))

    def sink_said(self, name: str, text: str) -> None:
        """A sink has trouble, or none any more."""
        self._asides.append(("sink", f"{name}: {text}"))

    def recording_said(self, event: str, detail: str) -> None:
        """The recording has stopped, or goes on."""
        self._asides.append((event, detail))

    # the session

    def run(self, sinks: Sequence[SinkRunner]) -> None:
        """Run until the source ends or `stop` is called; the summary is the last record.

        Args:
            sinks: started.

        Raises:
            EdgeCnsError, OSError: the source ended by that.
        """
        self._sinks = sinks
        begun = time.monotonic_ns()
        self._engine_is_up(self._engine.pid, "")
        reader = threading.Thread(target=self._read, name="source", daemon=True)
        reader.start()
        try:
            while not self._finished():
                for outcome in self._engine.poll():
                    self._outcome(outcome)
                self._feed()
                self._say_asides()
                self._tick()
                self._wait()
        finally:
            self._finish(begun, reader)
        if self._failure is not None:
            raise self._failure

    def _read(self) -> None:
        """The source's thread."""
        reason = "the source ended"
        try:
            for delivery in self._source:
                if not isinstance(delivery, (Frame, UnusableFrame, MachineEvent)):
                    raise OperationError(f"it delivered {type(delivery).__name__}, which is neither frame nor event")
                if not self._intake.put(delivery):
                    break
        except (EdgeCnsError, OSError) as error:
            self._failure = error
            reason = f"the source failed: {error}"
        except Exception as error:  # a source may be anybody's, and its end must be said
            self._failure = OperationError(f"the source failed ({type(error).__name__}: {error})")
            reason = f"the source failed: {type(error).__name__}"
        self._ended = reason

    def _finished(self) -> bool:
        if self._stopping or self._ended is None:
            return self._stopping
        hopeless = self._engine.spent and not self._engine.up  # nobody comes for the frames that are left
        return hopeless or not (self._running or self._again or not self._intake.empty)

    def _finish(self, begun: int, reader: threading.Thread) -> None:
        ended = "stopped" if self._stopping and self._ended is None else self._ended or "the runtime failed"
        self._source.close()
        self._intake.close()
        reader.join(self.seconds_left(_READER_SECONDS))
        if not self._running and self._engine.verify(_VERIFY_SECONDS):
            self._observe(Verified(time.monotonic_ns()))
        for _ in range(len(self._running) + len(self._again)):
            self.counts.dropped(Cause.STOPPED)
        self._observe(SourceEnded(time.monotonic_ns(), ended))
        self._say_asides()
        self._emit(self._status_record())
        self._emit(Record(RecordType.SUMMARY, self._status.summary(ended, time.monotonic_ns() - begun)))

    # frames

    def _feed(self) -> None:
        """Give the engine what it can take."""
        while len(self._running) < self._depth and (self._engine.up or self._policy == "latest"):
            if self._again:
                if not self._engine.up:
                    return
                job = self._again.popleft()
                job.tries += 1
                self._submit(job, self._free_slot())
                continue
            delivery = self._intake.take()
            if delivery is None:
                return
            now = time.monotonic_ns()
            if isinstance(delivery, Frame):
                self._take_frame(delivery, now)
            elif isinstance(delivery, UnusableFrame):
                self.counts.dropped(Cause.UNUSABLE)
                self._observe(Unusable(now, delivery.reason))
            else:
                self._heard(delivery, now)

    def _take_frame(self, frame: Frame, now: int) -> None:
        """Look at a frame, and run it unless there is a reason not to; every reason is counted."""
        captured = frame.captured_ns
        if not 0 < captured <= now:  # a time to come would keep its verdict alive for too long
            frame, captured = replace(frame, captured_ns=now), now
        refusal = self._observe(Arrived(now, frame.sequence, captured))
        if refusal is None and not self._engine.up:
            refusal = Cause.NO_ENGINE
        if refusal is None and not self._limiter.passes(now, self._power.decide().fps):
            refusal = Cause.RATE
        if refusal is None:
            slot = self._free_slot()
            try:
                prepared = prepare(frame, self._spec, self._images[slot])
            except BadInputError as error:  # the contract's fixed region does not fit it
                self._observe(Unusable(now, str(error)))
                self.counts.dropped(Cause.UNUSABLE)
                return
            ready = time.monotonic_ns()
            refusal = self._observe(Pictured(ready, digest(prepared.image), blank(prepared, self._spec)))
            if refusal is None:
                self._submit(_Job(frame, prepared, now, ready), slot)
                return
        self.counts.dropped(refusal)

    def _submit(self, job: _Job, slot: int) -> None:
        quantise_into(job.prepared.image, self._engine.input(slot))
        self._engine.submit(slot)
        self._running[slot] = job

    def _free_slot(self) -> int:
        return next(slot for slot in range(2) if slot not in self._running)

    def _heard(self, event: MachineEvent, now: int) -> None:
        self._status.heard(event)
        self._observe(Machine(now, event.kind, event.value))

    # the engine

    def _outcome(self, outcome: Outcome) -> None:
        match outcome:
            case Answer():
                self._answered(outcome)
            case Checked():
                self._observe(Verified(time.monotonic_ns()))
            case Lost():
                self._engine_is_lost(outcome.reason)
            case Started():
                self._engine_is_up(outcome.pid, outcome.fallback)

    def _answered(self, answer: Answer) -> None:
        job = self._running.pop(answer.slot)
        assert self._reading is not None
        unreadable = job.prepared.unreadable or self._monitor.unreadable
        read = time.monotonic_ns()
        verdict = self._reading.verdict(job.frame, answer.outputs, job.started_ns, unreadable=unreadable)
        now = time.monotonic_ns()
        self.counts.classified(late=verdict.expired(now))
        stages = {
            "preprocess": (job.prepared_ns - job.started_ns) / 1e6,
            "invoke": answer.nanoseconds / 1e6,
            "postprocess": (now - read) / 1e6,
        }
        self._status.classified(verdict, stages)
        self._observe(
            Result(now, job.started_ns, verdict, job.prepared.region, stages, job.frame), job.frame, answer.outputs
        )

    def _engine_is_up(self, pid: int, fallback: str) -> None:
        engine = self._engine.engine
        channels = engine.output("embedding").shape[1]
        self._reading = Reading(self._bundle, engine.quantisation, channels)
        fallback = fallback or self._engine.fallback
        self._observe(EngineChanged(time.monotonic_ns(), True, self._engine.backend, pid, fallback=fallback))

    def _engine_is_lost(self, reason: str) -> None:
        jobs = sorted(self._running.values(), key=lambda job: job.started_ns)
        self._running.clear()
        for job in jobs:
            if self._policy == "every" and job.tries < _TRIES:
                # Its image lies in a buffer that the other slot's frame may be given.
                job.prepared = replace(job.prepared, image=job.prepared.image.copy())
                self._again.append(job)
            else:
                self.counts.dropped(Cause.ENGINE)
        now = time.monotonic_ns()
        self._observe(EngineChanged(now, False, self._engine.backend, 0, reason, self._engine.fallback))

    # what is said

    def _observe(
        self, seen: Observation, frame: Frame | None = None, outputs: Mapping[str, NDArray[np.int8]] | None = None
    ) -> Cause | None:
        reaction = self._monitor.observe(seen)
        if self._journal is not None and (reaction.records or not isinstance(seen, Tick)):
            self._journal.take(seen, frame, outputs, reaction.records)
        for record in reaction.records:
            self._emit(record)
        return reaction.refusal

    def _emit(self, record: Record) -> None:
        self._status.said(record)
        if record.type is RecordType.EVENT:
            event = record.value["event"]
            log.say(event, record.value["detail"], level=logging.WARNING if event in _WORRYING else logging.INFO)
        for sink in self._sinks:
            sink.put(record)

    def _say_asides(self) -> None:
        while self._controls:
            action, note = self._controls.popleft()
            self._observe(Control(time.monotonic_ns(), action, note))
        for event, detail in self._status.news():
            self._asides.append((event, detail))
        while self._asides:
            event, detail = self._asides.popleft()
            self._emit(Record(RecordType.EVENT, _aside(event, detail)))

    def _tick(self) -> None:
        now = time.monotonic_ns()
        if now - self._ticked_ns >= _TICK_NS:
            self._ticked_ns = now
            self._observe(Tick(now))
        if now - self._status_ns >= _STATUS_NS:
            self._status_ns = now
            self._status.power(self._power.decide())
            self._emit(self._status_record())

    def _status_record(self) -> Record:
        recording = None if self._journal is None else dict(self._journal.state)
        return Record(RecordType.STATUS, self._status.to_json(self._monitor, self._sinks, recording))

    def _wait(self) -> None:
        """Until a frame can be taken, the engine has something to say, or it is time for a tick."""
        poll = select.poll()
        if len(self._running) < self._depth and (self._engine.up or self._policy == "latest"):
            poll.register(self._intake.descriptor, select.POLLIN)
        if self._engine.fileno() >= 0:
            poll.register(self._engine.fileno(), select.POLLIN)
        left = self._ticked_ns + _TICK_NS - time.monotonic_ns()
        poll.poll(max(0.0, left / 1e6))


def _aside(event: str, detail: str) -> dict[str, Any]:
    return {"at_ns": time.monotonic_ns(), "event": event, "detail": detail}
