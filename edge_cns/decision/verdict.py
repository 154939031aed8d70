"""The verdict: what the bedside sees, and the rule that turns one frame's scores into it."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_cns.contract import Decision

__all__ = ["LIFETIME_NS", "State", "Verdict", "evidence", "softmax"]

LIFETIME_NS = 500_000_000
"""A verdict expires this long after its frame was captured: nobody is shown yesterday's answer."""


class State(str, enum.Enum):
    """What kind of statement a verdict makes. Programs read these words."""

    CLASS = "class"
    INDETERMINATE = "indeterminate"
    NOT_SUPPORTED_VIEW = "not_supported_view"
    FROZEN = "frozen"
    NO_SIGNAL = "no_signal"


@dataclass(frozen=True, slots=True, eq=False)
class Verdict:
    """A statement about one frame, with what it rests on and when it stops being true.

    Attributes:
        state: the kind of statement; only ``class`` carries a finding.
        label: the class that is stated; ``None`` unless the state is ``class``, so that nobody reads one by mistake.
        probability: of ``label``, in [0, 1], or ``None``.
        probabilities: by class name, summing to 1; empty where no frame was classified.
        reason: one line for a person: why nothing is stated, and whether the bundle is uncalibrated or unproven.
        sequence, captured_ns: of the frame.
        emitted_ns: when the statement was made, ``CLOCK_MONOTONIC`` ns.
        expires_ns: from then on the statement must not be shown as current.
        latency_ms: from the call to the statement.
        heatmap: ``(h, w)`` float32, evidence over the input tensor, in logits (see `evidence`): for ``label``, or for
            the leading class of an indeterminate frame; ``None`` where the view is not supported.
        calibrated: whether the probabilities were calibrated on patients of their own.
        proof: what the quantisation gate found: ``passed``, ``undecided`` or ``failed``.
        novelty: how strange the frame is to the model, or ``None`` for a bundle without a rule for it.
        view: the plane that was recognised, or ``None``.
    """

    state: State
    label: str | None
    probability: float | None
    probabilities: Mapping[str, float]
    reason: str
    sequence: int
    captured_ns: int
    emitted_ns: int
    expires_ns: int
    latency_ms: float
    heatmap: NDArray[np.float32] | None
    calibrated: bool
    proof: str
    novelty: float | None = None
    view: str | None = None

    def age_ms(self, now_ns: int) -> float:
        """Milliseconds since the frame was captured."""
        return (now_ns - self.captured_ns) / 1e6

    def expired(self, now_ns: int) -> bool:
        """Whether it is too old to be shown as current."""
        return now_ns >= self.expires_ns

    def to_json(self) -> dict[str, Any]:
        """All but the heat map, JSON-ready; times in ns of ``CLOCK_MONOTONIC``."""
        return {
            "state": self.state.value,
            "label": self.label,
            "probability": self.probability,
            "probabilities": dict(self.probabilities),
            "reason": self.reason,
            "sequence": self.sequence,
            "captured_ns": self.captured_ns,
            "emitted_ns": self.emitted_ns,
            "expires_ns": self.expires_ns,
            "latency_ms": self.latency_ms,
            "calibrated": self.calibrated,
            "proof": self.proof,
        } | {k: v for k, v in (("novelty", self.novelty), ("view", self.view)) if v is not None}


def softmax(logits: NDArray[np.floating[Any]], decision: Decision) -> NDArray[np.float64]:
    """Probabilities from logits: ``softmax(logits / temperature)`` along the last axis.

    Args:
        logits: ``(..., K)``.
        decision: the contract's rule; its temperature is 1 until the bundle is calibrated.

    Returns:
        ``(..., K)`` float64, each row summing to 1.
    """
    scaled = np.asarray(logits, np.float64) / decision.temperature
    exponentials = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True))


def evidence(cam: NDArray[np.float32], index: int) -> NDArray[np.float32]:
    """Where the frame speaks for a class: its class activation map minus the mean map of all classes.

    The logits are the averages of the maps (Zhou et al. 2016), and softmax sees differences of logits only, so a
    map means nothing by itself: what counts is how far it stands above the others.

    Args:
        cam: ``(h, w, K)`` float32 class activation maps.
        index: which class.

    Returns:
        ``(h, w)`` float32 in logits; its mean is the class's logit minus the mean logit.
    """
    return np.asarray(cam[..., index] - cam.mean(axis=-1), np.float32)
