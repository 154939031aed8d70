from __future__ import annotations

import json
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_cns.contract import Aggregation, ClassDefinition, Contract, Decision, ExamRule, InputSpec, IntendedUse
from edge_cns.decision.aggregation import RULES, aggregate
from edge_cns.decision.exam import Exam
from edge_cns.decision.statement import ExamStatement, Outcome
from edge_cns.errors import BadInputError

CLASSES = ("cele", "holo", "normal")
CELE, HOLO, NORMAL = range(3)
VIEWS = ("head", "spine")
SURE = {CELE: [0.9, 0.05, 0.05], HOLO: [0.05, 0.9, 0.05], NORMAL: [0.05, 0.05, 0.9], None: [0.4, 0.3, 0.3]}


def contract(exam: ExamRule | None, classes: tuple[str, ...] = CLASSES) -> Contract:
    decision = Decision() if exam is None else Decision(calibrated=True, model_sha256="0" * 64, exam=exam)
    named = tuple(ClassDefinition(name) for name in classes)
    return Contract(named, InputSpec(64, 64), IntendedUse("Research use only."), decision)


def rule(**changes: object) -> ExamRule:
    values = {
        "aggregation": Aggregation(),
        "thresholds": (0.4, 0.4, 0.6),
        "target_sensitivity": 0.95,
        "negative": "normal",
        "required_views": VIEWS,
    }
    return ExamRule(**(values | changes))  # type: ignore[arg-type]


def frame(exam: Exam, shows: int | None, view: str | None = "head", **changes: object) -> None:
    values = {"supported": True, "single": shows, "view": view, "seconds": None, "sequence": exam.statement().n_frames}
    exam.add(np.array(SURE[shows]), **(values | changes))  # type: ignore[arg-type]


def film(exam: Exam, shows: int | None, seconds: float, start: float, fps: int = 20, **changes: object) -> float:
    """Film something for a while; returns when it ended."""
    for i in range(round(seconds * fps)):
        frame(exam, shows, seconds=start + i / fps, **changes)
    return start + seconds


def said(*frames: tuple[int | None, str | None], exam: Exam | None = None) -> ExamStatement:
    """Stills: what each shows, and its view."""
    exam = Exam(contract(rule())) if exam is None else exam
    for shows, view in frames:
        frame(exam, shows, view)
    return exam.statement()


def test_a_finding_with_the_frames_behind_it():
    stated = said((CELE, "head"), (NORMAL, "spine"), (CELE, "head"))
    assert (stated.outcome, stated.label) == (Outcome.FINDING, "cele")
    assert stated.score == pytest.approx(0.617, abs=1e-3)
    assert stated.frames == (0, 2)
    assert (stated.n_frames, stated.n_supported) == (3, 3)
    assert stated.reason == "finding: cele"
    assert stated.answered


def test_a_finding_is_stated_even_if_views_are_missing():
    stated = said((CELE, "head"))
    assert stated.outcome is Outcome.FINDING
    assert (stated.views_seen, stated.views_missing) == (("head",), ("spine",))


def test_nothing_found_in_the_required_views():
    stated = said((NORMAL, "spine"), (NORMAL, "head"))
    assert (stated.outcome, stated.label, stated.score) == (Outcome.NO_LISTED_FINDING, None, None)
    assert stated.reason == "none of the listed findings in the views analysed: head, spine"
    assert stated.answered


def test_a_head_alone_cannot_exclude_an_open_spine():
    stated = said(*[(NORMAL, "head")] * 20)
    assert stated.outcome is Outcome.INDETERMINATE
    assert stated.reason == "these views are missing: spine"
    assert stated.views_missing == ("spine",)
    assert not stated.answered


def test_a_view_on_frames_that_are_not_supported_was_not_seen():
    exam = Exam(contract(rule(clear_abstention=0.5)))
    frame(exam, NORMAL, "head")
    frame(exam, NORMAL, "spine", supported=False)
    assert exam.statement().views_missing == ("spine",)
    assert (exam.statement().n_frames, exam.statement().n_supported) == (2, 1)


