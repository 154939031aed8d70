from __future__ import annotations

import numpy as np
import pytest

from edge_cns.contract import ClassDefinition, Contract, Decision, InputSpec, IntendedUse
from edge_cns.decision.aggregation import RULES
from edge_cns.decision.exam import Exam
from edge_cns.decision.exam_rule import fit_clear_limit, fit_exam_rule
from edge_cns.decision.statement import Outcome
from edge_cns.errors import BadInputError

CLASSES = ("cele", "normal")
CELE, NORMAL = range(2)


def drawn(rng: np.random.Generator, exams: int) -> tuple[np.ndarray, ...]:
    """Exams of six frames; a lesion is seen on two of them. Some frames are no view, and say anything."""
    labels = np.arange(exams) % 2
    exam = np.repeat(np.arange(exams), 6)
    shows = (labels[exam] == CELE) & (np.tile(np.arange(6), exams) < 2)
    logits = rng.normal(np.where(shows, 2.5, -2.5), 1.0)
    supported = rng.random(len(exam)) > 0.15
    cele = np.where(supported, 1 / (1 + np.exp(-logits)), rng.random(len(exam)))
    novelty = np.where(supported, rng.normal(1, 0.2, len(exam)), 4.0)
    return np.stack([cele, 1 - cele], 1), exam, labels, supported, novelty


def fit(rng: np.random.Generator, exams: int, **changes: object):
    probabilities, exam, labels, supported, novelty = drawn(rng, exams)
    values = {
        "supported": supported,
        "single": probabilities.max(axis=1) > 0.8,
        "novelty": novelty,
        "target_sensitivity": 0.9,
        "negative": "normal",
    }
    return fit_exam_rule(probabilities, exam, labels, CLASSES, **(values | changes))  # type: ignore[arg-type]


def test_the_rule_does_on_new_exams_what_was_asked_of_it():
    rng = np.random.default_rng(0)
    rule, accuracies = fit(rng, 200)
    assert set(accuracies) == set(RULES)
    assert rule.aggregation.rule == max(RULES, key=lambda name: accuracies[name])
    assert rule.clear_novelty == pytest.approx(1.07, abs=0.05)
    assert 0.1 < rule.clear_abstention < 0.6
    decision = Decision(calibrated=True, model_sha256="0" * 64, exam=rule)
    contract = Contract(tuple(map(ClassDefinition, CLASSES)), InputSpec(64, 64), IntendedUse("Tests."), decision)
    probabilities, exam, labels, supported, novelty = drawn(rng, 400)
    reached, outcomes = [], []
    for m in range(400):
        made = Exam(contract)
        for i in np.flatnonzero(exam == m):
            best = int(probabilities[i].argmax()) if probabilities[i].max() > 0.8 else None
            made.add(
                probabilities[i],
                supported=bool(supported[i]),
                single=best,
                view=None,
                seconds=None,
                sequence=int(i),
                novelty=float(novelty[i]),
            )
        scores = made.scores()
        assert scores is not None
        reached.append(scores[labels[m]] >= rule.thresholds[labels[m]])
        outcomes.append(made.statement().outcome)
    right = np.array(reached)
    for c in (CELE, NORMAL):
        assert right[labels == c].mean() == pytest.approx(0.9, abs=0.06)
    clear = np.array([outcome is Outcome.NO_LISTED_FINDING for outcome in outcomes])
    assert clear[labels == NORMAL].mean() > 0.2
    assert clear[labels == CELE].mean() < 0.05


def test_frames_of_no_supported_view_teach_nothing():
    probabilities = np.array([[0.9, 0.1], [0.1, 0.9], [0.2, 0.8], [0.99, 0.01]])
    rule, _ = fit_exam_rule(
        probabilities,
        np.array([0, 0, 1, 1]),
        np.array([CELE, NORMAL]),
        CLASSES,
        supported=np.array([True, False, True, False]),
        single=np.array([True, True, False, True]),
        novelty=np.array([1.0, 9.0, 2.0, 9.0]),
        target_sensitivity=0.95,
        negative="normal",
        required_views=("head",),
    )
    assert rule.thresholds == (0.9, 0.8)
    assert (rule.clear_abstention, rule.clear_novelty) == (1.0, 2.0)
    assert rule.required_views == ("head",)


def test_an_exam_without_a_supported_frame_still_counts():
    probabilities = np.array([[0.9, 0.1], [0.3, 0.7], [0.2, 0.8]])
    arrays = {"supported": np.array([True, False, True]), "single": np.ones(3, bool), "novelty": None}
    rule, _ = fit_exam_rule(
        probabilities, np.arange(3), np.array([CELE, CELE, NORMAL]), CLASSES,
        **arrays, target_sensitivity=0.95, negative="normal",
    )  # fmt: skip
    assert rule.thresholds[CELE] == 0.3
    assert rule.clear_novelty is None
    planes, _ = fit_exam_rule(
        probabilities, np.arange(3), np.array([CELE, CELE, NORMAL]), ("femur", "head"),
        **arrays, target_sensitivity=0.95, negative=None,
    )  # fmt: skip
    assert (planes.negative, planes.clear_abstention) == (None, 1.0)


def test_the_usual_value_is_that_of_four_in_five():
    assert fit_clear_limit(np.array([0.5, 0.1, 0.2, 0.3, 0.4])) == 0.4
    assert fit_clear_limit(np.array([0.2, 0.7])) == 0.7
    assert fit_clear_limit(np.array([0.2, 0.7, 0.1]), answered=0.5) == 0.2
    with pytest.raises(BadInputError, match="no calibration case without a finding"):
        fit_clear_limit(np.array([]))
