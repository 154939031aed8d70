"""The session as Prometheus metrics, from records alone. `docs/watch.md` lists them for whoever reads them."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from edge_cns import __version__
from edge_cns.decision.verdict import State
from edge_cns.extras import require
from edge_cns.runtime.sinks.base import Record, RecordType
from edge_cns.runtime.sinks.health import Health, number_of, part_of

if TYPE_CHECKING:
    import prometheus_client as prometheus
    from prometheus_client import core
else:
    prometheus = require("prometheus_client", "live")
    core = require("prometheus_client.core", "live")

__all__ = ["Meters"]

_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.033, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)  # seconds
_STAGES = ("preprocess", "invoke", "postprocess")
_RECENT = 300  # classified frames behind the novelty rate
_MOST_EVENTS = 100  # kinds of event with a counter of their own
_BUILD = ("bundle", "model_sha256", "proof", "backend")

_GAUGES = (
    # name, help, path in a status record, factor
    ("frames_pending", "Frames that wait for the engine.", ("frames", "pending"), 1),
    ("source_connected", "1 while frames can come.", ("source", "connected"), 1),
    ("drift_flag", "1 while the distribution of frames has moved away from the calibration's.", ("drift", "flag"), 1),
    ("drift_samples", "Frames behind the drift figures.", ("drift", "n"), 1),
    ("temperature_celsius", "Hottest part of the processor.", ("temperature_c",), 1),
    ("battery_ratio", "Charge of the battery, 0 to 1.", ("battery", "percent"), 0.01),
    ("battery_charging", "1 while the battery is not being emptied.", ("battery", "charging"), 1),
    ("recording_bytes", "Size of the recording.", ("recording", "bytes"), 1),
    ("resident_memory_bytes", "Memory of the runtime and its engine.", ("rss_mib",), 2**20),
)


class Meters:
    """Takes records, and writes what Prometheus reads. One thread at a time.

    Args:
        health: of the same session.
    """

    def __init__(self, health: Health) -> None:
        self._health = health
        self._selftest: Mapping[str, Any] = {}
        self._status: Mapping[str, Any] = {}
        self._events: Counter[str] = Counter()
        self._states: Counter[str] = Counter()
        self._recent: deque[bool] = deque(maxlen=_RECENT)  # whether each was no supported view
        self._last: tuple[Any, Any] | None = None
        self._fallback = False
        self._registry = prometheus.CollectorRegistry()
        self._stages = {stage: _Durations() for stage in (*_STAGES, "total", "capture_to_verdict")}
        self._registry.register(self)

    def take(self, record: Record) -> None:
        """Count a record."""
        if record.type is RecordType.SELFTEST:
            self._selftest = record.value
        elif record.type is RecordType.STATUS:
            self._status = record.value
        elif record.type is RecordType.VERDICT:
            self._take_verdict(record.value)
        elif record.type is RecordType.EVENT:
            event = str(record.value.get("event"))
            self._events[event if event in self._events or len(self._events) < _MOST_EVENTS else "other"] += 1

    def text(self) -> bytes:
        """All metrics in the text format."""
        return prometheus.generate_latest(self._registry)

    def collect(self) -> Iterator[core.Metric]:
        """Called by the registry: everything as of now."""
        yield from self._build_metrics()
        yield from self._verdict_metrics()
        yield self._stage_metric()
        yield from self._status_metrics()

    def _take_verdict(self, value: Mapping[str, Any]) -> None:
        self._fallback = bool(value.get("fallback"))
        # A verdict that is repeated or held, and one that no frame is behind, was not classified now.
        frame = (value.get("sequence"), value.get("captured_ns"))
        if not value.get("probabilities") or value.get("state") == State.FROZEN.value or frame == self._last:
            return
        self._last = frame
        self._states[str(value.get("state"))] += 1
        self._recent.append(value.get("state") == State.NOT_SUPPORTED_VIEW.value)
        stages = part_of(value, "stages_ms")
        spent = {name: stages.get(name) for name in _STAGES}
        spent |= {"total": value.get("latency_ms"), "capture_to_verdict": value.get("age_ms")}
        for stage, milliseconds in spent.items():
            if (number := number_of(milliseconds)) is not None:
                self._stages[stage].add(max(0.0, number) / 1000)

    def _stage_metric(self) -> core.Metric:
        text = "Time of a classified frame by stage; total is the call to the verdict, capture_to_verdict the whole."
        family = core.HistogramMetricFamily("edge_cns_stage_duration_seconds", text, labels=("stage",))
        for stage, durations in self._stages.items():
            family.add_metric((stage,), durations.buckets(), durations.sum)
        return family

    def _verdict_metrics(self) -> Iterator[core.Metric]:
        now, health = time.monotonic_ns(), self._health
        state = health.state(now)
        yield _gauge("healthy", "1 while a live or held verdict stands, as /healthz says.", not health.trouble(now))
        yield _labelled(
            "verdict_state", "1 for the state of the verdict now.", "state", {s.value: s.value == state for s in State}
        )
        yield _gauge(
            "verdict_age_seconds", "Since the capture of the frame behind the newest verdict.", health.age_seconds(now)
        )
        yield _counters("classified_frames", "Classified frames by what was said of them.", "state", self._states)
        novel = sum(self._recent) / len(self._recent) if self._recent else None
        yield _gauge(
            "novelty_ratio", f"Share of the last {_RECENT} classified frames that were no supported view.", novel
        )
        yield _counters("events", "Events by kind.", "event", self._events)

    def _status_metrics(self) -> Iterator[core.Metric]:
        status = self._status
        frames, engine, drift = part_of(status, "frames"), part_of(status, "engine"), part_of(status, "drift")
        outcomes = {"classified": frames.get("classified"), **part_of(frames, "dropped")}
        yield _counters("frames_seen", "Frames that the source delivered.", "", {"": frames.get("seen")})
        yield _counters("frames", "Frames by outcome: classified, or why not.", "outcome", outcomes)
        speeds = {"in": status.get("fps_in"), "out": status.get("fps_out")}
        yield _labelled(
            "frames_per_second", "Over the last second: delivered (in) and classified (out).", "direction", speeds
        )
        yield _counters("engine_restarts", "Restarts of the engine.", "", {"": engine.get("restarts")})
        state = engine.get("state")
        yield _gauge("engine_up", "1 while the engine answers.", state in ("up", "fallback") if engine else None)
        yield _gauge(
            "engine_fallback", "1 while verdicts come from the fallback.", self._fallback or state == "fallback"
        )
        shifts = {"novelty": drift.get("psi_novelty"), "confidence": drift.get("psi_confidence")}
        yield _labelled("drift_psi", "Population stability index against the calibration.", "of", shifts)
        yield _gauge(
            "rate_reduced",
            "1 while heat or the battery reduces the rate.",
            part_of(status, "rate").get("state") == "reduced",
        )
        for name, text, path, factor in _GAUGES:
            yield _gauge(name, text, _at(status, path), factor)
        sinks = {name: part_of(part_of(status, "sinks"), name) for name in part_of(status, "sinks")}
        for count in ("dropped", "failed"):
            values = {name: counts.get(count) for name, counts in sinks.items()}
            yield _counters(f"sink_{count}", f"Records that a sink {count}.", "sink", values)

    def _build_metrics(self) -> Iterator[core.Metric]:
        facts = {name: str(self._selftest.get(name, "")) for name in _BUILD}
        facts["calibrated"] = str(bool(self._selftest.get("calibrated"))).lower()
        facts["signature"] = str(self._selftest.get("signature", "")).partition(":")[0]  # without the reason
        yield core.InfoMetricFamily("edge_cns_build", "What runs here.", {"version": __version__, **facts})


class _Durations:
    """A histogram of seconds."""

    def __init__(self) -> None:
        self._counts = [0] * (len(_BUCKETS) + 1)
        self.sum = 0.0

    def add(self, seconds: float) -> None:
        self._counts[bisect_left(_BUCKETS, seconds)] += 1
        self.sum += seconds

    def buckets(self) -> list[tuple[str, float]]:
        """Upper limits, and how many were at most as long."""
        limits = [*map(str, _BUCKETS), "+Inf"]
        return list(zip(limits, accumulate(self._counts), strict=True))


def _at(status: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    for key in path[:-1]:
        status = part_of(status, key)
    return status.get(path[-1])


def _gauge(name: str, text: str, value: Any, factor: float = 1) -> core.Metric:
    """A gauge without labels; without a value where there is none."""
    number = number_of(value)
    return core.GaugeMetricFamily(f"edge_cns_{name}", text, None if number is None else number * factor)


def _labelled(name: str, text: str, label: str, values: Mapping[str, Any]) -> core.Metric:
    family = core.GaugeMetricFamily(f"edge_cns_{name}", text, labels=(label,))
    for key, value in values.items():
        if (number := number_of(value)) is not None:
            family.add_metric((str(key),), number)
    return family


def _counters(name: str, text: str, label: str, values: Mapping[str, Any]) -> core.Metric:
    family = core.CounterMetricFamily(f"edge_cns_{name}", text, labels=(label,) if label else ())
    for key, value in values.items():
        if (number := number_of(value)) is not None:
            family.add_metric((str(key),) if label else (), number)
    return family
