"""The report of ``data check``: counts, and one line for each thing worth knowing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from edge_cns.data.association import Association

__all__ = ["LEVELS", "ClassCount", "Finding", "Findings", "Level"]

Level = Literal["refusal", "shortcut", "warning", "note"]
LEVELS: tuple[Level, ...] = get_args(Level)
"""Worst first."""


@dataclass(frozen=True, slots=True)
class ClassCount:
    """Frames and patients of a class, and frames on which its sign is said not to show."""

    frames: int
    patients: int
    without_evidence: int


@dataclass(frozen=True, slots=True)
class Finding:
    """One line about the data.

    Attributes:
        level: ``refusal``, ``shortcut``, ``warning`` or ``note``.
        kind: a stable word for programs.
        text: what, how many, where, and the mend.
    """

    level: Level
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Findings:
    """What ``check`` found.

    Attributes:
        path: the csv.
        sha256: hex digest of the csv.
        frames: rows of the csv.
        patients: patients of the csv.
        classes: counts by class, in class order.
        several_labels: patients with frames of two classes or more.
        phantom: whether any frame is simulated.
        associations: class against every column that has few values.
        findings: refusals first, then shortcuts, warnings and notes.
        unreadable: one line for each image that cannot be used.
        linked_patients: groups of patient ids that share pixels; ``draw_sets`` keeps each group together.
    """

    path: Path
    sha256: str
    frames: int
    patients: int
    classes: Mapping[str, ClassCount]
    several_labels: int
    phantom: bool
    associations: tuple[Association, ...]
    findings: tuple[Finding, ...]
    unreadable: tuple[str, ...]
    linked_patients: tuple[tuple[str, ...], ...]

    @property
    def refusal(self) -> str | None:
        """Why the training would refuse, in one line, or ``None``."""
        return next((finding.text for finding in self.findings if finding.level == "refusal"), None)

    @property
    def shortcut_warnings(self) -> tuple[str, ...]:
        """One line for each shortcut; every later report prints them."""
        return tuple(finding.text for finding in self.findings if finding.level == "shortcut")

    def as_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "path": str(self.path),
            "sha256": self.sha256,
            "frames": self.frames,
            "patients": self.patients,
            "classes": {
                name: {"frames": c.frames, "patients": c.patients, "without_evidence": c.without_evidence}
                for name, c in self.classes.items()
            },
            "patients_with_several_labels": self.several_labels,
            "phantom": self.phantom,
            "refusal": self.refusal,
            "shortcut_warnings": list(self.shortcut_warnings),
            "findings": [{"level": f.level, "kind": f.kind, "text": f.text} for f in self.findings],
            "unreadable": list(self.unreadable),
            "linked_patients": [list(group) for group in self.linked_patients],
            "associations": [association.as_dict() for association in self.associations],
        }
