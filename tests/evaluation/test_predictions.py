from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_cns.errors import BadInputError
from edge_cns.evaluation.predictions import Predictions


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
    np.testing.assert_allclose(cases.mean_softmax, [[0.35, 0.65], [0.2, 0.8], [0.7, 0.3]])
    assert cases.votes.tolist() == [[1, 1], [0, 1], [1, 0]]


def test_majority_vote_breaks_ties_by_mean_softmax_and_can_differ_from_it() -> None:
    tied = small().cases()
    assert tied.predicted_by_vote.tolist() == [1, 1, 0]
    narrow = small(
        labels=np.zeros(4, dtype=np.int64),
        patient_ids=("p",) * 4,
        sets=("unseen",) * 4,
        probabilities=np.array([[0.51, 0.49], [0.51, 0.49], [0.51, 0.49], [0.0, 1.0]]),
    ).cases()
    assert narrow.predicted_by_vote.tolist() == [0]
    assert narrow.predicted.tolist() == [1]


def test_select_keeps_rows_together() -> None:
    whole = small()
    seen = whole.select(whole.in_sets("fit", "gate"))
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
    ],
)
def test_bad_input_is_one_line_that_names_it(changes: dict, message: str) -> None:
    with pytest.raises(BadInputError, match=message) as caught:
        small(**changes)
    assert "\n" not in str(caught.value)


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
    np.testing.assert_array_equal(cases.votes.sum(axis=1), cases.n_frames)
    for patient, label, mean in zip(cases.patient_ids, cases.labels, cases.mean_softmax, strict=True):
        rows = (np.array(ids) == patient) & (labels == label)
        np.testing.assert_allclose(mean, probabilities[rows].mean(axis=0), atol=1e-12)
