"""Subgroups: the same figures for part of the patients, and a flag where a part differs from the whole."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from edge_cns.evaluation.report.html import Section, count, decimals, note, pictures, share_of, table

__all__ = ["FIGURES", "subgroups"]

FIGURES = ("subgroups",)
"""Names of the figures that this section shows."""

_HEADER = ("Group", "Frames", "Accuracy", "Balanced accuracy", "AUROC, macro", "Lowest sensitivity", "Flag")
_NAMES = {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", "auroc_macro": "AUROC"}


def subgroups(metrics: dict[str, Any], figures: Mapping[str, bytes]) -> Section | None:
    """A table for each column of the labels, and the forest plot."""
    block = metrics.get("subgroups")
    if block is None or not block["columns"]:
        return None
    parts = []
    for column in block["columns"].values():
        rows = [_row(group) for group in column["groups"]]
        parts.append(f"<h3>{escape(column['title'])}</h3>" + table(_HEADER, rows, "dense groups"))
    overall = block["overall"]
    texts = [
        f"Frames of {block['whose']}. All: accuracy {overall['accuracy']:.1%}, balanced accuracy "
        f"{overall['balanced_accuracy']:.1%}. A flag: the group's 95 % interval leaves out the figure of all.",
        f"{block['n_flags']} flags among {block['n_comparisons']} comparisons of {block['n_groups']} groups; chance "
        f"alone would give about {block['expected_flags']:.1f}.",
    ]
    skipped = "; ".join(f"{name}: {reason}" for name, reason in block.get("skipped", {}).items())
    texts.append(skipped and f"Columns left out. {skipped}.")
    captions = {"subgroups": "Accuracy by frame with 95 % intervals; a diamond is flagged."}
    drawn = pictures([(figures[name], text) for name, text in captions.items() if name in figures], "figures")
    return Section("subgroups", "Subgroups", "".join(parts) + note(*texts) + drawn)


def _row(group: dict[str, Any]) -> list[str]:
    area = "-"
    if group["auroc_macro"] is not None:
        area = decimals(group["auroc_macro"], group["auroc_macro_interval"])
    known = {name: value for name, value in group["sensitivity"].items() if value["value"] is not None}
    lowest = "-"
    if known:
        name = min(known, key=lambda name: known[name]["value"])
        lowest = f"{known[name]['value']:.1%}<small>{escape(name)}, {known[name]['n']} frames</small>"
    flags = ", ".join(_NAMES.get(flag, flag) for flag in group["flags"])
    return [
        escape(group["name"]),
        count(group["n_frames"], group["n_patients"]),
        share_of(group, "accuracy"),
        share_of(group, "balanced_accuracy"),
        area,
        lowest,
        f'<strong class="flag">{escape(flags)}</strong>' if flags else "",
    ]
