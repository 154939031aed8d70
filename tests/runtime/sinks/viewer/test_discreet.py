from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_cns.contract import (
    Aggregation,
    ClassDefinition,
    Contract,
    Decision,
    ExamRule,
    InputSpec,
    IntendedUse,
)
from edge_cns.runtime.sinks.viewer.discreet import Discretion, source_name


def contract(*names: str, negative: str | None = None, planes: tuple[str, ...] = ()) -> Contract:
    rule = ExamRule(Aggregation(), (0.5,) * len(names), 0.95, negative=negative)
    decision = Decision(calibrated=True, model_sha256="0" * 64, exam=rule)
    classes = tuple(ClassDefinition(name) for name in sorted(names))
    return Contract(classes, InputSpec(64, 64), IntendedUse("tests", planes=planes), decision)


LESIONS = Discretion(contract("open_spine", "none", "CH", negative="none"))


def test_what_calls_for_a_review():
    assert LESIONS.review("open_spine") is True
    assert LESIONS.review("none") is False
    assert LESIONS.review(None) is None
    assert LESIONS.negative("none")
    assert not LESIONS.negative("open_spine")


def test_without_calibration_normal_is_still_no_finding():
    bare = Contract((ClassDefinition("Normal"), ClassDefinition("cyst")), InputSpec(64, 64), IntendedUse("tests"))
    assert Discretion(bare).review("Normal") is False
    assert Discretion(bare).review("cyst") is True


def test_planes_are_no_findings_but_their_names_stay_back():
    planes = Discretion(contract("transthalamic", "other plane", planes=("transthalamic",)))
    assert planes.review("transthalamic") is False
    assert planes.view("transthalamic") == "view 2"
    assert planes.view("left transthalamic view") == "a view"
    assert planes.view("coronal") == "coronal"


@pytest.mark.parametrize(
    "text",
    ["open_spine", "finding: Open Spine", "clip open-spine%20.mp4", "OPENSPINE", "could be ch or none at 90%", "(CH)"],
)
def test_a_class_however_it_is_written(text):
    assert LESIONS.names_a_class(text)
    assert LESIONS.quiet(text) == ""


@pytest.mark.parametrize("text", ["", "no frames for 512 ms", "much is changed", "these views are missing: spine"])
def test_a_text_that_names_no_class(text):
    assert LESIONS.quiet(text) == text


@given(st.text(max_size=30), st.text(max_size=30), st.sampled_from(["open_spine", "open spine", "Open-Spine"]))
def test_a_name_among_anything(before, after, name):
    assert LESIONS.names_a_class(f"{before} {name} {after}")


@given(st.text(max_size=200))
def test_any_text_can_be_read(text):
    LESIONS.names_a_class(text)
    source_name(text)


def test_a_class_of_signs_alone():
    odd = Discretion(contract("++", "--"))
    assert odd.names_a_class("leads to ++")
    assert not odd.names_a_class("nothing")


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("file:///*.mp4", "file *.mp4"),
        ("file:///*", "file *"),
        ("v4l2:///dev/video0?fps=30", "v4l2 video0"),
        ("rtsp://camera:554/live", "rtsp camera:554"),
        ("gst://", "gst"),
        ("synthetic://phantom?class=anencephaly", "synthetic phantom"),
    ],
)
def test_a_source_in_few_words(uri, name):
    assert source_name(uri) == name
