"""Whether a verdict stands right now, from records alone: what a health check of the fleet asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edge_cns.decision.verdict import State
from edge_cns.runtime.sinks.base import Record, RecordType

__all__ = ["SILENCE_NS", "Health", "number_of", "part_of"]

SILENCE_NS = 2_000_000_000
"""Without a record for so long the runtime is taken for gone: there are at least two verdicts a second."""

_SHOWN = ("backend", "state", "restarts")  # of the engine


class Health:
    """Takes records, answers at any time. One thread at a time."""

    def __init__(self) -> None:
        self._verdict: Mapping[str, Any] = {}
        self._status: Mapping[str, Any] = {}
        self._ended = ""
        self._heard_ns: int | None = None

    def take(self, record: Record, now_ns: int) -> None:
        """Note a record that came at ``now_ns`` (``CLOCK_MONOTONIC``)."""
        self._heard_ns = now_ns
        if record.type is RecordType.VERDICT:
            self._verdict = record.value
        elif record.type is RecordType.STATUS:
            self._status = record.value
        elif record.type is RecordType.SUMMARY:
            self._ended = str(record.value.get("ended") or "ended")

    def state(self, now_ns: int) -> str:
        """State of the verdict that stands; ``no_signal`` where none does."""
        return State.NO_SIGNAL.value if self.trouble(now_ns) else str(self._verdict.get("state"))

    def trouble(self, now_ns: int) -> str:  # noqa: PLR0911 - the first that holds
        """Why no verdict stands, one line; empty if one does."""
        if self._ended:
            return f"the session is over: {self._ended}"
        if self._heard_ns is None:
            return "no record yet"
        if now_ns - self._heard_ns >= SILENCE_NS:
            return f"no record for {(now_ns - self._heard_ns) / 1e9:.1f} s"
        if part_of(self._status, "engine").get("state") == "down":
            return "the engine is down"
        if not self._verdict:
            return "no verdict yet"
        if self._verdict.get("state") == State.NO_SIGNAL.value:
            return str(self._verdict.get("reason") or "no signal")
        return ""

    def age_seconds(self, now_ns: int) -> float | None:
        """Since the capture of the frame behind the newest verdict; ``None`` before the first."""
        captured = number_of(self._verdict.get("captured_ns"))
        return None if captured is None else max(0.0, (now_ns - captured) / 1e9)

    def report(self, now_ns: int) -> tuple[bool, dict[str, Any]]:
        """Whether a live or held verdict stands, and what to show: JSON-ready, and naming no class."""
        trouble, age = self.trouble(now_ns), self.age_seconds(now_ns)
        engine, drift = part_of(self._status, "engine"), part_of(self._status, "drift")
        return not trouble, {
            "healthy": not trouble,
            "reason": trouble,
            "state": self.state(now_ns),
            "age_ms": None if age is None else round(age * 1000, 1),
            "engine": {key: engine.get(key) for key in _SHOWN},
            "fallback": str(self._verdict.get("fallback") or ""),
            "source_connected": part_of(self._status, "source").get("connected"),
            "rate": part_of(self._status, "rate").get("state"),
            "drift": bool(drift.get("flag")),
            "research_use_only": True,
        }


def part_of(value: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """An object inside another; empty where there is none."""
    part = value.get(key)
    return part if isinstance(part, Mapping) else {}


def number_of(value: Any) -> float | None:
    """A finite number, or ``None``."""
    if not isinstance(value, (int, float)):
        return None
    number = float(value) if abs(value) < 1e300 else float("inf")
    return number if abs(number) < 1e300 else None
