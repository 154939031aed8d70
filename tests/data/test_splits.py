from __future__ import annotations

import hashlib
import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_cns.data.manifest import Row
from edge_cns.data.splits import FRACTIONS, SETS, draw_sets, hashes_by_set, new_salt, patient_hash, set_of
from edge_cns.errors import BadInputError


def row(patient, label, split="train"):
    return Row(line=2, path=Path("x.png"), label=label, patient_id=str(patient), split=split)


def held(rows, sets):
    """Patients by (class, set)."""
    cases = {(r.patient_id, r.label) for r in rows if r.patient_id in sets}
    return Counter((label, sets[patient]) for patient, label in cases)


def test_shares_and_strata_of_single_labels():
    rows = [row(i, label) for i, label in enumerate("a" * 200 + "b" * 100 + "c" * 50)]
    sets = draw_sets(rows, seed=3)
    assert len(sets) == 350
    assert list(sets) == sorted(sets)
    for label, count in (("a", 200), ("b", 100), ("c", 50)):
        for name in SETS:
            assert abs(held(rows, sets)[label, name] - FRACTIONS[name] * count) <= 1


def test_several_labels_a_patient_are_balanced_too():
    generator = random.Random(1)
    rows = [row(i, label) for i in range(300) for label in generator.sample("abcd", generator.choice([1, 1, 2, 3]))]
    sets = draw_sets(rows, seed=0)
    counts = held(rows, sets)
    for label in "abcd":
        total = sum(counts[label, name] for name in SETS)
        for name in SETS:
            assert counts[label, name] == pytest.approx(FRACTIONS[name] * total, abs=3)
    for name, share in FRACTIONS.items():
        assert Counter(sets.values())[name] == pytest.approx(300 * share, abs=9)


def test_seed_decides_and_order_does_not():
    rows = [row(i % 60, "ab"[i % 60 > 30]) for i in range(180)]
    shuffled = random.Random(0).sample(rows, len(rows))
    assert draw_sets(rows, seed=5) == draw_sets(shuffled, seed=5)
    assert draw_sets(rows, seed=5) != draw_sets(rows, seed=6)


def test_four_patients_a_class_are_one_in_each_set():
    rows = [row(f"{label}{i}", label) for label in "abcde" for i in range(4)]
    assert set(held(rows, draw_sets(rows, seed=0)).values()) == {1}


def test_explicit_splits_are_kept_and_test_is_left_out():
    rows = [row(i, "ab"[i % 2]) for i in range(40)]
    rows += [row("g", "a", "gate"), row("s", "b", "stop"), row("t", "a", "test")]
    for seed in range(5):
        sets = draw_sets(rows, seed=seed)
        assert (sets["g"], sets["s"]) == ("gate", "stop")
        assert "t" not in sets


def test_wholly_explicit_splits():
    rows = [row(f"{label}{name}", label, name) for label in "ab" for name in SETS]
    assert draw_sets(rows, seed=0) == dict(sorted((f"{label}{name}", name) for label in "ab" for name in SETS))


def test_patients_that_belong_together_share_a_set():
    rows = [row(i, "ab"[i % 2]) for i in range(60)]
    groups = [["1", "2"], ["2", "9"], ["30", "31", "not there"], ["40"]]
    for seed in range(10):
        sets = draw_sets(rows, seed=seed, together=groups)
        assert sets["1"] == sets["2"] == sets["9"]
        assert sets["30"] == sets["31"]
        assert len(sets) == 60
    fixed = [*rows, row("x", "a", "gate")]
    assert draw_sets(fixed, seed=0, together=[["x", "5"]])["5"] == "gate"


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "there is no row to train on"),
        ([row(i, "a") for i in range(9)], "there is only 'a' to train on"),
        ([row(i, "a", "test") for i in range(9)], "there is no row to train on"),
        (
            [row(i, "a") for i in range(9)] + [row(f"b{i}", "b") for i in range(3)],
            "class 'b' has 3 patients to train on",
        ),
        ([row(i, "a") for i in range(9)] + [row("b", "b")], "class 'b' has 1 patient to train on"),
        (
            [row(i, "a") for i in range(9)] + [row(f"b{i}", "b", "fit") for i in range(5)],
            "class 'b' (5 patients) has none for the set 'stop'",
        ),
    ],
)
def test_refuses_classes_that_cannot_be_in_every_set(rows, words):
    with pytest.raises(BadInputError) as caught:
        draw_sets(rows, seed=0)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_refuses_groups_that_split_tears_apart_and_impossible_settings():
    rows = [row(i, "ab"[i % 2]) for i in range(40)] + [row("g", "a", "gate"), row("f", "a", "fit")]
    with pytest.raises(BadInputError, match=r"'f', 'g' belong together, but split puts them in fit and gate"):
        draw_sets(rows, seed=0, together=[["f", "g"]])
    with pytest.raises(BadInputError, match=r"seed is -1"):
        draw_sets(rows, seed=-1)
    for wrong in ({"fit": 1.0}, {**FRACTIONS, "fit": 0.9}, {**FRACTIONS, "fit": 0.8, "stop": 0.0}):
        with pytest.raises(BadInputError, match=r"fractions are"):
            draw_sets(rows, seed=0, fractions=wrong)


@settings(deadline=None, max_examples=150)
@given(
    st.lists(st.frozensets(st.sampled_from("abc"), min_size=1), max_size=40),
    st.integers(0, 100),
    st.lists(st.sampled_from([*SETS, "test", "train"]), max_size=12),
)
def test_every_class_in_every_set_and_nobody_in_two(profiles, seed, explicit):
    # twelve patients with one label each make a solution certain; the rest is as it comes
    rows = [row(f"base{label}{i}", label) for label in "abc" for i in range(4)]
    for i, profile in enumerate(profiles):
        split = explicit[i] if i < len(explicit) else "train"
        rows += [row(i, label, split) for label in profile]
    sets = draw_sets(rows, seed=seed)
    used = [r for r in rows if r.split != "test"]
    assert set(sets) == {r.patient_id for r in used}
    counts = held(rows, sets)
    assert all(counts[label, name] > 0 for label in "abc" for name in SETS)
    assert all(sets[r.patient_id] == r.split for r in used if r.split != "train")


def test_hashes_tell_the_set_and_not_the_id():
    sets = {"7": "fit", "8": "gate", "9": "fit"}
    salt = new_salt()
    assert len(bytes.fromhex(salt)) == 16
    assert salt != new_salt()
    hashes = hashes_by_set(salt, sets)
    assert {name: len(members) for name, members in hashes.items()} == {"fit": 2, "stop": 0, "calibrate": 0, "gate": 1}
    assert [set_of(salt, patient, hashes) for patient in ("7", "8", "9", "10")] == ["fit", "gate", "fit", None]
    assert set_of(new_salt(), "7", hashes) is None
    assert patient_hash("00ff", "é") == hashlib.sha256(b"\x00\xff\xc3\xa9").hexdigest()
    with pytest.raises(BadInputError, match=r"patient salt is 'zz'"):
        patient_hash("zz", "7")
