from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from edge_cns.contract import Aggregation, ClassDefinition, Contract, Decision, ExamRule, InputSpec, IntendedUse
from edge_cns.decision.statement import Outcome
from edge_cns.decision.verdict import State, Verdict
from edge_cns.errors import BadInputError
from edge_cns.evaluation.exams import ExamFrames, exam_figures, exam_statements, frames_of_verdicts
from edge_cns.evaluation.intervals import wilson

CLASSES = ("cele", "holo", "normal")
CELE, HOLO, NORMAL = range(3)
SURE = {CELE: [0.9, 0.05, 0.05], HOLO: [0.05, 0.9, 0.05], NORMAL: [0.05, 0.05, 0.9], None: [0.4, 0.3, 0.3]}
RULE = ExamRule(Aggregation(), (0.4, 0.4, 0.6), 0.95, "normal", ("head", "spine"))


def contract(exam: ExamRule | None = RULE) -> Contract:
    decision = Decision() if exam is None else Decision(calibrated=True, model_sha256="0" * 64, exam=exam)
    return Contract(tuple(map(ClassDefinition, CLASSES)), InputSpec(64, 64), IntendedUse("Tests."), decision)


def exams(*shown: str) -> ExamFrames:
    """An exam a text, a letter a frame: c, h, n show a class on the head, s a normal spine, ? nothing, x no view."""
    letters = "".join(shown)
    classes = {"c": CELE, "h": HOLO, "n": NORMAL, "s": NORMAL}
    single = [classes.get(letter) for letter in letters]
    return ExamFrames(
        probabilities=np.array([SURE[c] for c in single]),
        supported=np.array([letter != "x" for letter in letters]),
        single=single,
        views=["spine" if letter == "s" else "head" for letter in letters],
        novelty=[None] * len(letters),
        exam=np.repeat(np.arange(len(shown)), [len(text) for text in shown]),
    )


SHOWN = ("cc", "ch", "ccs", "nsn", "nns", "nn", "xx", "nns", "hh", "hh?")
TRUTHS = ("cele", "cele", "holo", "normal", "holo", "normal", "normal", "cystic", "cystic", "normal")


def test_statements_of_exams():
    statements, scores = exam_statements(contract(), exams(*SHOWN))
    outcomes = [statement.outcome.value for statement in statements]
    clear, unsure = "no_listed_finding", "indeterminate"
    assert outcomes == [
        *("finding", unsure, "finding", clear, clear),
        *(unsure, "not_supported_view", clear, "finding", "finding"),
    ]
    assert statements[2].frames == (4, 5), "row numbers"
    np.testing.assert_allclose(scores.sum(axis=1), 1)
    np.testing.assert_allclose(scores[6], 1 / 3)
    np.testing.assert_allclose(scores[0], SURE[CELE])


def test_figures_by_hand():
    patients = [f"p{m}" for m in range(len(SHOWN))]
    figures = exam_figures(contract(), exams(*SHOWN), TRUTHS, patients, resamples=200)
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures
    counts = {key: (figures[key]["value"], figures[key]["n"]) for key in figures if key not in HEADS}
    assert counts == {
        "answered": (5 / 8, 8),
        "error": (3 / 5, 5),  # cele for holo, holo missed, holo for normal
        "found": (1 / 4, 4),
        "missed": (1 / 4, 4),
        "false_finding": (1 / 4, 4),
        "cleared": (1 / 4, 4),
        "unlisted_clear": (1 / 2, 2),
        "unlisted_found": (1 / 2, 2),
    }
    assert figures["answered"]["wilson"] == pytest.approx(wilson(5, 8))
    assert figures["answered"]["interval"] is not None
    assert figures["outcomes"] == {
        "cele": {"right_finding": 1, "indeterminate": 1},
        "cystic": {"no_listed_finding": 1, "wrong_finding": 1},
        "holo": {"wrong_finding": 1, "no_listed_finding": 1},
        "normal": {"no_listed_finding": 1, "indeterminate": 1, "not_supported_view": 1, "wrong_finding": 1},
    }
    assert (figures["n"], figures["n_patients"], figures["rule"]) == (10, 10, "mean_softmax")
    assert figures["views_missing"] == {"spine": 6, "head": 1}
    curve = figures["selective"]["curve"]
    assert curve[-1]["coverage"] == 1
    assert curve[-1]["n"] == 8, "exams of listed classes only"