def test_no_supported_view():
    exam = Exam(contract(rule()))
    for _ in range(3):
        frame(exam, CELE, "head", supported=False)
    stated = exam.statement()
    assert (stated.outcome, stated.n_supported) == (Outcome.NOT_SUPPORTED_VIEW, 0)
    assert stated.reason == "no supported view on 3 frames"


def test_frames_of_no_supported_view_add_nothing_to_the_scores():
    exam = Exam(contract(rule()))
    frame(exam, NORMAL)
    before = exam.scores()
    frame(exam, CELE, supported=False)
    np.testing.assert_array_equal(exam.scores(), before)


def test_two_findings_of_which_none_is_ahead():
    stated = said((CELE, "head"), (HOLO, "head"))
    assert stated.outcome is Outcome.INDETERMINATE
    assert stated.reason == "evidence for cele and for holo: neither is ahead"
    ahead = said((CELE, "head"), (CELE, "head"), (CELE, "head"), (HOLO, "head"), exam=Exam(contract(low())))
    assert (ahead.outcome, ahead.label) == (Outcome.FINDING, "cele")


def low() -> ExamRule:
    return rule(thresholds=(0.2, 0.2, 0.6))


def test_another_finding_under_its_threshold_may_be_the_larger():
    exam = Exam(contract(rule(thresholds=(0.2, 0.9, 0.6))))
    stated = said((CELE, "head"), (HOLO, "head"), (HOLO, "head"), exam=exam)
    assert stated.outcome is Outcome.INDETERMINATE
    assert stated.reason == "evidence for holo and for cele: neither is ahead"


def test_a_low_threshold_does_not_outvote_the_other_frames():
    stated = said(*[(NORMAL, "head")] * 4, (CELE, "spine"), exam=Exam(contract(low())))
    assert stated.outcome is Outcome.INDETERMINATE
    assert stated.reason == "some evidence for cele, and more against every listed finding"


def test_a_finding_needs_a_frame_that_shows_it_by_itself():
    exam = Exam(contract(low()))
    frame(exam, None, "head")
    frame(exam, None, "spine")
    assert exam.statement().outcome is Outcome.INDETERMINATE
    one = Exam(contract(rule(thresholds=(0.35, 0.35, 0.6))))
    assert "only 0.0 of 1 frames show it by themselves" in said((None, "head"), exam=one).reason


def test_evidence_near_a_threshold_is_neither_found_nor_excluded():
    exam = Exam(contract(rule(thresholds=(0.4, 0.4, 0.3))))
    stated = said((CELE, "head"), *[(NORMAL, "spine")] * 2, exam=exam)
    assert stated.outcome is Outcome.INDETERMINATE
    assert stated.reason == "too much evidence to exclude cele, too little to state it"
    frame(exam, NORMAL)
    frame(exam, NORMAL)
    assert exam.statement().outcome is Outcome.NO_LISTED_FINDING


def test_frames_held_back_and_strange_frames_are_not_called_clear():
    frames = [(NORMAL, "head"), (NORMAL, "spine"), (NORMAL, "head"), (None, "head")]
    assert said(*frames, exam=Exam(contract(rule(clear_abstention=0.25)))).outcome is Outcome.NO_LISTED_FINDING
    held_back = said(*frames, exam=Exam(contract(rule(clear_abstention=0.2))))
    assert held_back.outcome is Outcome.INDETERMINATE
    assert held_back.reason == "25% of the frames were held back; up to 20% is usual"
    for novelty, outcome in (
        (0.9, Outcome.NO_LISTED_FINDING),
        (1.5, Outcome.INDETERMINATE),
        (None, Outcome.INDETERMINATE),
    ):
        exam = Exam(contract(rule(clear_novelty=1.0)))
        frame(exam, NORMAL, "head", novelty=novelty)
        frame(exam, NORMAL, "spine", novelty=1.0)
        frame(exam, NORMAL, "spine", supported=False, novelty=9.0)  # it is held back; its score is not averaged
        assert exam.statement().outcome is outcome, novelty


