from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_cns.contract import Aggregation
from edge_cns.errors import BadInputError
from edge_cns.evaluation.predictions import CaseDecisions, Predictions


def small(**changes) -> Predictions:
    whole = Predictions(
        classes=("a", "b"),
        paths=("1.png", "2.png", "3.png", "4.png"),
        labels=np.array([0, 0, 1, 1]),
        probabilities=np.array([[0.6, 0.4], [0.1, 0.9], [0.2, 0.8], [0.7, 0.3]]),
        patient_ids=("p", "p", "p", "q"),
        sets=("unseen", "unseen", "unseen", "fit"),
        subgroups={"site": ("x", "x", "y", "z")},
    )
    return replace(whole, **changes)


def test_a_patient_with_two_labels_is_two_cases() -> None:
    cases = small().cases()
    assert cases.patient_ids == ("p", "p", "q")
    assert cases.labels.tolist() == [0, 1, 1]
    assert cases.n_frames.tolist() == [2, 1, 1]
    assert cases.index.tolist() == [0, 0, 1, 2]
    np.testing.assert_allclose(small().case_scores(Aggregation()), [[0.35, 0.65], [0.2, 0.8], [0.7, 0.3]])


def test_majority_vote_breaks_ties_by_mean_softmax_and_can_differ_from_it() -> None:
    vote = Aggregation(rule="majority_vote")
    assert small().case_scores(vote).argmax(axis=1).tolist() == [1, 1, 0]
    narrow = small(
        labels=np.zeros(4, dtype=np.int64),
        patient_ids=("p",) * 4,
        sets=("unseen",) * 4,
        probabilities=np.array([[0.51, 0.49], [0.51, 0.49], [0.51, 0.49], [0.0, 1.0]]),
    )
    assert narrow.case_scores(vote).argmax(axis=1).tolist() == [0]
    assert narrow.case_scores(Aggregation()).argmax(axis=1).tolist() == [1]


def test_sustained_evidence_looks_at_times_and_at_the_negative_class() -> None:
    rule = Aggregation(rule="sustained_evidence", frames=2, window_seconds=3.0)
    probabilities = np.array([[0.1, 0.9], [0.9, 0.1], [0.9, 0.1], [0.2, 0.8]])
    one = {"labels": np.zeros(4, np.int64), "patient_ids": ("p",) * 4, "sets": ("unseen",) * 4}
    near = small(**one, probabilities=probabilities, seconds=np.array([0.0, 9.0, 7.0, 1.5]), negative="a")
    apart = replace(near, seconds=np.array([0.0, 9.0, 7.0, 5.0]))
    assert near.case_scores(rule)[0, 1] > 0.7  # two frames of 0.8 or more within 3 s
    assert apart.case_scores(rule)[0, 1] < 0.3


def test_select_keeps_rows_together() -> None:
    whole = small()
    whole = replace(whole, seconds=np.arange(4.0), negative="a")
    seen = whole.select(whole.in_sets("fit", "gate"))
    assert (seen.seconds.tolist(), seen.negative) == ([3.0], "a")
    assert (seen.paths, seen.patient_ids, seen.sets) == (("4.png",), ("q",), ("fit",))
    assert seen.subgroups == {"site": ("z",)}
    assert seen.labels.tolist() == [1]
    with pytest.raises(BadInputError, match="no frame"):
        whole.select(np.zeros(4, dtype=bool))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": np.array([0, 0, 1])}, "labels has shape"),
        ({"labels": np.array([0, 0, 1, 2])}, r"4\.png: label 2"),
        ({"probabilities": np.full((4, 3), 1 / 3)}, r"need \(4, 2\)"),
        ({"probabilities": np.array([[0.5, 0.5], [0.5, 0.6], [0.5, 0.5], [0.5, 0.5]])}, r"2\.png: prob.* 0\.5, 0\.6"),
        ({"probabilities": np.array([[0.5, 0.5], [0.5, 0.5], [np.nan, 0.5], [0.5, 0.5]])}, r"3\.png: .*nan"),
        ({"probabilities": np.array([[1.5, -0.5], [0.5, 0.5], [0.5, 0.5], [0.5, 0.5]])}, r"1\.png: "),
        ({"patient_ids": ("p",)}, "patient_ids has shape"),
        ({"sets": ("unseen", "fit", "unseen", "fit")}, "'p' is in two sets, unseen and fit"),
        ({"sets": ("unseen", "unseen", "unseen", "test")}, "set 'test' is unknown"),
        ({"subgroups": {"site": ("x",)}}, "subgroup 'site'"),
        ({"classes": ("a", "a")}, "two different names"),
        ({"seconds": np.arange(3.0)}, "seconds has shape"),
        ({"seconds": np.array([0.0, 1.0, np.inf, 2.0])}, r"3\.png: seconds is inf"),
        ({"negative": "normal"}, "negative class 'normal' is none of a, b"),
    ],
)
def test_bad_input_is_one_line_that_names_it(changes: dict, message: str) -> None:
    with pytest.raises(BadInputError, match=message) as caught:
        small(**changes)
    assert "\n" not in str(caught.value)


def test_decisions_are_checked_and_selected() -> None:
    whole = CaseDecisions(np.eye(3), np.eye(3) > 0, ("log_odds", "mean_softmax", "log_odds"), 0.95)
    part = whole.select(np.array([True, False, True]))
    assert part.rules == ("log_odds", "log_odds")
    assert part.scores.tolist() == [[1, 0, 0], [0, 0, 1]]
    assert (part.calls.sum(), part.target_sensitivity) == (2, 0.95)
    for changes, message in (
        ({"rules": ("log_odds",)}, "one row for each case"),
        ({"calls": np.ones((3, 2), bool)}, "one row for each case"),
        ({"rules": ("log_odds", "max", "log_odds")}, "rule 'max'"),
        ({"scores": np.full((3, 3), np.nan)}, "not finite"),
    ):
        with pytest.raises(BadInputError, match=message):
            replace(whole, **changes)


@settings(deadline=None)
@given(st.data())
def test_cases_partition_the_frames(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 30))
    k = data.draw(st.integers(2, 5))
    labels = np.array(data.draw(st.lists(st.integers(0, k - 1), min_size=n, max_size=n)))
    ids = tuple(data.draw(st.lists(st.sampled_from("abcdefg"), min_size=n, max_size=n)))
    raw = np.random.default_rng(n).random((n, k)) + 1e-3
    probabilities = raw / raw.sum(axis=1, keepdims=True)
    names = tuple("VWXYZ"[:k])
    whole = Predictions(names, tuple(map(str, range(n))), labels, probabilities, ids, ("gate",) * n)
    cases = whole.cases()
    assert cases.n_frames.sum() == n
    assert len(set(zip(cases.patient_ids, cases.labels.tolist(), strict=True))) == len(cases.labels)
    np.testing.assert_array_equal(np.bincount(cases.index), cases.n_frames)
    means = whole.case_scores(Aggregation())
    for m, (patient, label, mean) in enumerate(zip(cases.patient_ids, cases.labels, means, strict=True)):
        rows = (np.array(ids) == patient) & (labels == label)
        np.testing.assert_array_equal(rows, cases.index == m)
        np.testing.assert_allclose(mean, probabilities[rows].mean(axis=0), atol=1e-12)