HEADS = ("n", "n_patients", "unit", "rule", "negative", "required_views", "outcomes", "views_missing", "selective")


def test_every_class_a_finding_as_with_planes():
    planes = replace(RULE, negative=None, required_views=())
    made = replace(contract(None), classes=tuple(map(ClassDefinition, ("abdomen", "femur", "head"))))
    decision = Decision(calibrated=True, model_sha256="0" * 64, exam=planes)
    figures = exam_figures(
        replace(made, decision=decision), exams("cc", "ch", "s"), ("abdomen", "femur", "head"), list("abb")
    )
    assert (figures["answered"]["n"], figures["n_patients"]) == (3, 2)
    assert figures["error"]["value"] == 0
    assert figures["found"]["value"] == pytest.approx(2 / 3)
    assert figures["cleared"]["value"] is None
    assert figures["missed"]["value"] is None, "nothing can be excluded, so nothing is missed"
    assert figures["unlisted_clear"] == {"value": None, "n": 0, "interval": None, "wilson": None}


def test_only_unlisted_exams_have_no_curve():
    figures = exam_figures(contract(), exams("nns"), ["cystic"], ["a"])
    assert figures["selective"] is None
    assert figures["unlisted_clear"]["value"] == 1


def test_frames_are_taken_in_order_of_time():
    seconds = np.array([9.0, 8.0, 0.0, 0.5, 1.0, 1.5, 2.0, 2.5])
    shown = replace(exams("nncccccc"), seconds=seconds)
    statements, _ = exam_statements(contract(), shown)
    assert statements[0].outcome is Outcome.FINDING
    assert statements[0].frames == (2, 4, 6), "the first of each second"


def verdict(state: State, label: str | None, view: str | None = None) -> Verdict:
    return Verdict(
        state=state,
        label=label,
        probability=None,
        probabilities=dict(zip(CLASSES, SURE[CELE], strict=True)),
        reason="",
        sequence=0,
        captured_ns=0,
        emitted_ns=0,
        expires_ns=0,
        latency_ms=0.0,
        heatmap=None,
        calibrated=True,
        proof="passed",
        novelty=1.5,
        view=view,
    )


def test_verdicts_as_frames():
    states = [(State.CLASS, "cele"), (State.INDETERMINATE, None), (State.NOT_SUPPORTED_VIEW, None)]
    frames = frames_of_verdicts([verdict(*state, "head") for state in states], CLASSES, np.array([0, 0, 1]))
    assert frames.supported.tolist() == [True, True, False]
    assert frames.single == [CELE, None, None]
    assert frames.views == ["head"] * 3
    assert frames.novelty == [1.5] * 3
    np.testing.assert_array_equal(frames.probabilities, [SURE[CELE]] * 3)
    assert len(frames) == 2
    statements, _ = exam_statements(contract(), frames)
    assert [s.outcome for s in statements] == [Outcome.FINDING, Outcome.NOT_SUPPORTED_VIEW]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"exam": np.array([0, 2])}, "has no frame"),
        ({"exam": np.array([0])}, "other lengths"),
        ({"seconds": np.array([0.0])}, "for 2 frames"),
    ],
)
def test_frames_that_do_not_fit(change, message):
    with pytest.raises(BadInputError, match=message):
        replace(exams("cc"), **change)


def test_bad_input_is_one_line():
    with pytest.raises(BadInputError, match="use edge-cns calibrate"):
        exam_figures(contract(None), exams("cc"), ["cele"], ["a"])
    with pytest.raises(BadInputError, match="2 truths and 1 patients for 1 exams"):
        exam_figures(contract(), exams("cc"), ["cele", "holo"], ["a"])
