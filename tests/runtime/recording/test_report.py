from __future__ import annotations

import numpy as np
import pytest

from edge_cns.runtime.recording.report import Report, differing_fields

ENGINE = {"name": "litert", "version": "1"}
BUNDLE = {"model_sha256": "m", "contract_sha256": "c"}
OUTPUTS = {"logits": np.zeros(3, np.int8), "cam": np.zeros((2, 2, 3), np.int8), "embedding": np.zeros(4, np.int8)}


def make(engine=ENGINE, bundle=BUNDLE):
    return Report({**BUNDLE, "engine": ENGINE}, {**bundle, "engine": engine}, {"logits": 2, "cam": 2, "embedding": 2})


def off_by(steps, name="logits"):
    return OUTPUTS | {name: OUTPUTS[name] + np.int8(steps)}


OTHER = ENGINE | {"version": "2"}


@pytest.mark.parametrize(
    ("engine", "steps", "result"),
    [
        (ENGINE, 0, "identical"),
        (ENGINE, 1, "different"),
        (OTHER, 0, "identical"),
        (OTHER, 2, "within tolerance of another engine"),
        (OTHER, -2, "within tolerance of another engine"),
        (OTHER, 3, "different"),
    ],
)
def test_how_far_outputs_may_differ(engine, steps, result):
    report = make(engine)
    same = report.outputs("here", OUTPUTS, off_by(steps), not report.same_engine)
    assert (report.result, same) == (result, steps == 0)
    assert report.largest_steps["logits"] == abs(steps)


def test_the_whole_range_of_int8_is_256_steps_less_one():
    report = make(OTHER)
    low, high = (OUTPUTS | {"cam": np.full((2, 2, 3), value, np.int8)} for value in (-128, 127))
    report.outputs("here", low, high, True)
    assert report.largest_steps["cam"] == 255


def test_outputs_of_another_shape_differ():
    report = make(OTHER)
    report.outputs("here", OUTPUTS, OUTPUTS | {"logits": np.zeros(4, np.int8)}, True)
    assert report.result == "different"


def test_another_bundle_is_never_within_tolerance():
    report = make(OTHER, BUNDLE | {"contract_sha256": "another"})
    report.outputs("here", OUTPUTS, off_by(1), True)
    assert report.result == "different"


def test_a_verdict_may_only_differ_if_its_outputs_did_or_in_the_last_bits_elsewhere():
    then, now = {"label": "normal", "probability": 0.5}, {"label": "normal", "probability": 0.5 + 1e-12}
    for engine, explained, verdict, result in (
        (ENGINE, False, now, "different"),
        (OTHER, False, now, "within tolerance of another engine"),
        (OTHER, False, {"label": "other", "probability": 0.5}, "different"),
        (OTHER, True, {"label": "other", "probability": 0.5}, "within tolerance of another engine"),
    ):
        report = make(engine)
        report.verdict("here", then, verdict, explained=explained)
        assert report.result == result


def test_records_are_compared_one_by_one():
    report = make()
    recorded = [["event", {"a": 1}], ["verdict", {"label": "x", "age_ms": 1.0}]]
    report.said("here", recorded, [["event", {"a": 1}], ["verdict", {"label": "y", "age_ms": 1.0}]], explained=False)
    assert (report.records, report.records_differing) == (2, 1)
    assert report.places[0]["how"] == ["verdict: label"]
    report.said("here", recorded, recorded[:1], explained=False)
    assert report.records_differing == 2
    assert report.places[1]["how"] == ["2 were recorded, 1 follow here"]


def test_what_is_wrong_comes_before_what_is_expected():
    report = make(OTHER)
    for _ in range(30):
        report.outputs("expected", OUTPUTS, off_by(1), True)
    report.outputs("wrong", OUTPUTS, off_by(90), True)
    assert report.places[0]["where"] == "wrong"
    assert len(report.places) == 10


@pytest.mark.parametrize(
    ("then", "now", "fields"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1}, {"a": 1.0}, ["a"]),
        ({"a": 1}, {"a": True}, ["a"]),
        ({"a": 1}, {}, ["a"]),
        ({"a": None}, {"b": 2}, ["b"]),
        ({"a": {"x": [1, 2]}}, {"a": {"x": [1, 3]}}, ["a"]),
    ],
)
def test_fields_differ_by_type_and_value(then, now, fields):
    assert differing_fields(then, now) == fields
