"""Folds: whole patients, every row once, every class taught, and inner groups that know no label."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from edge_cns.errors import BadInputError
from edge_cns.training.cross_validation.folds import INNER_GROUPS, make_folds
from tests.training.cross_validation.made import draw, rows_of


def made(labels: str, patients: list[int], **columns):
    return rows_of(["abcdefgh".index(c) for c in labels], patients, **columns)


class TestLeaveOnePatientOut:
    def test_a_fold_for_every_patient(self) -> None:
        _, rows = draw()
        folds = make_folds(rows, "leave-one-patient-out")
        assert folds.names == tuple(sorted({row.patient_id for row in rows}))
        assert [folds.names[f] for f in folds.fold] == [row.patient_id for row in rows]

    def test_patients_that_share_pixels_are_tested_together(self) -> None:
        rows = made("aabbab", [0, 1, 2, 3, 4, 5])
        folds = make_folds(rows, "leave-one-patient-out", together=[("p000", "p003"), ("p003", "p005"), ("x", "p001")])
        assert folds.names == ("p000 and p003 and p005", "p001", "p002", "p004")
        assert folds.fold.tolist() == [0, 1, 2, 0, 3, 0]
        assert len(set(folds.group[[0, 3, 5]])) == 1


class TestGroupedKFold:
    def test_classes_are_spread_evenly(self) -> None:
        rows = made("a" * 10 + "b" * 50 + "c" * 40, [*range(100)])
        folds = make_folds(rows, "grouped-k-fold", folds=5, seed=3)
        assert folds.names == ("1", "2", "3", "4", "5")
        labels = np.array([row.label for row in rows])
        for name, count in (("a", 2), ("b", 10), ("c", 8)):
            assert np.bincount(folds.fold[labels == name]).tolist() == [count] * 5

    def test_the_seed_deals(self) -> None:
        _, rows = draw(patients=40)
        first, same, other = (make_folds(rows, "grouped-k-fold", seed=seed).fold for seed in (1, 1, 2))
        assert np.array_equal(first, same)
        assert not np.array_equal(first, other)

    def test_the_order_of_rows_does_not_matter(self) -> None:
        _, rows = draw(patients=40)
        folds, turned = (make_folds(r, "grouped-k-fold").fold for r in (rows, rows[::-1]))
        assert np.array_equal(folds, turned[::-1])

    @pytest.mark.parametrize("folds", [1, 0, -3, 31])
    def test_impossible_numbers(self, folds: int) -> None:
        _, rows = draw(patients=30)
        with pytest.raises(BadInputError, match=rf"--folds is {folds}; give 2 to .* which is 30"):
            make_folds(rows, "grouped-k-fold", folds=folds)


class TestLeaveOneSiteOut:
    def test_a_fold_for_every_site(self) -> None:
        rows = made("ababab", [0, 1, 2, 3, 4, 5], site=["Lima", "Lima", "Oslo", "Oslo", "Lima", "Oslo"])
        folds = make_folds(rows, "leave-one-site-out")
        assert folds.names == ("Lima", "Oslo")
        assert folds.fold.tolist() == [0, 0, 1, 1, 0, 1]

    @pytest.mark.parametrize(
        ("sites", "message"),
        [
            (["A", "A", "B", ""], "line 5 has no site; leave-one-site-out needs the column 'site' filled in"),
            ([""] * 4, "line 2 has no site"),
            (["A"] * 4, "all rows are of site 'A'"),
            (["A", "B", "A", "B"], "class 'a' is in fold 'A' only: while that fold is tested nobody teaches the class"),
        ],
    )
    def test_refusals(self, sites: list[str], message: str) -> None:
        with pytest.raises(BadInputError, match=re.escape(message)):
            make_folds(made("abab", [0, 1, 2, 3], site=sites), "leave-one-site-out")

    def test_a_patient_of_two_sites(self) -> None:
        rows = made("aabb", [0, 0, 1, 2], site=["A", "B", "A", "B"])
        rows.append(replace(made("a", [4], site=["B"])[0], line=9))
        with pytest.raises(BadInputError, match=r"patient 'p000' is at two sites, 'A' and 'B' \(line 3\)"):
            make_folds(rows, "leave-one-site-out")

    def test_linked_patients_of_two_sites(self) -> None:
        rows = made("ababab", [0, 1, 2, 3, 4, 5], site=["A", "A", "B", "B", "A", "B"])
        with pytest.raises(BadInputError, match="patient 'p000' and 'p002' is at two sites"):
            make_folds(rows, "leave-one-site-out", together=[("p000", "p002")])


class TestClassesThatCannotBeHeldOut:
    def test_one_class_only(self) -> None:
        with pytest.raises(BadInputError, match="there is only the class 'a'"):
            make_folds(made("aaa", [0, 1, 2]), "leave-one-patient-out")

    def test_a_class_with_one_patient(self) -> None:
        with pytest.raises(BadInputError, match=r"class 'b' has 1 patient to learn from: .*add patients or remove"):
            make_folds(made("aabb", [0, 1, 2, 2]), "leave-one-patient-out")

    def test_two_ids_of_one_patient_are_one(self) -> None:
        with pytest.raises(BadInputError, match="class 'b' has 1 patient "):
            make_folds(made("aabb", [0, 1, 2, 3]), "leave-one-patient-out", together=[("p002", "p003")])

    def test_a_frame_without_the_sign_teaches_nothing(self) -> None:
        rows = made("aabb", [0, 1, 2, 3], evidence=[None, True, True, False])
        with pytest.raises(BadInputError, match="class 'b' has 1 patient "):
            make_folds(rows, "leave-one-patient-out")
        nobody = [replace(row, evidence=False) if row.label == "b" else row for row in rows]
        with pytest.raises(BadInputError, match="class 'b' has no patients to learn from"):
            make_folds(nobody, "leave-one-patient-out")


class TestInnerGroups:
    def test_they_know_no_label(self) -> None:
        _, rows = draw(patients=40)
        labels = np.random.default_rng(0).permutation([row.label for row in rows])
        scrambled = [replace(row, label=str(label)) for row, label in zip(rows, labels, strict=True)]
        same = [make_folds(r, "leave-one-patient-out", seed=4).group for r in (rows, scrambled)]
        assert np.array_equal(*same)
        assert not np.array_equal(same[0], make_folds(rows, "leave-one-patient-out", seed=5).group)

    def test_they_are_equally_large(self) -> None:
        rows = made("ab" * 26, [*range(52)])
        assert sorted(np.bincount(make_folds(rows, "leave-one-patient-out").group)) == [10, 10, 10, 11, 11]


@settings(deadline=None, max_examples=60)
@given(data=st.data(), scheme=st.sampled_from(["leave-one-patient-out", "grouped-k-fold"]))
def test_whatever_the_data(data, scheme: str) -> None:
    """Labels belong to frames: a patient may have several."""
    count = data.draw(st.integers(6, 40))
    patients = data.draw(st.lists(st.integers(0, 12), min_size=count, max_size=count))
    labels = data.draw(st.lists(st.sampled_from("abc"), min_size=count, max_size=count))
    together = data.draw(st.lists(st.tuples(*[st.sampled_from([f"p{p:03d}" for p in patients])] * 2), max_size=3))
    rows = made("".join(labels), patients)
    try:
        folds = make_folds(rows, scheme, folds=3, seed=data.draw(st.integers(0, 9)), together=together)
    except BadInputError:
        assume(False)
    fold = {}
    for row, f, group in zip(rows, folds.fold, folds.group, strict=True):
        assert fold.setdefault(row.patient_id, (f, group)) == (f, group)
        assert 0 <= group < INNER_GROUPS
    for one, other in together:
        assert fold[one] == fold[other]
    for f in range(len(folds.names)):
        assert {row.label for row, g in zip(rows, folds.fold, strict=True) if g != f} == set(labels)
