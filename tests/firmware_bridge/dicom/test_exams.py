"""Records become an exam's result: what counts is what was accepted."""

from __future__ import annotations

import numpy as np
import pytest

from edge_cns.frames import Frame
from edge_cns.runtime.sinks.base import Record
from firmware_bridge.dicom.exams import ExamGatherer
from tests.firmware_bridge.dicom.material import CLASSES, event, exam, summary, verdict


@pytest.fixture
def gather():
    gatherer = ExamGatherer(CLASSES)

    def call(*records):
        return [result for record in records if (result := gatherer.take(record)) is not None]

    return call


def begin(name):
    return event("exam_reset", exam=name)


def test_an_exam_ends_with_the_next_one_and_with_the_session(gather):
    assert gather(begin("a"), exam("a"), exam("a", label=None)) == []
    (first,) = gather(begin("b"))
    assert (first.exam, first.accepted, first.finding) == ("a", None, None)
    (second,) = gather(exam("b"), summary())
    assert (second.exam, second.finding) == ("b", "anencephaly")
    assert gather(summary()) == []


def test_an_exam_of_which_nothing_was_said_has_no_result(gather):
    assert gather(begin("a"), begin("b"), exam("b", n=0), begin("c"), exam("x"), summary()) == []


def test_a_judgement_is_of_what_is_stated_then(gather):
    (judged,) = gather(begin("a"), exam("a"), event("finding_accepted", label="anencephaly"))
    assert (judged.over, judged.accepted, judged.finding) == (False, True, "anencephaly")
    (over,) = gather(exam("a", label=None), begin(""))
    assert (over.over, over.accepted, over.finding) == (True, True, None)


def test_the_last_judgement_counts(gather):
    judged = (event("finding_accepted"), event("finding_rejected"))
    assert [one.accepted for one in gather(begin("a"), exam("a"), *judged, begin(""))] == [True, False, False]
    assert [one.accepted for one in gather(begin("a"), exam("a"), *judged[::-1], begin(""))] == [False, True, True]


def test_a_judgement_is_of_its_own_exam_alone(gather):
    gather(begin("a"), exam("a"), event("finding_accepted"))
    (_, second) = gather(begin("b"), exam("b"), summary())
    assert second.accepted is None


def test_starting_anew_forgets_the_frames_and_the_judgement(gather):
    assert len(gather(begin("a"), exam("a"), verdict(1), event("finding_accepted"), begin("a"))) == 1
    assert gather(summary()) == []
    gather(begin("a"), exam("a"), verdict(2), begin("a"), verdict(3, "normal"), exam("a", label=None))
    (result,) = gather(summary())
    assert (result.accepted, result.finding, result.n_means) == (None, None, 1)


def test_means_are_of_supported_frames_each_once(gather):
    frames = [verdict(0, share=0.6), verdict(1, share=0.8), verdict(1, share=0.8)]
    frames += [verdict(2, state="not_supported_view"), verdict(3, state="frozen", share=0.1)]
    (result,) = gather(begin("a"), *frames, exam("a"), summary())
    assert result.n_means == 2
    assert result.means["anencephaly"] == pytest.approx(0.7)
    assert sum(result.means.values()) == pytest.approx(1)


def test_the_best_frame_of_the_stated_class_is_kept_where_it_is_wanted():
    gatherer = ExamGatherer(CLASSES, pictures=True)
    gatherer.take(begin("a"))
    frame = Frame(np.zeros((64, 64), np.uint8))
    for sequence, share in enumerate((0.5, 0.9, 0.7)):
        plain = verdict(sequence, share=share)
        shown = type("Shown", (), {"probability": share, "sequence": sequence})()
        gatherer.take(Record(plain.type, plain.value, shown, frame))
    gatherer.take(exam("a"))
    assert gatherer.take(summary()).picture.verdict.sequence == 1
