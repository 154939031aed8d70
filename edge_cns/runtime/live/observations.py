"""What the monitor is told: everything that a verdict depends on, each with the time at which it became known.

A recording is a list of these, which is why replaying them gives the same verdicts to the bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from edge_cns.decision.verdict import Verdict
from edge_cns.frames import EventKind, Frame, Region

__all__ = [
    "Arrived",
    "Control",
    "EngineChanged",
    "Machine",
    "Observation",
    "Pictured",
    "Result",
    "SourceEnded",
    "Tick",
    "Unusable",
    "Verified",
]


@dataclass(frozen=True, slots=True)
class Arrived:
    """A frame came; its pixels have not been looked at yet. Times in ns of ``CLOCK_MONOTONIC``, as everywhere here."""

    now_ns: int
    sequence: int
    captured_ns: int


@dataclass(frozen=True, slots=True)
class Pictured:
    """The frame that arrived last was made ready for the network.

    Attributes:
        digest: of the network's image.
        blank: why there is no picture in it; empty if there is one.
    """

    now_ns: int
    digest: int
    blank: str


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """The engine has answered.

    Attributes:
        arrived_ns: when the frame came; what has changed since then, it knows nothing of.
        verdict: of the frame, by `edge_cns.runtime.reading.Reading`.
        region: what was classified of it.
        stages_ms: what ``preprocess``, ``invoke`` and ``postprocess`` took.
        frame: the frame itself, for those who show it.
    """

    now_ns: int
    arrived_ns: int
    verdict: Verdict
    region: Region
    stages_ms: Mapping[str, float] = field(default_factory=dict)
    frame: Frame | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Verified:
    """The engine was found right: what it has said until now stands."""

    now_ns: int


@dataclass(frozen=True, slots=True)
class EngineChanged:
    """The engine started (``up``) or was lost; ``detail`` says why, ``fallback`` that it is another than asked for."""

    now_ns: int
    up: bool
    backend: str
    pid: int
    detail: str = ""
    fallback: str = ""


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine said something beside its frames."""

    now_ns: int
    kind: EventKind
    value: str


@dataclass(frozen=True, slots=True)
class Unusable:
    """Something came that is no frame."""

    now_ns: int
    reason: str


@dataclass(frozen=True, slots=True)
class SourceEnded:
    """No frame will come any more."""

    now_ns: int
    reason: str


@dataclass(frozen=True, slots=True)
class Control:
    """Somebody at a sink asked for something."""

    now_ns: int
    action: Literal["freeze", "unfreeze", "reset_exam", "accept", "reject"]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""

    now_ns: int


Observation: TypeAlias = (
    "Arrived | Pictured | Result | Verified | EngineChanged | Machine | Unusable | SourceEnded | Control | Tick"
)
