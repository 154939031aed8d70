from __future__ import annotations

import base64
import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_cns.evaluation.metrics import evaluate
from edge_cns.evaluation.predictions import CaseDecisions
from edge_cns.evaluation.report import Example, GateState, Report, render, write_report

PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg==")
JPEG = b"\xff\xd8\xff\xe0rest"
HOSTILE = '<script>alert("x")</script>&\'$title'


class Reader(HTMLParser):
    """Checks that tags close in order, and collects text, tags, addresses, names and the text under each heading."""

    EMPTY = ("meta", "img", "br")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.links: list[str] = []
        self.names: list[str] = []
        self.titles: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "srcset", "action")]
        self.links += [value for name, value in attrs if name == "href"]
        self.names += [value for name, value in attrs if name == "id"]
        assert not any(name.startswith("on") for name, _ in attrs)
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data) -> None:
        if "style" in self.open:
            return
        self.text += data + "\n"
        if self.open and self.open[-1] == "h2":
            self.titles.append(data)


def rate(value: float | None, n: int = 40) -> dict[str, Any]:
    interval = None if value is None else [value / 2, (1 + value) / 2]
    return {"value": value, "n": n, "n_patients": 9, "interval": interval, "wilson": interval}


def lesions(names: tuple[str, ...]) -> dict[str, Any]:
    keys = ("pointing", "pointing_swapped", "pointing_area", "pointing_gain", "mass", "mass_swapped", "mass_area")
    part = {"n_frames": 20, "n_patients": 9, **{key: rate(0.25 + i / 20) for i, key in enumerate(keys)}}
    extra = {"n_outside": 2, "n_without_evidence": 1, "tolerance_px": 7, "input_px": [224, 224], "grid": [7, 7]}
    return {**part, **extra, "right": part, "per_class": dict.fromkeys(names, part)}


def blocks(names: tuple[str, ...]) -> dict[str, Any]:
    """Everything that can stand beside what ``evaluate`` returns."""
    pairs = ("logit_fall", "share_falling", "evidence_left", "fall_inside", "fall_inside_area", "verdict_leaves")
    stage = {"name": "head", "share": 0.0, "pointing": rate(0.1), "mass": rate(0.1), "correlation": rate(0.07)}
    return {
        "flow": {
            "rows": 170,
            "patients": 42,
            "excluded": [
                {"reason": f"unreadable {names[0]}", "rows": 10, "patients": 2},
                {"reason": "nobody", "rows": 0, "patients": 0},
            ],
            "analysed": {"rows": 160, "patients": 40},
            "by_set": {"unseen": {"rows": 52, "patients": 13}, "fit": {"rows": 108, "patients": 27}},
        },
        "states": {key: rate(0.3) for key in ("class", "indeterminate", "not_supported_view", "error_of_class")},
        "conformal": {
            "coverage": 0.9,
            "pooled": [names[0]],
            "per_class": dict.fromkeys(names, rate(0.91)),
            **{key: rate(0.92) for key in ("overall", "single", "empty", "error_of_single")},
        },
        "novelty": {
            "threshold": 3.0,
            "false_alarm": 0.05,
            "flagged": rate(0.06),
            "per_class": dict.fromkeys(names, rate(0.06)),
            "others": {names[0]: {"n": 321, "n_patients": None, "flagged": rate(0.97), "auroc": rate(0.991)}},
        },
        "exams": {
            "n": 40,
            "negative": names[0],
            "required_views": [names[0]],
            "outcomes": {names[0]: {"right_finding": 7, "indeterminate": 3}, "other": {"not_supported_view": 1}},
            "views_missing": {names[0]: 4},
            **{key: rate(0.2) for key in ("answered", "error", "found", "missed", "false_finding", "cleared")},
            "unlisted_clear": rate(None, 0),
            "unlisted_found": rate(None, 0),
        },
        "heatmaps": {
            "agreement": {
                "n_frames": 50,
                "n_patients": 13,
                "n_undefined": 1,
                "places": 49,
                "quantiles": {"0.05": 0.9, "0.5": 0.97, "0.95": 0.99},
                **{key: rate(0.965) for key in ("signed", "drawn", "logit_alone")},
            },
            "lesions": lesions(names),
            "counterfactual": {"n_pairs": 20, "n_patients": 9, **dict.fromkeys(pairs, rate(0.83))},
            "randomisation": {
                "n_frames": 20,
                "n_patients": 9,
                "shuffles": 3,
                "stages": [{"name": "trained", "share": None, "pointing": rate(0.6), "mass": rate(0.3)}, stage],
                "loses_the_lesion": True,
            },
        },
        "cross_validation": {"scheme": names[0], "folds": 5},
        "calibration_record": {"settings": {"coverage": 0.9}, "warnings": [f"few patients of {names[0]}"]},
    }


