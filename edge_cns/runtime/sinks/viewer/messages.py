"""Records as messages to the page: one function each, and nothing else of a record goes out.

All messages are JSON objects with a ``type``; times are milliseconds before the moment of sending, for the browser
shares no clock with the runtime. What is marked *open* is left out of a discreet page's messages.

    hello     mode ("discreet" | "open"), bundle, source, backend, golden, remarks, ended
    verdict   state, review (true | false | null), frozen, age_ms, expires_in_ms, sequence, frames_behind, latency_ms,
              reason, engine, fallback (true | false), fallback_reason; open: label, negative (true: it means no
              finding), probability, probabilities, view
    exam      number, fetus, outcome, review, reason, views_seen, views_missing, n_frames, n_supported, n_behind,
              finding (what `judge` has to name, or null), judged; open: label, negative, score, evidence
    timeline  elapsed_ms, from (0: forget the runs so far), runs [[start_ms, kind, label; null if discreet], ...]
    status    fps_in, fps_out, seen, classified, dropped, dropped_by, pending, backend, engine, slow, restarts,
              invoke_ms, latency_ms, connected, source_detail, policy, rate, rate_reason, drift, temperature_c, battery,
              recording, failed_sinks, rss_mib
    events    items [{ago_ms, event, detail}], newest last
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edge_cns.decision.verdict import LIFETIME_NS, State
from edge_cns.runtime.log import discreet
from edge_cns.runtime.sinks.viewer.discreet import Discretion

__all__ = [
    "Audience",
    "Value",
    "events_message",
    "exam_message",
    "hello_message",
    "shown",
    "status_message",
    "verdict_message",
]

Value = Mapping[str, Any]
_OF_CLASSES = (State.CLASS.value, State.INDETERMINATE.value, State.FROZEN.value)  # of other views they mean nothing
_HELD_NS = 2 * LIFETIME_NS  # what does not rest on a new frame is said twice a second, and may come late once


@dataclass(frozen=True, slots=True)
class Audience:
    """Who reads: a discreet page, or one that shows names.

    Attributes:
        discretion: what it means to be discreet about this bundle.
        names: whether names of classes may be sent.
    """

    discretion: Discretion
    names: bool

    def text(self, value: object) -> str:
        """A line as it may be sent; empty if it may not."""
        line = discreet(str(value or ""))
        return line if self.names else self.discretion.quiet(line)

    def views(self, names: object) -> list[str]:
        """Planes as they may be sent."""
        listed = [str(n) for n in names] if isinstance(names, Sequence) and not isinstance(names, str) else []
        return listed if self.names else [self.discretion.view(name) for name in listed]


def shown(value: Value) -> tuple[str, str | None, float | None]:
    """State, label and probability that a display shows of a verdict record: the steady ones.

    A freeze and a lost signal are shown at once, for nobody may wait for them.
    """
    steady = value.get("steady")
    if value.get("state") in (State.FROZEN.value, State.NO_SIGNAL.value) or not isinstance(steady, Mapping):
        steady = value
    label = steady.get("label")
    return str(steady.get("state")), None if label is None else str(label), number(steady.get("probability"))


def hello_message(selftest: Value, audience: Audience, *, source: str, bundle: str, ended: str) -> dict[str, Any]:
    """What holds for the whole session. The remarks are the runtime's own words, and always sent."""
    return {
        "type": "hello",
        "mode": "open" if audience.names else "discreet",
        "bundle": audience.text(bundle),
        "source": audience.text(source) or source.partition(" ")[0],
        "backend": audience.text(selftest.get("backend")),
        "golden": str(selftest.get("golden", "")),
        "signature": audience.text(str(selftest.get("signature", "")).partition(":")[0]),
        "remarks": str(selftest.get("remarks", "")),
        "ended": audience.text(ended),
    }


def verdict_message(value: Value, audience: Audience, now_ns: int) -> dict[str, Any]:
    """What is stated now, and for how long that may be shown."""
    state, label, probability = shown(value)
    emitted = int(value.get("emitted_ns", now_ns))
    expires = int(value.get("expires_ns", emitted))
    if state in (State.FROZEN.value, State.NO_SIGNAL.value):
        expires = emitted + _HELD_NS
    message = {
        "type": "verdict",
        "state": state,
        "review": audience.discretion.review(label),
        "frozen": str(value.get("frozen", "")),
        "age_ms": (number(value.get("age_ms")) or 0.0) + max(0, now_ns - emitted) / 1e6,
        "expires_in_ms": max(0, expires - now_ns) / 1e6,
        "sequence": value.get("sequence"),
        "frames_behind": number(value.get("frames_behind")),
        "latency_ms": number(value.get("latency_ms")),
        "reason": audience.text(value.get("reason")) if state == value.get("state") else "",  # it is the frame's
        "engine": audience.text(value.get("engine")),
        "fallback": bool(value.get("fallback")),
        "fallback_reason": audience.text(value.get("fallback")),
    }
    if audience.names:
        probabilities = value.get("probabilities") or {} if state in _OF_CLASSES else {}
        message |= {
            "label": label,
            "negative": audience.discretion.negative(label),
            "probability": probability,
            "probabilities": {str(name): number(p) for name, p in probabilities.items()},
            "view": value.get("view"),
        }
    return message


