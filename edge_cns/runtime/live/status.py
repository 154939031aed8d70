"""The figures of a session: once a second while it runs, and in its summary."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edge_cns.bundle import Bundle
from edge_cns.decision.drift import DriftMonitor
from edge_cns.decision.verdict import State, Verdict
from edge_cns.frames import EventKind, MachineEvent
from edge_cns.runtime.engine.supervisor import Supervisor
from edge_cns.runtime.live.counts import FrameCounts
from edge_cns.runtime.live.monitor import Monitor
from edge_cns.runtime.power import Rate
from edge_cns.runtime.resident import resident_bytes
from edge_cns.runtime.sinks.base import Record, RecordType
from edge_cns.runtime.sinks.runner import SinkRunner

__all__ = ["STAGES", "Status"]

STAGES = ("preprocess", "invoke", "postprocess", "total")

_SETTINGS = (EventKind.MODE, EventKind.PROBE, EventKind.PRESET, EventKind.DEPTH, EventKind.ORIENTATION)
_REMEMBERED = 512  # frames whose stages are remembered
_SLOW, _RECOVERED = 5.0, 3.0  # times the warm-up


class Status:
    """Gathers figures; the dispatcher's thread alone.

    Args:
        bundle: for its drift reference.
        supervisor: started.
        counts: of the session.
        policy, max_fps, uri: as asked for.
    """

    def __init__(
        self,
        bundle: Bundle,
        supervisor: Supervisor,
        counts: FrameCounts,
        policy: str,
        max_fps: float | None,
        uri: str,
    ) -> None:
        self._engine, self._counts = supervisor, counts
        self._policy, self._max_fps, self._uri = policy, max_fps, uri
        self._times: dict[str, deque[float]] = {stage: deque(maxlen=_REMEMBERED) for stage in STAGES}
        self._drift = DriftMonitor.of(bundle)
        self._usual_ms = float(np.median(supervisor.times_ms()))
        self._slow = self._drifting = False
        self._connected, self._detail = True, ""
        self._machine: dict[str, str] = {}
        self._rate: Rate | None = None
        self._verdicts = 0
        self._last = (time.monotonic_ns(), 0, 0)
        self._news: list[tuple[str, str]] = []

    def classified(self, verdict: Verdict, stages_ms: Mapping[str, float]) -> None:
        """A frame has its verdict; what each stage took."""
        for stage, spent in stages_ms.items():
            self._times[stage].append(spent)
        self._times["total"].append(verdict.latency_ms)
        supported = verdict.state in (State.CLASS, State.INDETERMINATE)  # a probe in the air is no drift
        if self._drift is not None and supported and verdict.novelty is not None:
            confidence = max(verdict.probabilities.values())
            self._drift.add(verdict.novelty, confidence, verdict.captured_ns / 1e9)

    def heard(self, event: MachineEvent) -> None:
        """The machine said something."""
        if event.kind in (EventKind.CONNECTED, EventKind.DISCONNECTED):
            self._connected, self._detail = event.kind is EventKind.CONNECTED, event.value
        elif event.kind in _SETTINGS:
            self._machine[event.kind.value] = event.value

    def said(self, record: Record) -> None:
        """A record went out."""
        self._verdicts += record.type is RecordType.VERDICT

    def power(self, rate: Rate) -> None:
        """The device's own limit now."""
        if self._rate is not None and rate.state != self._rate.state:
            self._news.append((f"rate_{rate.state}", rate.reason))
        self._rate = rate

    def news(self) -> list[tuple[str, str]]:
        """Events that follow from the figures: an engine grown slow, a drift; each is told once."""
        news, self._news = self._news, []
        return news

    def to_json(
        self, monitor: Monitor, sinks: Sequence[SinkRunner], recording: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        """The value of a status record."""
        frames = self._counts.to_json()
        now, (then, seen, classified) = time.monotonic_ns(), self._last
        seconds = max(1e-9, (now - then) / 1e9)
        self._last = (now, frames["seen"], frames["classified"])
        self._look_at_speed()
        drift = None if self._drift is None else self._drift.status()
        if drift is not None and drift["flag"] != self._drifting:
            self._drifting = drift["flag"]
            self._news.append(("drift" if self._drifting else "drift_over", "see docs/watch.md"))
        rate = self._rate
        return {
            "at_ns": now,
            "frames": frames,
            "state": monitor.state.value,
            "fps_in": (frames["seen"] - seen) / seconds,
            "fps_out": (frames["classified"] - classified) / seconds,
            "engine": self._engine_json(),
            "source": {"uri": self._uri, "connected": self._connected, "detail": self._detail},
            "machine": dict(self._machine),
            "policy": self._policy,
            "max_fps": self._max_fps,
            "rate": None if rate is None else {"state": rate.state, "reason": rate.reason, "fps": rate.fps},
            "latency_ms": {stage: _percentiles(values) for stage, values in self._times.items() if values},
            "drift": drift,
            "temperature_c": None if rate is None else rate.temperature_c,
            "battery": None if rate is None else rate.battery,
            "recording": recording,
            "sinks": {sink.name: sink.counts for sink in sinks},
            "rss_mib": (resident_bytes() + self._engine.memory_bytes()) / 2**20,
        }

    def summary(self, ended: str, nanoseconds: int) -> dict[str, Any]:
        """The value of the summary record."""
        return {
            "frames": self._counts.to_json(),
            "verdicts": self._verdicts,
            "restarts": self._engine.restarts,
            "seconds": nanoseconds / 1e9,
            "ended": ended,
        }

    def _engine_json(self) -> dict[str, Any]:
        engine = self._engine
        state = "up" if engine.up else ("down" if engine.spent else "restarting")
        return {
            "backend": engine.backend,
            "pid": engine.pid,
            "state": "fallback" if engine.up and engine.fallback else state,
            "fallback": engine.fallback,
            "slow": self._slow,
            "restarts": engine.restarts,
        }

    def _look_at_speed(self) -> None:
        recent = self._engine.times_ms()[-30:]
        ratio = float(np.median(recent)) / self._usual_ms if recent.size else 1.0
        if not self._slow and ratio >= _SLOW:
            self._slow = True
            self._news.append(("engine_slow", f"a run takes {ratio:.0f} times as long as at the self-test"))
        elif self._slow and ratio < _RECOVERED:
            self._slow = False
            self._news.append(("engine_recovered", "a run takes as long as at the self-test again"))


def _percentiles(values: Sequence[float] | deque[float]) -> dict[str, float]:
    p50, p99 = np.percentile(np.fromiter(values, float), (50, 99))
    return {"p50": float(p50), "p99": float(p99)}
