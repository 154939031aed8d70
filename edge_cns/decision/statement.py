"""What is said of an exam. The words are few, and none of them says that a fetus is healthy."""

from __future__ import annotations

import enum
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["ExamStatement", "Outcome"]


class Outcome(str, enum.Enum):
    """What kind of statement it is. Programs read these words."""

    FINDING = "finding"
    INDETERMINATE = "indeterminate"
    NOT_SUPPORTED_VIEW = "not_supported_view"
    NO_LISTED_FINDING = "no_listed_finding"


@dataclass(frozen=True, slots=True)
class ExamStatement:
    """A statement about an exam, with what it rests on.

    Attributes:
        outcome: the kind of statement.
        label: the finding; ``None`` with every other outcome.
        score: aggregated score of ``label``, in [0, 1].
        reason: one line for a person: what was found, or what is missing.
        views_seen: views recognised on enough supported frames, sorted.
        views_missing: required views that are not among them, in the contract's order.
        frames: sequence numbers of the strongest frames behind a finding, in order of time; few of each second.
        n_frames: frames offered.
        n_supported: those of a supported view; only they count.
    """

    outcome: Outcome
    label: str | None
    score: float | None
    reason: str
    views_seen: tuple[str, ...] = ()
    views_missing: tuple[str, ...] = ()
    frames: tuple[int, ...] = ()
    n_frames: int = 0
    n_supported: int = 0

    @property
    def answered(self) -> bool:
        """Whether something is said about the findings."""
        return self.outcome in (Outcome.FINDING, Outcome.NO_LISTED_FINDING)

    def to_json(self) -> dict[str, Any]:
        """JSON-ready."""
        value = asdict(self) | {"outcome": self.outcome.value}
        return {key: list(item) if isinstance(item, tuple) else item for key, item in value.items()}