def exam_message(value: Value, audience: Audience, *, serial: int, finding: str | None, judged: str) -> dict[str, Any]:
    """What may be said of the exam so far."""
    label = value.get("label")
    fetus = str(value.get("fetus") or "")
    message = {
        "type": "exam",
        "number": serial,
        "fetus": fetus if len(fetus) <= 3 else "",  # a number or a letter; never a name
        "outcome": str(value.get("outcome", "indeterminate")),
        "review": audience.discretion.review(None if label is None else str(label)),
        "reason": audience.text(value.get("reason")),
        "views_seen": audience.views(value.get("views_seen")),
        "views_missing": audience.views(value.get("views_missing")),
        "n_frames": number(value.get("n_frames")),
        "n_supported": number(value.get("n_supported")),
        "n_behind": len(value.get("frames") or ()),
        "finding": finding,
        "judged": judged,
    }
    if audience.names:
        evidence = value.get("evidence") or {}
        message |= {
            "label": label,
            "negative": audience.discretion.negative(label),
            "score": number(value.get("score")),
            "evidence": {str(name): number(score) for name, score in evidence.items()},
        }
    return message


def status_message(value: Value, audience: Audience) -> dict[str, Any]:
    """How the source and the engine are doing."""
    frames, engine, source, rate = (_part(value, name) for name in ("frames", "engine", "source", "rate"))
    dropped = {audience.text(cause): number(n) or 0 for cause, n in _part(frames, "dropped").items()}
    latency, drift, recording = _part(value, "latency_ms"), value.get("drift"), value.get("recording")
    invoke, total = _part(latency, "invoke"), _part(latency, "total")
    return {
        "type": "status",
        "fps_in": number(value.get("fps_in")),
        "fps_out": number(value.get("fps_out")),
        "seen": number(frames.get("seen")),
        "classified": number(frames.get("classified")),
        "dropped": sum(dropped.values()),
        "dropped_by": dropped,
        "pending": number(frames.get("pending")),
        "backend": audience.text(engine.get("backend")),
        "engine": audience.text(engine.get("state")),
        "slow": bool(engine.get("slow")),
        "restarts": number(engine.get("restarts")),
        "invoke_ms": [number(invoke.get("p50")), number(invoke.get("p99"))],
        "latency_ms": [number(total.get("p50")), number(total.get("p99"))],
        "connected": bool(source.get("connected", True)),
        "source_detail": audience.text(source.get("detail")),
        "policy": audience.text(value.get("policy")),
        "rate": audience.text(rate.get("state")),
        "rate_reason": audience.text(rate.get("reason")),
        "drift": None if not isinstance(drift, Mapping) else bool(drift.get("flag")),
        "temperature_c": number(value.get("temperature_c")),
        "battery": _battery(value.get("battery")),
        "recording": None if not isinstance(recording, Mapping) else audience.text(recording.get("state")),
        "failed_sinks": sum(bool(_part(_part(value, "sinks"), n).get("failed")) for n in _part(value, "sinks")),
        "rss_mib": number(value.get("rss_mib")),
    }


def events_message(events: Sequence[Value], audience: Audience, now_ns: int) -> dict[str, Any]:
    """The last things that happened."""
    items = [
        {
            "ago_ms": max(0, now_ns - int(event.get("at_ns", now_ns))) / 1e6,
            "event": audience.text(event.get("event")),
            "detail": audience.text(event.get("detail")) if audience.names or not _judged(event) else "",
        }
        for event in events
    ]
    return {"type": "events", "items": [item for item in items if item["event"]]}


def _judged(event: Value) -> bool:
    """Whether its detail is what somebody wrote about a finding."""
    return str(event.get("event")).startswith("finding_")


def number(value: object) -> float | None:
    """A finite number as it is; anything else is ``None``, for JSON has no other numbers."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return value


def _part(value: Value, name: str) -> Value:
    part = value.get(name)
    return part if isinstance(part, Mapping) else {}


def _battery(value: object) -> dict[str, Any] | None:
    if not isinstance(value, Mapping):
        return None
    return {"percent": number(value.get("percent")), "charging": bool(value.get("charging"))}
