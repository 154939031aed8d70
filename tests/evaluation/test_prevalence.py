from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_cns.errors import BadInputError
from edge_cns.evaluation.prevalence import at_prevalence, negative_predictive_value, positive_predictive_value
from edge_cns.evaluation.rows import Rows, make_rows

CLASSES = ("cyst", "normal", "spina")


def cases(counts: dict[tuple[int, int], int]) -> tuple[Rows, np.ndarray]:
    """One patient a case: how many of each (true class, class said)."""
    pairs = [pair for pair, count in counts.items() for _ in range(count)]
    truth, said = (np.array(values) for values in zip(*pairs, strict=True))
    rows = make_rows(truth, [str(i) for i in range(len(pairs))], CLASSES, seed=0, resamples=200)
    return rows, said[:, None] == np.arange(3)


@pytest.mark.parametrize(
    ("sensitivity", "specificity", "prevalence", "ppv", "npv"),
    [
        (231 / 258, 54 / 86, 0.75, 0.88, 0.67),  # Altman & Bland 1994, BMJ 309:102: liver scans
        (231 / 258, 54 / 86, 0.25, 0.45, 0.95),  # the same, where fewer are ill
        (0.792, 1 - 0.096, 0.01, 0.077, 0.998),  # Eddy 1982: mammography
    ],
)
def test_published_worked_examples(
    sensitivity: float, specificity: float, prevalence: float, ppv: float, npv: float
) -> None:
    assert positive_predictive_value(sensitivity, specificity, prevalence) == pytest.approx(ppv, abs=0.005)
    assert negative_predictive_value(sensitivity, specificity, prevalence) == pytest.approx(npv, abs=0.005)


@given(*[st.floats(0.001, 0.999)] * 4)
def test_predictive_values_are_those_of_a_table_and_rise_with_each_rate(
    se: float, sp: float, p: float, q: float
) -> None:
    people = 1e6
    true, false = people * p * se, people * (1 - p) * (1 - sp)
    assert positive_predictive_value(se, sp, p) == pytest.approx(true / (true + false))
    clear, missed = people * (1 - p) * sp, people * p * (1 - se)
    assert negative_predictive_value(se, sp, p) == pytest.approx(clear / (clear + missed))
    lower, upper = sorted((p, q))
    assert positive_predictive_value(se, sp, lower) <= positive_predictive_value(se, sp, upper) + 1e-12
    assert negative_predictive_value(se, sp, upper) <= negative_predictive_value(se, sp, lower) + 1e-12


def test_a_good_test_raises_mostly_false_alarms_where_the_finding_is_rare() -> None:
    rows, called = cases({(0, 0): 95, (0, 1): 5, (1, 1): 190, (1, 0): 10, (2, 2): 50})
    figures = at_prevalence(rows, called, negative="normal", prevalence=0.001)
    cyst = figures["per_class"]["cyst"]
    assert cyst["sensitivity"]["value"] == cyst["specificity"]["value"] == 0.95
    assert cyst["ppv"]["value"] == pytest.approx(0.00095 / (0.00095 + 0.04995))
    assert cyst["false_alarms_per_exam"]["value"] == pytest.approx(0.04995)
    assert cyst["false_alarms_per_finding"]["value"] == pytest.approx(0.04995 / 0.00095)
    for key in ("ppv", "npv", "false_alarms_per_exam", "false_alarms_per_finding"):
        low, high = cyst[key]["interval"]
        assert low < cyst[key]["value"] < high
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures


def test_false_alarms_are_counted_over_the_negative_class() -> None:
    confused = {(0, 0): 10, (2, 0): 20, (1, 1): 40}  # every spina is called cyst, no normal is
    rows, called = cases(confused)
    with_negative = at_prevalence(rows, called, negative="normal", prevalence=0.01)
    assert with_negative["specificity_over"] == "cases of normal"
    assert list(with_negative["per_class"]) == ["cyst", "spina"]
    assert with_negative["per_class"]["cyst"]["specificity"]["value"] == 1
    assert with_negative["per_class"]["spina"]["sensitivity"]["value"] == 0
    anything = with_negative["any_finding"]
    assert (anything["sensitivity"]["value"], anything["sensitivity"]["n"]) == (1.0, 30)
    without = at_prevalence(rows, called, negative=None, prevalence=0.01)
    assert without["per_class"]["cyst"]["specificity"]["value"] == pytest.approx(40 / 60)
    assert "any_finding" not in without
    assert list(without["per_class"]) == list(CLASSES)


def test_no_false_alarm_among_few_does_not_promise_none() -> None:
    rows, called = cases({(0, 0): 20, (1, 1): 30, (2, 2): 20})
    cyst = at_prevalence(rows, called, negative="normal", prevalence=0.001)["per_class"]["cyst"]
    assert cyst["ppv"]["value"] == 1
    assert cyst["ppv"]["interval"][0] < 0.01
    assert cyst["false_alarms_per_exam"]["value"] == 0
    assert cyst["false_alarms_per_exam"]["interval"][1] == pytest.approx((1 - 0.025 ** (1 / 30)) * 0.999)


def test_what_is_not_defined_is_none() -> None:
    rows, called = cases({(0, 1): 9, (1, 1): 9})  # nothing is ever called, and nobody has spina
    figures = at_prevalence(rows, called, negative="normal", prevalence=0.001)["per_class"]
    assert figures["cyst"]["ppv"]["value"] is None
    assert figures["cyst"]["false_alarms_per_finding"] == {"value": None, "interval": None}
    assert figures["spina"]["sensitivity"]["value"] is None
    assert figures["spina"]["ppv"] == {"value": None, "interval": None}


@pytest.mark.parametrize("prevalence", [0.0, 1.0, -0.1, 1.5, float("nan")])
def test_a_prevalence_that_is_none_is_refused(prevalence: float) -> None:
    rows, called = cases({(0, 0): 2, (1, 1): 2})
    with pytest.raises(BadInputError, match="give a share between 0 and 1"):
        at_prevalence(rows, called, negative=None, prevalence=prevalence)
