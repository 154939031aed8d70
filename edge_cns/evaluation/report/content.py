"""What a report is made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from edge_cns.evaluation.noninferiority import Outcome

__all__ = ["Example", "GateState", "Report"]


@dataclass(frozen=True, slots=True)
class GateState:
    """What the conversion gate said about the model.

    Attributes:
        outcome: *passed*, *failed* or *undecided*.
        reason: one sentence.
        drift_allowed: the bundle was written although the gate failed.
    """

    outcome: Outcome
    reason: str
    drift_allowed: bool = False


@dataclass(frozen=True, slots=True)
class Example:
    """One picture to show: the bytes of a PNG or JPEG file, and what there is to see."""

    image: bytes
    caption: str


@dataclass(frozen=True, slots=True)
class Report:
    """Everything the report shows.

    Attributes:
        title: heading, for instance the bundle's name.
        metrics: content of ``metrics.json``: from ``evaluate``, with the blocks of whatever else was measured. A block
            that is absent leaves no section.
        figures: PNG or JPEG files by name, from ``draw`` and ``draw_heatmaps``; names it does not know are shown under
            their name.
        gate: the gate's outcome, where the model has been through it.
        warnings: shortcuts and other findings about the data, one sentence each.
        examples: pictures of frames, with heat maps or without.
        settings: everything that produced the figures; nested mappings are shown with dotted names.
    """

    title: str
    metrics: dict[str, Any]
    figures: Mapping[str, bytes] = field(default_factory=dict)
    gate: GateState | None = None
    warnings: Sequence[str] = ()
    examples: Sequence[Example] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
