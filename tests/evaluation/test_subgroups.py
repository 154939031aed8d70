from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_cns.data.manifest import Row
from edge_cns.evaluation.metrics import evaluate
from edge_cns.evaluation.subgroups import NOT_RECORDED, four_weeks, subgroup_columns, trimester


def row(i: int, **values) -> Row:
    return Row(line=i + 2, path=Path(f"{i}.png"), label="a", patient_id=f"p{i}", **values)


def groups_of(predictions, **columns) -> dict:
    metrics = evaluate(replace(predictions, subgroups=columns), resamples=200)
    return metrics["subgroups"]


def names_of(block: dict, column: str) -> list[str]:
    return [group["name"] for group in block["columns"][column]["groups"]]


@pytest.mark.parametrize(
    ("weeks", "third", "bin_"),
    [
        (13.9, "first (< 14 weeks)", "12 to < 16 weeks"),
        (14.0, "second (14 to < 28 weeks)", "12 to < 16 weeks"),
        (27.99, "second (14 to < 28 weeks)", "24 to < 28 weeks"),
        (28.0, "third (28 weeks or more)", "28 to < 32 weeks"),
        (7.0, "first (< 14 weeks)", "04 to < 08 weeks"),
        (None, "", ""),
    ],
)
def test_ages(weeks: float | None, third: str, bin_: str) -> None:
    assert (trimester(weeks), four_weeks(weeks)) == (third, bin_)


def test_columns_of_a_label_file() -> None:
    rows = [
        row(0, gestational_age_weeks=20.4, site="north", extra={"parity": "1", "note": ""}),
        row(1, site="south", plane="axial", extra={"parity": "", "note": ""}),
    ]
    columns = subgroup_columns(rows)
    assert columns == {
        "gestational_age_trimester": ("second (14 to < 28 weeks)", ""),
        "gestational_age_4_weeks": ("20 to < 24 weeks", ""),
        "site": ("north", "south"),
        "plane": ("", "axial"),
        "parity": ("1", ""),
    }
    assert subgroup_columns([row(0), row(1)]) == {}


def test_missing_ages_are_a_group_and_all_missing_are_none(make_predictions) -> None:
    predictions = make_predictions(patients=60, sets=("unseen",))
    rows = [
        row(i, gestational_age_weeks=None if i // 4 % 3 == 0 else 10.0 + i // 4 % 25) for i in range(len(predictions))
    ]
    block = groups_of(predictions, **subgroup_columns(rows))
    assert names_of(block, "gestational_age_trimester")[-1] == NOT_RECORDED
    ages = block["columns"]["gestational_age_trimester"]["groups"]
    assert sum(group["n_frames"] for group in ages) == len(predictions)
    assert ages[-1]["n_patients"] == 20
    without = [replace(r, gestational_age_weeks=None) for r in rows]
    assert groups_of(predictions, **subgroup_columns(without))["columns"] == {}


def test_groups_add_up_and_agree_with_figures_of_their_rows(make_predictions) -> None:
    predictions = make_predictions(patients=90, sets=("unseen",), several_labels=True)
    block = groups_of(predictions, site=tuple("xyz"[i // 4 % 3] for i in range(len(predictions))))
    groups = block["columns"]["site"]["groups"]
    assert [group["n_patients"] for group in groups] == [30, 30, 30]
    for group in groups:
        alone = evaluate(predictions.select(np.arange(360) // 4 % 3 == "xyz".index(group["name"])), resamples=200)
        for key in ("accuracy", "accuracy_interval", "balanced_accuracy", "auroc_macro", "auroc_macro_interval"):
            assert group[key] == pytest.approx(alone["frame"][key])
        for name, rate in group["sensitivity"].items():
            assert rate == alone["frame"]["per_class"][name]["sensitivity"]
    assert block["n_groups"] == 3
    assert block["n_comparisons"] == 9
    assert block["expected_flags"] == 0.45
    assert block["whose"] == "unseen patients"


def test_a_site_where_the_model_fails_is_flagged(make_predictions) -> None:
    predictions = make_predictions(patients=120, sets=("unseen",), signal=3.0, several_labels=True)
    bad = np.arange(480) // 4 % 4 == 0
    shuffled = np.where(bad[:, None], predictions.probabilities[:, ::-1], predictions.probabilities)
    broken = replace(predictions, probabilities=shuffled)
    block = groups_of(broken, site=tuple(np.where(bad, "bad", "good").tolist()))
    flags = {group["name"]: group["flags"] for group in block["columns"]["site"]["groups"]}
    assert flags["bad"] == ["accuracy", "balanced_accuracy", "auroc_macro"]
    assert block["n_flags"] == sum(map(len, flags.values()))


def test_a_group_without_all_classes_is_compared_by_accuracy_only(make_predictions) -> None:
    predictions = make_predictions(patients=60, sets=("unseen",), several_labels=True)
    plane = tuple("one" if label == 0 else "rest" for label in predictions.labels)
    block = groups_of(predictions, plane=plane)
    one, rest = block["columns"]["plane"]["groups"]
    assert one["classes_without_rows"] == ["head", "spine"]
    assert list(one["sensitivity"]) == ["cord"]
    assert list(rest["sensitivity"]) == ["head", "spine"]
    assert block["n_comparisons"] == 2


def test_numbers_are_cut_at_quartiles_and_names_are_not(make_predictions) -> None:
    predictions = make_predictions(patients=40, sets=("unseen",))
    patient = np.arange(160) // 4
    bmi = tuple("" if p == 7 else f"{18 + 0.5 * p:g}" for p in patient)
    block = groups_of(predictions, bmi=bmi, parity=tuple(str(p % 3) for p in patient))
    assert names_of(block, "parity") == ["0", "1", "2"]
    assert names_of(block, "bmi") == ["18 to 23", "23.5 to 28", "28.5 to 33", "33.5 to 37.5", NOT_RECORDED]
    sizes = [group["n_patients"] for group in block["columns"]["bmi"]["groups"]]
    assert sizes == [10, 10, 10, 9, 1]


def test_columns_that_cannot_be_grouped_are_named(make_predictions) -> None:
    predictions = make_predictions(patients=40, sets=("unseen",))
    patient = np.arange(160) // 4
    block = groups_of(
        predictions,
        site=("one",) * 160,
        operator=tuple(f"op {p % 25}" for p in patient),
        file=tuple(f"clip{p}.mp4" if p < 8 else "" for p in patient),
    )
    assert block["columns"] == {}
    assert block["skipped"] == {
        "site": "one value only",
        "operator": "25 different values, more than 20",
        "file": "no two patients share a value",
    }
    assert (block["n_groups"], block["n_flags"], block["expected_flags"]) == (0, 0, 0)
