from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edge_cns.data.association import Confined, associate, cramers_v


def test_cramers_v_by_hand():
    assert cramers_v(np.array([[30, 0], [0, 30]])) == pytest.approx(1.0)
    assert cramers_v(np.array([[15, 15], [15, 15]])) == 0.0
    # chi2 = 100 * (40 * 30 - 10 * 20)^2 / (50 * 50 * 60 * 40) = 16.667; phi2 = 0.16667 - 1/99; side = 1 - 1/99
    expected = np.sqrt((100 / 6 / 100 - 1 / 99) / (1 - 1 / 99))
    assert cramers_v(np.array([[40, 10], [20, 30]])) == pytest.approx(expected)


def test_cramers_v_of_empty_rows_and_one_column():
    assert cramers_v(np.array([[30, 0], [0, 30], [0, 0]])) == pytest.approx(1.0)
    assert cramers_v(np.array([[3], [4]])) == 0.0
    assert cramers_v(np.array([[1, 0], [0, 1]])) == 0.0  # two cases prove nothing


@given(hnp.arrays(np.int64, st.tuples(st.integers(1, 5), st.integers(1, 5)), elements=st.integers(0, 30)))
def test_cramers_v_is_bounded_and_symmetric(counts):
    if counts.sum() > 1:
        assert 0.0 <= cramers_v(counts) <= 1.0
        assert cramers_v(counts) == pytest.approx(cramers_v(counts.T))


def cases(*groups):
    """(label, value, count) triples as cases of distinct patients."""
    return [(f"{i}-{k}", label, value) for i, (label, value, count) in enumerate(groups) for k in range(count)]


def test_bias_correction_leaves_little_of_chance():
    generator = np.random.default_rng(0)
    found = []
    for _ in range(50):
        drawn = generator.integers(0, 4, (60, 2))
        found.append(associate("c", [(str(i), str(a), str(b)) for i, (a, b) in enumerate(drawn)]).cramers_v)
    assert np.mean(found) < 0.1


def test_a_class_with_values_of_its_own_is_separated():
    a = associate("site", cases(("ill", "B", 10), ("ill", "C", 4), ("well", "A", 20), ("odd", "A", 9), ("odd", "D", 9)))
    assert a.separated == ("ill",)
    assert a.confined == (Confined("well", "A", 20, 9 / 32),)
    assert not a.restates_label
    assert a.table["B"] == {"ill": 10, "odd": 0, "well": 0}
    assert a.as_dict()["separated"] == ["ill"]


def test_a_class_at_one_site_that_others_share_is_confined():
    a = associate("site", cases(("ill", "B", 10), ("well", "A", 40), ("well", "B", 10)))
    assert a.separated == ()
    assert a.confined == (Confined("ill", "B", 10, 0.2),)


def test_chance_confines_nothing():
    # one patient, or a value that nearly everybody has
    assert associate("site", cases(("ill", "B", 1), ("well", "A", 20), ("well", "B", 20))).confined == ()
    assert associate("site", cases(("ill", "B", 20), ("well", "A", 2), ("well", "B", 98))).confined == ()


def test_frames_of_a_patient_count_once():
    once = cases(("ill", "A", 6), ("ill", "B", 5), ("well", "A", 5), ("well", "B", 6))
    assert associate("site", once).cramers_v == associate("site", once * 50).cramers_v


def test_a_column_that_changes_with_the_label_in_a_patient_restates_it():
    both = [(str(i), label, f"view of {label}") for i in range(20) for label in ("head", "femur")]
    assert associate("view", both).restates_label
    assert associate("view", both).separated == ("femur", "head")
    alone = cases(("head", "view of head", 20), ("femur", "view of femur", 20))
    assert not associate("view", alone).restates_label


@pytest.mark.parametrize(
    "nothing",
    [
        [],
        cases(("a", "A", 5), ("a", "B", 5)),
        cases(("a", "A", 5), ("b", "A", 5)),
        [(str(i), "ab"[i % 2], f"image {i}") for i in range(10)],
        [(str(i), "ab"[i % 2], f"value {i % 21}") for i in range(500)],
    ],
    ids=["nothing", "one class", "one value", "identifier", "many values"],
)
def test_nothing_to_compare(nothing):
    assert associate("column", nothing) is None