def test_one_frame_is_no_exam_without_a_finding():
    exam = Exam(contract(rule(required_views=())))
    frame(exam, NORMAL, None)
    assert exam.statement().reason == "only 1.0 of the 2 frames needed"
    frame(exam, NORMAL, None)
    assert exam.statement().reason == "none of the listed findings in the views analysed: they were not told apart"


def test_where_every_class_is_a_finding_nothing_is_ever_clear():
    planes = contract(rule(negative=None, required_views=(), thresholds=(0.6,) * 3), ("abdomen", "femur", "head"))
    exam = Exam(planes)
    frame(exam, 2)
    assert exam.statement().label == "head"
    frame(exam, 1)
    assert exam.statement().outcome is Outcome.INDETERMINATE
    assert exam.statement().reason == "no class reaches its threshold"


def test_classes_may_be_the_required_views():
    exam = Exam(contract(rule(required_views=("cele", "holo"))))
    frame(exam, CELE, None)
    assert exam.statement().views_seen == ("cele",)
    assert exam.statement().views_missing == ("holo",)


def test_without_calibration_nothing_is_said():
    exam = Exam(contract(None))
    frame(exam, CELE)
    stated = exam.statement()
    assert (stated.outcome, stated.reason, stated.n_frames) == (Outcome.INDETERMINATE, "uncalibrated", 1)
    assert exam.scores() is None


def test_before_the_first_frame_and_after_a_reset():
    exam = Exam(contract(rule()))
    blank = exam.statement()
    assert (blank.outcome, blank.reason) == (Outcome.INDETERMINATE, "no frame yet")
    film(exam, CELE, 3.0, 0.0)
    assert exam.statement().outcome is Outcome.FINDING
    exam.reset()
    assert exam.statement() == blank
    assert exam.scores() is None
    frame(exam, NORMAL)  # stills after a film: another exam
    assert exam.statement().n_frames == 1


def test_a_flash_of_a_finding_is_not_enough_in_a_film():
    exam = Exam(contract(rule(aggregation=Aggregation(frames=2), thresholds=(0.1, 0.4, 0.95))))
    now = film(exam, NORMAL, 2.0, 0.0)
    now = film(exam, CELE, 1.0, now)
    assert exam.statement().reason.startswith("some evidence for cele") or "only" in exam.statement().reason
    now = film(exam, CELE, 1.5, now)
    stated = exam.statement()
    assert (stated.outcome, stated.label) == (Outcome.FINDING, "cele")
    assert all(40 <= sequence < 90 for sequence in stated.frames)
    assert len(stated.frames) == 3  # one of each second


def test_a_single_supported_frame_among_others_is_a_flash():
    exam = Exam(contract(rule()))
    for i in range(200):  # every second one frame is taken for a finding, the others are no view at all
        frame(exam, CELE, supported=i % 20 == 10, seconds=i / 20)
    assert exam.scores()[CELE] > 0.8
    assert "only 0.5 of 2 frames" in exam.statement().reason


def test_a_glimpse_of_a_view_is_not_the_view():
    exam = Exam(contract(rule()))
    now = film(exam, NORMAL, 3.0, 0.0, view="head")
    now = film(exam, NORMAL, 0.3, now, view="spine")
    assert exam.statement().views_missing == ("spine",)
    film(exam, NORMAL, 0.4, now, view="spine")
    assert exam.statement().outcome is Outcome.NO_LISTED_FINDING
    one = Exam(contract(rule()))
    frame(one, NORMAL, "spine", seconds=0.0)
    film(one, NORMAL, 3.0, 0.05, view="head")
    assert one.statement().views_missing == ("spine",)


@pytest.mark.parametrize("name", RULES)
def test_scores_are_those_of_evaluation(name):
    rng = np.random.default_rng(3)
    aggregation = Aggregation(name, window_seconds=1.5)
    frames, seconds = rng.dirichlet(np.ones(3), 80), np.cumsum(rng.exponential(0.2, 80))
    exam = Exam(contract(rule(aggregation=aggregation)))
    for i in range(80):
        exam.add(frames[i], supported=i % 3 > 0, single=None, view=None, seconds=float(seconds[i]), sequence=i)
    kept = np.arange(80) % 3 > 0
    expected = aggregate(frames[kept], aggregation, negative=NORMAL, seconds=seconds[kept])
    np.testing.assert_allclose(exam.scores(), expected, atol=1e-9)


