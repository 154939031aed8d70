"""Where the figures come from: cross-validation, every setting and seed, and the reporting checklists."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from html import escape
from typing import Any

from edge_cns.evaluation.checklist import GUIDELINES, Item
from edge_cns.evaluation.report.content import Report
from edge_cns.evaluation.report.html import Section, flat, note, table

__all__ = ["checklist", "cross_validation", "settings"]

_EVALUATION = (
    "schema_version",
    "seed",
    "resamples",
    "level",
    "prevalence",
    "negative",
    "bundle",
    "proof",
    "calibrated",
    "labels_sha256",
)


def cross_validation(metrics: dict[str, Any]) -> Section | None:
    """How every patient came to be a test patient."""
    block = metrics.get("cross_validation")
    if not block:
        return None
    text = "Each patient was predicted by a model that never met that patient; whatever was chosen, was chosen without."
    return Section("cross-validation", "Cross-validation", note(text) + _settings(block))


def settings(report: Report) -> Section:
    """Every setting and seed."""
    own = {key: report.metrics[key] for key in _EVALUATION if report.metrics.get(key) is not None}
    shown: dict[str, Any] = {"evaluation": own, **report.settings}
    record = report.metrics.get("calibration_record")
    if record:
        shown["calibration"] = {key: value for key, value in record.items() if key != "warnings"}
    return Section("settings", "Settings", _settings(shown))


def _settings(values: Mapping[str, Any]) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>' for name, value in flat(values)
    )
    return f'<table class="settings"><tbody>{rows}</tbody></table>'


def checklist(sections: Collection[Section]) -> Section:
    """Which items of the reporting guidelines this report answers, and which the user must.

    Args:
        sections: the ones that the report has.
    """
    present = {section.name: section.title for section in sections}
    parts = []
    for guideline in GUIDELINES:
        rows = [_item(item, present) for item in guideline.items]
        done = sum(1 for item in guideline.items if item.answered_by(present) and not item.yours)
        parts.append(f"<h3>{escape(guideline.name)}</h3>")
        parts.append(table(["Item", "Topic", "Answered here", "For you to write"], rows, "checklist"))
        text = f"{done} of {len(guideline.items)} items need nothing more. The topics are in our words; the items: "
        parts.append(note(f"{text}{guideline.source}."))
    return Section("checklist", "Reporting checklist", "".join(parts))


def _item(item: Item, present: Mapping[str, str]) -> Sequence[str]:
    here = item.answered_by(present)
    links = ", ".join(f'<a href="#{escape(name)}">{escape(present[name])}</a>' for name in here)
    yours = item.yours if here or item.yours else item.topic
    return [escape(item.number), escape(item.topic), links or "-", escape(yours)]