def full(make_predictions, names: tuple[str, ...] = ("cord", "head", "spine")) -> dict[str, Any]:
    predictions = replace(make_predictions(names), negative=names[0])
    cases = predictions.cases()
    scores = np.stack([predictions.probabilities[cases.index == m].mean(axis=0) for m in range(len(cases.labels))])
    decisions = CaseDecisions(scores, scores >= 0.4, ("log_odds",) * len(scores), 0.95)
    metrics = evaluate(predictions, resamples=50, decisions=decisions)
    before = metrics["by_set"]["unseen"]["frame"]
    metrics["before_calibration"] = {key: before[key] for key in before if key.startswith(("brier", "log_loss", "cal"))}
    return metrics | blocks(names)


@pytest.fixture
def report(make_predictions) -> Report:
    metrics = evaluate(make_predictions(), resamples=100)
    return Report(title="plane.cns", metrics=metrics, figures={"roc": PNG, "extra": PNG})


def test_is_one_file_that_asks_nothing_of_a_network(report: Report, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_report(path, replace(report, examples=[Example(JPEG, "frame 7")]))
    html = path.read_text(encoding="utf-8")
    page = Reader(html)
    assert len(page.addresses) == page.tags.count("img") == 3
    kinds = [address.partition(";")[0] for address in page.addresses]
    assert kinds == ["data:image/png", "data:image/png", "data:image/jpeg"]
    assert base64.b64decode(page.addresses[0].partition(",")[2]) == PNG
    assert all(link.startswith("#") for link in page.links)
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in html
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
    assert page.titles[0] == "Unseen patients"
    assert page.text.index("Unseen patients") < page.text.index(f"{unseen['frame']['accuracy']:.1%}")
    assert f"{100 * low:.1f}\u2013{100 * high:.1f}%" in page.text
    assert f"{unseen['n_frames']} frames" in page.text
    assert f"{unseen['n_patients']} patients, majority vote" in page.text
    assert "gate (judged the int8 model)" in page.text
    for name in report.metrics["classes"]:
        assert name in page.text
    for absent in ("PHANTOM", "Shortcuts", "Gate of", "No unseen", "case is"):
        assert absent not in page.text


def test_blocks_that_are_absent_leave_no_section(report: Report, make_predictions) -> None:
    bare = Reader(render(report))
    metrics = full(make_predictions)
    names = (
        "reliability",
        "risk_coverage",
        "risk_coverage_exams",
        "subgroups",
        "heatmaps",
        "heatmaps_agreement",
        "heatmaps_sanity",
        "roc",
    )
    whole = Reader(render(replace(report, metrics=metrics, figures=dict.fromkeys(names, PNG))))
    only_whole = [title for title in whole.titles if title not in bare.titles]
    assert only_whole == [
        "Flow of patients",
        "Abstention",
        "Is it a supported view at all?",
        "Statements on whole exams",
        "Are the heat maps right?",
        "Cross-validation",
    ]
    assert whole.tags.count("img") == len(names)
    for page in (bare, whole):
        assert page.names == [link[1:] for link in page.links[: len(page.names)]]  # the contents, in order
        assert {link[1:] for link in page.links} == set(page.names)
        assert page.tags.count("section") == len(page.names) == len(set(page.names))


def test_an_old_or_partial_block_of_heat_maps(report: Report, make_predictions) -> None:
    measured = full(make_predictions)["heatmaps"]
    for key, heading in (("agreement", "int8 against the float model"), ("counterfactual", "Without the lesion")):
        page = Reader(render(replace(report, metrics=report.metrics | {"heatmaps": {key: measured[key]}})))
        assert heading in page.text
        assert "With shuffled weights" not in page.text
    empty = Reader(render(replace(report, metrics=report.metrics | {"heatmaps": {}})))
    assert not any("heat maps" in title for title in empty.titles)


def test_says_what_was_measured(report: Report, make_predictions) -> None:
    metrics = full(make_predictions)
    page = Reader(render(replace(report, metrics=metrics)))
    for text in (
        "10 frames, and with them 2 patients: unreadable cord",
        "160 frames of 40 patients",
        "Sets hold the true class (promised: 90%)",
        "Too few calibration patients for a threshold of their own: cord.",
        "321",
        "0.991",
        "none of the listed findings in the views analysed",
        "Views that were missing, and exams: cord (4).",
        "With all weights shuffled the maps lose the lesion, as they must.",
        "2 lesions lie outside the region that the model sees.",
        "If 1 in 1,000 exams had the finding",
        "False alarms in 1,000 exams",
        "any of the findings",
        "accumulated log-odds (13)",
        "few patients of cord",
        "before calibration",
        "calibration.settings.coverage",
    ):
        assert text in page.text, text
    assert "nobody" not in page.text  # a reason that left out no row
    unseen = metrics["by_set"]["unseen"]
    for level in ("frame", "patient"):
        for entry in unseen[level]["per_class"].values():
            assert f"{entry['ppv']['value']:.1%}".replace("100.0%", "100") in page.text


@pytest.mark.parametrize(
    ("answer", "said"),
    [(False, "do not trust them"), (None, "Too few patients to say whether shuffled weights lose the lesion.")],
)
def test_maps_that_survive_shuffling_are_not_praised(report: Report, make_predictions, answer, said) -> None:
    metrics = full(make_predictions)
    metrics["heatmaps"]["randomisation"]["loses_the_lesion"] = answer
    metrics["heatmaps"]["lesions"]["pointing_gain"] = rate(None)
    page = Reader(render(replace(report, metrics=metrics)))
    assert said in page.text
    assert "as they must" not in page.text
    assert "not shown to be more than knowing where lesions lie" in page.text


def test_flags_of_subgroups_are_beside_their_number_by_chance(report: Report, make_predictions) -> None:
    block = report.metrics["subgroups"]
    block["columns"]["site"]["groups"][0]["flags"] = ["accuracy", "auroc_macro"]
    page = Reader(render(report))
    assert "accuracy, AUROC" in page.text
    assert block["n_comparisons"] > 0
    assert f"among {block['n_comparisons']} comparisons of {block['n_groups']} groups; chance alone" in page.text
    without = Reader(render(replace(report, metrics=report.metrics | {"subgroups": block | {"columns": {}}})))
    assert "Subgroups" not in without.titles


def test_everything_from_outside_is_escaped(make_predictions) -> None:
    metrics = full(make_predictions, ("a", HOSTILE, "c")) | blocks((HOSTILE,))
    several = evaluate(make_predictions(("a", HOSTILE, "c"), several_labels=True), resamples=20)
    for content, least in ((metrics, 25), (several, 8)):
        for column in content["subgroups"]["columns"].values():
            column["title"] = HOSTILE
            column["groups"][0]["name"] = HOSTILE
        content["subgroups"]["skipped"] = {HOSTILE: HOSTILE}
        page = Reader(
            render(
                Report(
                    title=HOSTILE,
                    metrics=content,
                    figures={HOSTILE: PNG},
                    gate=GateState("undecided", HOSTILE),
                    warnings=[HOSTILE],
                    examples=[Example(PNG, HOSTILE)],
                    settings={HOSTILE: {"inner": [HOSTILE]}},
                )
            )
        )
        assert "script" not in page.tags
        assert page.text.count("<script>alert(") >= least
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
    metrics["by_set"]["unseen"]["patient"]["auroc_macro"] = 0.99996
    html = render(Report("x", metrics))
    assert "Not in the AUROC, for lack of frames: cord, head, spine." in Reader(html).text
    assert "&gt; 99.9%" in html
    assert "&gt; 0.999<" in html
    assert "None" not in html
    assert "nan" not in Reader(html).text


def test_settings_and_seeds_have_dotted_names(report: Report) -> None:
    settings = {"train": {"epochs": 8, "rates": [0.1, 0.2]}, "path": Path("runs/a"), "note": "été"}
    page = Reader(render(replace(report, settings=settings)))
    for text in ("evaluation.seed", "evaluation.resamples", "train.epochs", "8", "[0.1, 0.2]", "runs/a", "été"):
        assert text in page.text


def test_the_checklist_claims_only_what_the_report_has(report: Report, make_predictions) -> None:
    bare = render(report).partition('<section id="checklist">')[2]
    whole = render(replace(report, metrics=full(make_predictions))).partition('<section id="checklist">')[2]
    assert 'href="#heatmaps"' not in bare
    assert 'href="#heatmaps"' in whole
    assert "committee and number" in bare  # nobody but the author knows
    assert bare.count("<tr>") == whole.count("<tr>") == 48 + 44 + 2  # two heads


def test_novelty_without_anything_to_compare_with_has_no_empty_columns(report: Report, make_predictions) -> None:
    metrics = full(make_predictions)
    metrics["novelty"]["others"] = {}
    section = render(replace(report, metrics=metrics)).partition('<section id="novelty">')[2].partition("</section>")[0]
    assert "AUROC" not in section
    assert "5% false alarms" in section


def test_negative_limits_are_not_joined_by_a_dash(report: Report, make_predictions) -> None:
    metrics = full(make_predictions)
    stage = metrics["heatmaps"]["randomisation"]["stages"][1]
    stage["correlation"] = {"value": 0.01, "interval": [-0.05, 0.07]}
    assert "-0.05 to 0.07" in Reader(render(replace(report, metrics=metrics))).text


def test_metrics_as_json_gives_the_same_report(report: Report, make_predictions) -> None:
    metrics = full(make_predictions)
    again = json.loads(json.dumps(metrics, allow_nan=False))
    assert render(replace(report, metrics=again)) == render(replace(report, metrics=metrics))


def test_probabilities_that_are_all_one_class_can_be_shown(make_predictions) -> None:
    predictions = make_predictions()
    sure = np.eye(3)[predictions.labels]
    html = render(Report("x", evaluate(replace(predictions, probabilities=sure), resamples=20)))
    assert "None" not in Reader(html).text
