"""The whole page."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

from edge_cns.atomic import write_text
from edge_cns.evaluation.report import accuracy, heatmaps, overview, provenance, subgroups, trust
from edge_cns.evaluation.report.content import Report
from edge_cns.evaluation.report.html import Section, pictures

__all__ = ["render", "write_report"]


def write_report(path: Path, report: Report) -> None:
    """Write the report as one HTML file, whole or not at all.

    Raises:
        OSError: full disk or read-only folder.
    """
    write_text(path, render(report))


def render(report: Report) -> str:
    """The report as HTML. Every text from outside is escaped."""
    template = Template(files(__package__).joinpath("report.html").read_text(encoding="utf-8"))
    sections = _sections(report)
    sections.append(provenance.checklist(sections))
    body = [
        f"<h1>{escape(report.title)}</h1>",
        overview.banners(report),
        _contents(sections),
        *(f'<section id="{s.name}"><h2>{escape(s.title)}</h2>{s.body}</section>' for s in sections),
    ]
    return template.substitute(title=escape(report.title), body="\n".join(filter(None, body)))


def _sections(report: Report) -> list[Section]:
    metrics, figures = report.metrics, report.figures
    elsewhere = (*trust.FIGURES, *subgroups.FIGURES, *heatmaps.FIGURES)
    candidates = (
        overview.headline_figures(metrics),
        overview.flow(metrics),
        accuracy.classes(metrics),
        accuracy.curves(figures, elsewhere),
        accuracy.patients(metrics),
        accuracy.prevalence(metrics),
        trust.calibration(metrics, figures),
        trust.abstention(metrics),
        trust.novelty(metrics),
        trust.exams(metrics, figures),
        subgroups.subgroups(metrics, figures),
        heatmaps.heatmaps(metrics, figures),
        _examples(report),
        overview.sets(metrics),
        provenance.cross_validation(metrics),
        provenance.settings(report),
    )
    return [section for section in candidates if section is not None]


def _examples(report: Report) -> Section | None:
    items = [(example.image, example.caption) for example in report.examples]
    return Section("examples", "Examples", pictures(items, "examples")) if items else None


def _contents(sections: Sequence[Section]) -> str:
    links = "".join(f'<li><a href="#{section.name}">{escape(section.title)}</a></li>' for section in sections)
    return f'<nav aria-label="Contents"><ul>{links}</ul></nav>'
