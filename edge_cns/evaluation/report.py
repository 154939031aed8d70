"""The report of an evaluation: one HTML file that carries its pictures and style, and asks nothing of a network."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from edge_cns.atomic import write_text
from edge_cns.evaluation.metrics import headline
from edge_cns.evaluation.noninferiority import Outcome
from edge_cns.evaluation.predictions import UNSEEN

__all__ = ["Example", "GateState", "Report", "render", "write_report"]

_FIGURES = {
    "sensitivity": "Sensitivity and specificity by class. The bars are 95 % intervals over patients.",
    "confusion": "Frames: counts, and the share of each true class.",
    "confusion_patients": "Patients, by the mean of their frames' probabilities.",
    "roc": "Receiver operating characteristic of each class against the rest, by frame.",
}
_DASH = "\u2013"
_SET_NAMES = {
    UNSEEN: "unseen patients",
    "seen": "seen patients, all",
    "fit": "fit (trained on)",
    "stop": "stop (chose the epoch)",
    "calibrate": "calibrate",
    "gate": "gate (judged the int8 model)",
}


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
    """One picture to show: a PNG file's bytes, and what there is to see."""

    image: bytes
    caption: str


@dataclass(frozen=True, slots=True)
class Report:
    """Everything the report shows.

    Attributes:
        title: heading, for instance the bundle's name.
        metrics: from ``evaluate``; ``evident``, if there, holds the same for the frames that show the sign.
        figures: PNG files by name, from ``draw``; names it does not know are shown last, under their name.
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


def write_report(path: Path, report: Report) -> None:
    """Write the report as one HTML file, whole or not at all.

    Raises:
        OSError: full disk or read-only folder.
    """
    write_text(path, render(report))


def render(report: Report) -> str:
    """The report as HTML. Every text from outside is escaped."""
    template = Template(files(__package__).joinpath("report.html").read_text(encoding="utf-8"))
    sections = (
        f"<h1>{escape(report.title)}</h1>",
        _banners(report),
        _headline(report.metrics),
        _classes(report.metrics),
        _figures(report.figures),
        _sets(report.metrics),
        _examples(report.examples),
        _settings(report.settings),
    )
    return template.substitute(title=escape(report.title), body="\n".join(filter(None, sections)))


def _banners(report: Report) -> str:
    """What nobody may miss, above all figures."""
    banners = [_banner("red", "Research use only. Not a medical device.", "")]
    if report.metrics["phantom"]:
        banners.append(_banner("violet", "PHANTOM DATA", "Simulated frames: these figures say nothing about patients."))
    if report.metrics["by_set"][UNSEEN] is None:
        text = "Training or conversion has met every patient in these data: expect worse figures on new patients."
        banners.append(_banner("red", "No unseen patients", text))
    if report.gate is not None:
        banners.append(_gate(report.gate))
    if report.warnings:
        items = "".join(f"<li>{escape(warning)}</li>" for warning in report.warnings)
        title = "Shortcuts: a model may have learned these instead of the anatomy"
        banners.append(f'<div class="banner amber"><strong>{title}</strong><ul>{items}</ul></div>')
    return "\n".join(banners)


def _gate(gate: GateState) -> str:
    if gate.outcome == "failed":
        allowed = "; the model was released because drift was allowed" if gate.drift_allowed else ""
        return _banner("red", "The int8 model failed its gate", gate.reason + allowed)
    colour = "green" if gate.outcome == "passed" else "amber"
    return _banner(colour, f"Gate of the int8 model: {gate.outcome}", gate.reason)


def _banner(colour: str, title: str, text: str) -> str:
    return f'<div class="banner {colour}" role="note"><strong>{escape(title)}</strong>{escape(text)}</div>'


def _headline(metrics: dict[str, Any]) -> str:
    """Accuracy, balanced accuracy and AUROC by frame and by patient, of the patients that count."""
    whose, figures = headline(metrics)
    frame, patient = figures["frame"], figures["patient"]
    vote = patient["majority_vote"]
    unit = patient["unit"]
    columns = (
        f"{figures['n_frames']} frames",
        f"{patient['n']} {unit}, mean softmax",
        f"{vote['n']} {unit}, majority vote",
    )
    rows = [
        ["Accuracy", *(_share(part, "accuracy") for part in (frame, patient, vote))],
        ["Balanced accuracy", *(_share(part, "balanced_accuracy") for part in (frame, patient, vote))],
        ["AUROC, macro one-vs-rest", _area(frame), _area(patient), "-"],
    ]
    notes = [
        f"{figures['n_patients']} patients. Below each figure: 95 % interval; patients are resampled, not frames, and "
        "where all answers are right the limit is exact. A dash: cannot be computed.",
    ]
    if "evident" in metrics:
        shown = headline(metrics["evident"])[1]
        notes.insert(
            0,
            f"Some frames carry their patient's label but do not show its sign. On the {shown['n_frames']} others the "
            f"accuracy by frame is {_percent(shown['frame']['accuracy'])}.",
        )
    if unit != "patients":
        notes.append("Some patients carry several labels: a case is one patient with one label.")
    if frame["auroc_left_out"]:
        notes.append(f"Not in the AUROC, for lack of frames: {', '.join(frame['auroc_left_out'])}.")
    notes.append("Telling the listed classes apart in these data is not the same as finding them in a population.")
    paragraphs = "".join(f'<p class="soft">{escape(note)}</p>' for note in notes)
    title = whose[0].upper() + whose[1:]
    return f"<h2>{escape(title)}</h2>" + _table(["", *columns], rows, "headline") + paragraphs


def _classes(metrics: dict[str, Any]) -> str:
    """Sensitivity, specificity and AUROC of each class."""
    whose, figures = headline(metrics)
    cases = figures["patient"]["per_class"]
    rows = []
    for name, entry in figures["frame"]["per_class"].items():
        rows.append(
            [
                escape(name),
                f"{entry['n']}<small>{entry['n_patients']} patients</small>",
                _rate(entry["sensitivity"]),
                _rate(entry["specificity"]),
                _decimals(entry["auroc"]["value"], entry["auroc"]["interval"]),
                _rate(cases[name]["sensitivity"]),
                _rate(cases[name]["specificity"]),
            ]
        )
    unit = "cases" if figures["patient"]["unit"] != "patients" else "patients"
    header = ["Class", "Frames", "Sensitivity", "Specificity", "AUROC"]
    header += [f"Sensitivity, {unit}", f"Specificity, {unit}"]
    note = (
        f"Frames of {whose}; the last two columns by mean softmax. In brackets: Wilson's interval, which takes "
        "rows as independent."
    )
    return "<h2>By class</h2>" + _table(header, rows) + f'<p class="soft">{escape(note)}</p>'


def _sets(metrics: dict[str, Any]) -> str:
    """The headline figures apart for each set of patients."""
    groups = {_SET_NAMES[name]: block for name, block in metrics["by_set"].items() if block is not None}
    groups["all rows"] = metrics
    rows = [
        [
            escape(name),
            f"{block['n_frames']}<small>{block['n_patients']} patients</small>",
            _share(block["frame"], "accuracy"),
            _share(block["frame"], "balanced_accuracy"),
            _area(block["frame"]),
            _share(block["patient"], "accuracy"),
        ]
        for name, block in groups.items()
    ]
    header = ["Set", "Frames", "Accuracy", "Balanced accuracy", "AUROC, macro"]
    header.append(f"Accuracy, {metrics['patient']['unit'].split(' ')[0]}")
    note = "Only unseen patients tell how the model does on new ones; the others it has met."
    return "<h2>By set of patients</h2>" + _table(header, rows) + f'<p class="soft">{note}</p>'


def _figures(figures: Mapping[str, bytes]) -> str:
    known = [name for name in _FIGURES if name in figures]
    names = known + [name for name in figures if name not in _FIGURES]
    items = [(figures[name], _FIGURES.get(name, name)) for name in names]
    return "<h2>Figures</h2>" + _pictures(items, "figures") if items else ""


def _examples(examples: Sequence[Example]) -> str:
    items = [(example.image, example.caption) for example in examples]
    return "<h2>Examples</h2>" + _pictures(items, "examples") if items else ""


def _pictures(items: Iterable[tuple[bytes, str]], kind: str) -> str:
    pictures = []
    for image, caption in items:
        data = base64.b64encode(image).decode()
        text = escape(caption)
        pictures.append(
            f'<figure><img src="data:image/png;base64,{data}" alt="{text}"><figcaption>{text}</figcaption></figure>'
        )
    return f'<div class="{kind}">{"".join(pictures)}</div>'


def _settings(settings: Mapping[str, Any]) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>' for name, value in _flat(settings)
    )
    return f'<h2>Settings</h2><table class="settings"><tbody>{rows}</tbody></table>' if rows else ""


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    """Dotted names and printable values of nested mappings."""
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
            yield f"{prefix}{key}", text


def _table(header: Sequence[str], rows: Iterable[Sequence[str]], kind: str = "") -> str:
    """A table that stacks on a narrow screen. The header is text; cells are HTML made here."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in header)
    body = []
    for first, *cells in rows:
        data = "".join(
            f'<td data-label="{escape(name)}"><span>{cell}</span></td>'
            for name, cell in zip(header[1:], cells, strict=True)
        )
        body.append(f'<tr><th scope="row">{first}</th>{data}</tr>')
    return f'<table class="stack {kind}"><thead><tr>{head}</tr></thead><tbody>{"".join(body)}</tbody></table>'


def _share(part: dict[str, Any], key: str) -> str:
    """A share with its interval over patients."""
    return _percent(part[key]) + _small(_percents(part[f"{key}_interval"]))


def _area(part: dict[str, Any]) -> str:
    """A macro AUROC with its interval over patients."""
    return _decimals(part["auroc_macro"], part["auroc_macro_interval"])


def _rate(rate: dict[str, Any]) -> str:
    """A proportion with its interval over patients, and Wilson's in brackets."""
    wilson = _percents(rate["wilson"])
    return _percent(rate["value"]) + _small(_percents(rate["interval"])) + _small(wilson and f"({wilson})")


def _decimals(value: float | None, interval: Sequence[float] | None) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" + _small(_DASH.join(f"{limit:.3f}" for limit in interval or ()))


def _percent(value: float | None) -> str:
    if value is None:
        return "-"
    text = f"{value:.1%}"
    return "&gt; 99.9%" if text == "100.0%" and value < 1 else text


def _percents(interval: Sequence[float] | None) -> str:
    return _DASH.join(f"{100 * limit:.1f}" for limit in interval) + "%" if interval else ""


def _small(text: str) -> str:
    """A second line in a cell, where there is one."""
    return f"<small>{text}</small>" if text else ""
