from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_cns.errors import BadInputError
from edge_cns.evaluation.prediction_file import read_predictions, write_predictions
from edge_cns.evaluation.predictions import Predictions

FIELDS = ("classes", "paths", "patient_ids", "sets")
TEXT = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=8)


def assert_same(one: Predictions, other: Predictions) -> None:
    for name in FIELDS:
        assert getattr(one, name) == getattr(other, name)
    np.testing.assert_array_equal(one.labels, other.labels)
    np.testing.assert_array_equal(one.probabilities, other.probabilities)


def test_what_is_written_is_read(make_predictions, tmp_path: Path) -> None:
    predictions = make_predictions()
    file = tmp_path / "predictions.csv"
    record = write_predictions(file, predictions, columns={"fold": ["1"] * len(predictions)})
    assert_same(read_predictions(file, sha256=record["sha256"]), predictions)
    assert record["file"] == "predictions.csv"
    with file.open(newline="") as text:
        first = next(csv.DictReader(text))
    assert list(first) == ["path", "patient_id", "label", "set", "fold", "p:cord", "p:head", "p:spine"]
    assert (first["path"], first["label"], first["set"], first["fold"]) == ("frame0.png", "cord", "fit", "1")
    assert [path.name for path in tmp_path.iterdir()] == ["predictions.csv"]


def test_times_are_kept(make_predictions, tmp_path: Path) -> None:
    predictions = make_predictions()
    timed = replace(predictions, seconds=np.linspace(0, 1 / 3, len(predictions)))
    write_predictions(tmp_path / "p.csv", timed)
    np.testing.assert_array_equal(read_predictions(tmp_path / "p.csv").seconds, timed.seconds)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(TEXT, min_size=2, max_size=4, unique=True), st.lists(TEXT, min_size=2, max_size=2), st.data())
def test_any_text_survives(tmp_path: Path, classes: list[str], ids: list[str], data: st.DataObject) -> None:
    label = data.draw(st.integers(0, len(classes) - 1))
    predictions = Predictions(
        classes=tuple(classes),
        paths=tuple(data.draw(TEXT) for _ in range(2)),
        labels=np.array([label, 0]),
        probabilities=np.random.default_rng(0).dirichlet(np.ones(len(classes)), 2),
        patient_ids=tuple(ids),
        sets=("unseen", "unseen"),
    )
    write_predictions(tmp_path / "p.csv", predictions)
    assert_same(read_predictions(tmp_path / "p.csv"), predictions)


def test_no_cell_is_a_formula(make_predictions, tmp_path: Path) -> None:
    hostile = ("=cmd|' /C calc'!A0", "+1", "-1", "@x", "'=1")
    predictions = make_predictions(patients=1, frames=5, sets=("unseen",))
    predictions = replace(predictions, paths=hostile, patient_ids=hostile)
    write_predictions(tmp_path / "p.csv", predictions, columns={"=fold": hostile})
    with (tmp_path / "p.csv").open(newline="") as text:
        cells = [cell for row in csv.reader(text) for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]
    assert_same(read_predictions(tmp_path / "p.csv"), predictions)


def test_a_path_that_is_not_unicode_can_be_written(make_predictions, tmp_path: Path) -> None:
    predictions = make_predictions(patients=1, frames=1)
    write_predictions(tmp_path / "p.csv", replace(predictions, paths=("caf\udce9.png",)))
    assert read_predictions(tmp_path / "p.csv").paths == (r"caf\udce9.png",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("path,patient_id,label,set\n", "no column p:CLASS"),
        ("path,label,set,p:a,p:b\n1,a,fit,1,0\n", "no column patient_id"),
        ("path,patient_id,label,set,p:a,p:b\n", "there is no frame"),
        ("path,patient_id,label,set,p:a,p:b\n1,p,a,fit,1\n", "line 2 has 5 cells, the header 6"),
        ("path,patient_id,label,set,p:a,p:b\n1,p,c,fit,1,0\n", "line 2 has label 'c', which has no probability"),
        ("path,patient_id,label,set,p:a,p:b\n1,p,a,fit,1,x\n", "line 2 has p:b 'x', which is no number"),
        ("path,patient_id,label,set,p:a,p:b\n1,p,a,fit,1,nan\n", "1: probabilities 1, nan"),
        ("path,patient_id,label,set,p:a,p:b\n1,p,a,best,1,0\n", "set 'best' is unknown"),
        (b"path\xff", "not CSV in UTF-8"),
    ],
)
def test_bad_files_are_one_line(content: str | bytes, message: str, tmp_path: Path) -> None:
    file = tmp_path / "p.csv"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(BadInputError, match=message) as caught:
        read_predictions(file)
    assert "\n" not in str(caught.value)


def test_missing_and_changed_files_are_refused(make_predictions, tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="does not exist; it is written beside"):
        read_predictions(tmp_path / "gone.csv")
    record = write_predictions(tmp_path / "p.csv", make_predictions())
    write_predictions(tmp_path / "p.csv", make_predictions(seed=1))
    with pytest.raises(BadInputError, match="not the file that the metrics beside it"):
        read_predictions(tmp_path / "p.csv", sha256=record["sha256"])
