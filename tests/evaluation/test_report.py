from __future__ import annotations

import base64
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from edge_cns.evaluation.metrics import evaluate
from edge_cns.evaluation.report import Example, GateState, Report, render, write_report

PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg==")
HOSTILE = '<script>alert("x")</script>&\'$title'


class Reader(HTMLParser):
    """Checks that tags close in order, and collects text, tags and addresses."""

    EMPTY = ("meta", "img", "br")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href", "srcset", "action")]
        assert not any(name.startswith("on") for name, _ in attrs)
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data) -> None:
        if "style" not in self.open:
            self.text += data + "\n"


@pytest.fixture
def report(make_predictions) -> Report:
    metrics = evaluate(make_predictions(), resamples=100)
    return Report(title="plane.cns", metrics=metrics, figures={"roc": PNG, "extra": PNG})


def test_is_one_file_that_asks_nothing_of_a_network(report: Report, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_report(path, replace(report, examples=[Example(PNG, "frame 7")]))
    html = path.read_text(encoding="utf-8")
    page = Reader(html)
    assert len(page.addresses) == page.tags.count("img") == 3
    assert all(address.startswith("data:image/png;base64,") for address in page.addresses)
    assert base64.b64decode(page.addresses[0].partition(",")[2]) == PNG
    assert "script" not in page.tags
    assert "link" not in page.tags
    assert "url(" not in html
    assert "@import" not in html
    assert "frame 7" in page.text


def test_shows_the_unseen_patients_first_with_interval_and_counts(report: Report) -> None:
    page = Reader(render(report))
    unseen = report.metrics["by_set"]["unseen"]
    low, high = unseen["frame"]["accuracy_interval"]
    assert "Research use only. Not a medical device." in page.text
    assert page.text.index("Unseen patients") < page.text.index(f"{unseen['frame']['accuracy']:.1%}")
    assert f"{100 * low:.1f}\u2013{100 * high:.1f}%" in page.text
    assert f"{unseen['n_frames']} frames" in page.text
    assert f"{unseen['n_patients']} patients, majority vote" in page.text
    assert "gate (judged the int8 model)" in page.text
    for name in report.metrics["classes"]:
        assert name in page.text
    for absent in ("PHANTOM", "Shortcuts", "Gate of", "No unseen", "Examples", "Settings", "case is"):
        assert absent not in page.text


def test_everything_from_outside_is_escaped(make_predictions) -> None:
    metrics = evaluate(make_predictions(("a", HOSTILE, "c"), several_labels=True), resamples=20)
    page = Reader(
        render(
            Report(
                title=HOSTILE,
                metrics=metrics,
                figures={HOSTILE: PNG},
                gate=GateState("undecided", HOSTILE),
                warnings=[HOSTILE],
                examples=[Example(PNG, HOSTILE)],
                settings={HOSTILE: {"inner": [HOSTILE]}},
            )
        )
    )
    assert "script" not in page.tags
    assert page.text.count("<script>alert(") >= 8
    assert "a case is one patient with one label" in page.text


@pytest.mark.parametrize(
    ("gate", "said"),
    [
        (GateState("passed", "no loss"), "Gate of the int8 model: passed"),
        (GateState("undecided", "too few patients"), "Gate of the int8 model: undecided"),
        (GateState("failed", "worse", drift_allowed=True), "worse; the model was released because drift was allowed"),
    ],
)
def test_gate_banner(report: Report, gate: GateState, said: str) -> None:
    page = Reader(render(replace(report, gate=gate)))
    assert said in page.text
    assert gate.reason in page.text


def test_warns_of_phantom_data_shortcuts_and_of_seen_patients_only(make_predictions) -> None:
    metrics = evaluate(make_predictions(sets=("fit",), phantom=True), resamples=20)
    page = Reader(render(Report("x", metrics, warnings=["class a comes from site 1 only"])))
    for text in ("PHANTOM DATA", "No unseen patients", "class a comes from site 1 only", "Patients the model has seen"):
        assert text in page.text


def test_what_cannot_be_computed_is_a_dash_and_almost_all_is_not_all(make_predictions) -> None:
    predictions = make_predictions()
    metrics = evaluate(predictions.select(predictions.labels == 0), resamples=20)
    metrics["by_set"]["unseen"]["frame"]["accuracy"] = 0.9998
    html = render(Report("x", metrics))
    assert "Not in the AUROC, for lack of frames: cord, head, spine." in Reader(html).text
    assert "&gt; 99.9%" in html
    assert "None" not in html
    assert "nan" not in Reader(html).text


def test_settings_have_dotted_names(report: Report) -> None:
    settings = {"train": {"epochs": 8, "rates": [0.1, 0.2]}, "path": Path("runs/a"), "note": "été"}
    page = Reader(render(replace(report, settings=settings)))
    for text in ("train.epochs", "8", "[0.1, 0.2]", "runs/a", "été"):
        assert text in page.text