SHOWN = st.tuples(st.sampled_from([CELE, HOLO, NORMAL, None]), st.sampled_from([*VIEWS, None]), st.booleans())


@settings(deadline=None)
@given(st.lists(SHOWN, max_size=12), st.sampled_from(RULES), st.booleans(), st.floats(0, 1))
def test_no_statement_says_that_a_fetus_is_normal(frames, name, timed, threshold):
    thresholds = (threshold, threshold / 2, threshold)
    exam = Exam(contract(rule(aggregation=Aggregation(name), thresholds=thresholds)))
    for i, (shows, view, supported) in enumerate(frames):
        frame(exam, shows, view, supported=supported, seconds=i * 0.7 if timed else None)
        stated = exam.statement()
        value = stated.to_json()
        assert "normal" not in json.dumps(value).casefold()
        assert json.loads(json.dumps(value)) == value
        assert (stated.label is not None) == (stated.score is not None) == (stated.outcome is Outcome.FINDING)
        if stated.outcome is Outcome.FINDING:
            assert stated.frames
            assert set(stated.frames) <= set(range(i + 1))
        if stated.outcome is Outcome.NO_LISTED_FINDING:
            assert stated.views_missing == ()
        if not any(seen for _, _, seen in frames[: i + 1]):
            assert stated.outcome is Outcome.NOT_SUPPORTED_VIEW
        assert "\n" not in stated.reason


def test_a_class_called_normal_must_be_the_negative_one():
    with pytest.raises(BadInputError, match="calibrate again with --negative normal"):
        contract(rule(negative=None))
    with pytest.raises(BadInputError, match="no statement may call a fetus that"):
        contract(rule(negative="cele"))


def test_an_hour_of_frames_takes_no_more_memory_than_a_minute():
    exam = Exam(contract(rule(aggregation=Aggregation("sustained_evidence"))))
    rng = np.random.default_rng(0)

    def minute(start: int) -> int:
        for i in range(600):
            shows = int(rng.integers(3))
            exam.add(
                rng.dirichlet(np.ones(3)),
                supported=True,
                single=shows,
                view=VIEWS[i % 2],
                seconds=start + i / 10,
                sequence=start * 10 + i,
            )
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        minute(0)
        first = minute(60)
        later = [minute(60 * m) for m in range(2, 4)]
    finally:
        tracemalloc.stop()
    assert max(later) < first + 20_000
    exam.statement()


def test_the_strongest_frames_are_named_and_spread_over_time():
    exam = Exam(contract(rule(thresholds=(0.3, 0.3, 0.9))))
    for i in range(40 * 20):
        p = 0.8 + (0.1 if i % 20 == 7 else 0.0) - 0.001 * (i // 20)
        exam.add(np.array([p, 1 - p, 0]), supported=True, single=CELE, view=None, seconds=i / 20, sequence=i)
    stated = exam.statement()
    assert len(stated.frames) == 16
    assert list(stated.frames) == sorted(stated.frames)
    assert sum(sequence % 20 == 7 for sequence in stated.frames) >= 15


@pytest.mark.parametrize(
    ("values", "message"),
    [([0.5, 0.5], "give 3 that sum to 1"), ([0.5, 0.5, 0.5], "sum 1.5"), ([np.nan, 0.5, 0.5], "sum nan")],
)
def test_probabilities_that_are_none(values, message):
    exam = Exam(contract(rule()))
    with pytest.raises(BadInputError, match=message):
        exam.add(np.array(values), supported=True, single=None, view=None, seconds=None, sequence=4)
    assert exam.statement().n_frames == 0


def test_json_has_lists_and_the_word_of_the_outcome():
    value = replace(said((CELE, "head")), frames=(1, 2)).to_json()
    assert value == {
        "outcome": "finding",
        "label": "cele",
        "score": 0.9,
        "reason": "finding: cele",
        "views_seen": ["head"],
        "views_missing": ["spine"],
        "frames": [1, 2],
        "n_frames": 1,
        "n_supported": 1,
    }
