"""Records as the runtime makes them, and a session without a bundle."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from edge_cns.contract import InputSpec
from edge_cns.decision.verdict import State, Verdict
from edge_cns.frames import Frame, Region
from edge_cns.runtime.sinks.base import Record, RecordType, Session

__all__ = [
    "SECOND",
    "Controls",
    "event",
    "json_values",
    "no_signal",
    "selftest",
    "session",
    "status",
    "summary",
    "verdict",
]

SECOND = 1_000_000_000

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
"""Anything that JSON can say, and numbers that it cannot."""


class Controls:
    """Keeps what was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    def freeze(self, on: bool) -> None:
        self.asked.append(("freeze", on))

    def reset_exam(self) -> None:
        self.asked.append(("reset_exam",))

    def judge(self, accepted: bool, note: str = "") -> None:
        self.asked.append(("judge", accepted, note))


def session() -> Session:
    bundle: Any = SimpleNamespace(contract=SimpleNamespace(input=InputSpec(64, 64)))
    return Session(bundle, "synthetic://phantom", Controls())


def selftest(**changes: Any) -> Record:
    value = {
        "bundle": "tiny.cns",
        "model_sha256": "ab" * 32,
        "proof": "passed",
        "calibrated": True,
        "signature": "not verified: it is not signed",
        "backend": "litert",
        "engine_version": "2.1.6",
        "golden": "exact",
        "load_ms": 12.0,
        "warm_up_ms": 3.0,
        "classes": ["normal", "anencephaly"],
        "research_use_only": True,
        "remarks": "",
        "started_at": "2026-01-01T00:00:00+00:00",
    }
    return Record(RecordType.SELFTEST, value | changes)


def event(name: str = "live", **changes: Any) -> Record:
    return Record(RecordType.EVENT, {"at_ns": SECOND, "event": name, "detail": ""} | changes)


def verdict(
    sequence: int = 0,
    *,
    at_ns: int | None = None,
    state: State = State.CLASS,
    label: str | None = "anencephaly",
    probability: float | None = 0.9,
    pixels: np.ndarray | None = None,
    region: Region | None = None,
    reason: str = "",
    with_frame: bool = True,
    **changes: Any,
) -> Record:
    """A verdict of a frame, emitted ``at_ns`` (30 fps by default), 8 ms after its capture."""
    emitted = SECOND + sequence * SECOND // 30 if at_ns is None else at_ns
    captured = emitted - 8_000_000
    if pixels is None:
        pixels = np.full((96, 128), 100, np.uint8)
    frame = Frame(pixels, captured, sequence, region=region or Region(0, 0, pixels.shape[1], pixels.shape[0]))
    said = Verdict(
        state=state,
        label=label,
        probability=probability,
        probabilities={"normal": 0.1, "anencephaly": 0.9},
        reason=reason,
        sequence=sequence,
        captured_ns=captured,
        emitted_ns=emitted,
        expires_ns=captured + SECOND // 2,
        latency_ms=6.0,
        heatmap=None,
        calibrated=True,
        proof="passed",
        novelty=0.5,
    )
    value = said.to_json() | {
        "age_ms": 8.0,
        "frames_behind": 5,
        "steady": {"state": state.value, "label": label, "probability": probability},
        "frozen": "",
        "engine": "litert",
        "fallback": "",
        "region": None,
    }
    if not with_frame:
        return Record(RecordType.VERDICT, value | changes, said)
    return Record(RecordType.VERDICT, value | changes, said, frame, frame.region)


def no_signal(at_ns: int = SECOND, reason: str = "no frames for 500 ms", **changes: Any) -> Record:
    record = verdict(at_ns=at_ns, state=State.NO_SIGNAL, label=None, probability=None, reason=reason, with_frame=False)
    value = {k: v for k, v in record.value.items() if k != "novelty"} | {"probabilities": {}} | changes
    return Record(RecordType.VERDICT, value, record.verdict)


def status(**changes: Any) -> Record:
    quantiles = {"p50": 2.0, "p99": 5.0}
    value = {
        "at_ns": SECOND,
        "frames": {"seen": 100, "classified": 90, "dropped": {"superseded": 7, "repeated": 2}, "pending": 1},
        "state": "class",
        "fps_in": 30.0,
        "fps_out": 29.0,
        "engine": {
            "backend": "litert",
            "pid": 4711,
            "state": "up",
            "restarts": 0,
        },
        "source": {"uri": "synthetic://phantom", "connected": True, "detail": ""},
        "policy": "latest",
        "max_fps": None,
        "rate": {"state": "full", "reason": "", "fps": None},
        "latency_ms": dict.fromkeys(("preprocess", "invoke", "postprocess", "total"), quantiles),
        "drift": {"flag": False, "psi_novelty": 0.02, "psi_confidence": 0.03, "n": 120},
        "temperature_c": 51.5,
        "battery": {"percent": 80, "charging": False},
        "recording": {"state": "on", "bytes": 123456},
        "sinks": {"jsonl": {"dropped": 0, "failed": 1}},
        "rss_mib": 120.0,
    }
    return Record(RecordType.STATUS, value | changes)


def summary(**changes: Any) -> Record:
    value = {
        "frames": {"seen": 100, "classified": 90, "dropped": {"late": 9}, "pending": 1},
        "verdicts": 95,
        "restarts": 0,
        "seconds": 3.0,
        "ended": "source ended",
    }
    return Record(RecordType.SUMMARY, value | changes)
