"""The folder of a cross-validation: what it takes up again, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edge_cns.data.manifest import read_manifest
from edge_cns.errors import BadInputError
from edge_cns.training.cross_validation.journal import check_out, open_journal, request_of
from edge_cns.training.cross_validation.settings import CrossValidationSettings


@pytest.fixture
def request_(tmp_path: Path):
    """Settings to the request of a small table."""
    labels = tmp_path / "labels.csv"
    labels.write_text("path,label,patient_id\nx.png,a,1\n")

    def make(text: str = "", **settings) -> dict:
        if text:
            labels.write_text(labels.read_text() + text)
        return request_of(CrossValidationSettings(**settings), read_manifest(labels))

    return make


def test_arrays_come_back(tmp_path: Path, request_) -> None:
    journal = open_journal(tmp_path / "out", request_(), "c0ffee")
    assert not journal.resumed
    array = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    journal.write("inner-0-0", array)
    journal.write_arrays("folds-0", {"a": array, "b": array[0]})
    again = open_journal(tmp_path / "out", request_(), "c0ffee")
    assert again.resumed
    assert again.has("inner-0-0")
    assert not again.has("inner-0-128")
    np.testing.assert_array_equal(again.read("inner-0-0", (slice(None), slice(1, 3))), array[:, 1:3])
    found = again.arrays("folds-0")
    assert found is not None
    np.testing.assert_array_equal(found["b"], array[0])
    assert again.arrays("folds-32") is None
    again.close()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["settings.json"]


def test_a_damaged_result_is_named(tmp_path: Path, request_) -> None:
    journal = open_journal(tmp_path / "out", request_(), "c0ffee")
    file = tmp_path / "out" / "journal" / "inner-0-0.npy"
    file.write_bytes(b"\x93NUMPY nonsense")
    with pytest.raises(BadInputError, match=r"inner-0-0\.npy is damaged .*remove it and repeat"):
        journal.read("inner-0-0")


@pytest.mark.parametrize(
    ("there", "now", "message"),
    [
        ({"seed": 1}, {"seed": 2}, r"another request \(seed 1 there, 2 now\); repeat the same command"),
        ({}, {"nested": False, "folds": 7}, r"folds 5 there, 7 now; nested True there, False now"),
        ({}, {"text": "y.png,b,2\n"}, r"another request \(labels.csv has changed\)"),
    ],
)
def test_another_request_is_refused(tmp_path: Path, request_, there: dict, now: dict, message: str) -> None:
    open_journal(tmp_path / "out", request_(**there), "c0ffee")
    before = (tmp_path / "out" / "settings.json").read_bytes()
    with pytest.raises(BadInputError, match=message):
        check_out(tmp_path / "out", request_(**now))
    assert (tmp_path / "out" / "settings.json").read_bytes() == before


def test_other_images_are_refused(tmp_path: Path, request_) -> None:
    open_journal(tmp_path / "out", request_(), "c0ffee")
    with pytest.raises(BadInputError, match="of other images or weights; choose another --out"):
        open_journal(tmp_path / "out", request_(), "decaf")


def test_a_finished_one_and_a_stranger_are_refused(tmp_path: Path, request_) -> None:
    for name, message in (("metrics.json", "holds a finished evaluation"), ("mine.txt", "is no cross-validation")):
        out = tmp_path / name
        out.mkdir()
        (out / name).write_text(json.dumps({}))
        with pytest.raises(BadInputError, match=message):
            open_journal(out, request_(), "c0ffee")
        assert [path.name for path in out.iterdir()] == [name]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scheme": "leave-one-out"}, "there is no scheme 'leave-one-out'"),
        ({"finetune": True}, "leave-one-patient-out has a fold for every patient; give --scheme grouped-k-fold"),
        ({"finetune": True, "nested": False, "scheme": "grouped-k-fold"}, "leave out --no-nested"),
        ({"target_sensitivity": 1.0}, "target sensitivity is 1.0"),
        ({"epochs": 0}, "epochs is 0"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_settings_that_cannot_be_used(settings: dict, message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        CrossValidationSettings(**settings)
