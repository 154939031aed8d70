from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("sklearn", reason="needs the evaluate extra")
from threadpoolctl import threadpool_limits

from benchmarks import cross_validation as module
from benchmarks.cross_validation import generated, main, measure, null, table
from tests.training.cross_validation.made_set import made_features, write_images


def test_both_sides_say_the_same(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(module, "frozen_features", made_features)
    with threadpool_limits(1):  # matrices are small here
        result = measure(write_images(tmp_path / "set"), folds=7, patients=2)
    assert (result["frames"], result["patients"]) == (48, 24)
    assert (result["plain"]["sampled_folds"], result["nested"]["patients"]) == (7, 2)
    assert result["plain"]["equal"]
    assert result["plain"]["largest_difference"] < 5e-3
    assert result["converged"]["largest_difference"] < 5e-4
    assert result["nested"]["same_penalty"]
    assert result["nested"]["largest_difference"] < 5e-3
    lines = table(result).splitlines()
    assert lines[0] == "48 frames of 24 patients, 1 processes"
    assert "the same classes, probabilities within" in lines[2]
    assert len(lines) == 7


def test_generated_features(monkeypatch) -> None:
    result = generated(frames=120, people=20, channels=12)
    assert (result["frames"], result["patients"]) == (120, 20)
    assert result["memory_mib"] > 10
    assert "120 frames of 20 patients, 1 processes, generated, nested: " in table(result)


def test_labels_that_mean_nothing() -> None:
    result = null(people=24, sets=2, channels=10)
    assert set(result["contains_chance"].values()) <= {0, 1, 2}
    assert 0.2 < result["mean"]["auroc_macro"] < 0.8
    assert table(result).startswith("2 sets of 24 patients: the interval contains chance in ")


def test_bad_input_is_one_line(tmp_path: Path, capsys) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text("path,label,patient_id\n")
    assert main([str(labels)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert "has no rows" in line
    with pytest.raises(SystemExit):
        main([])
