from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks.squeeze import SHAPES, main, measure, squeezed, table
from tests.trained import PATIENTS, Trained


def test_changes_the_aspect_and_nothing_else() -> None:
    picture = np.zeros((260, 390), np.uint8)
    assert squeezed(picture, SHAPES[0]) is picture
    assert squeezed(picture, SHAPES[1]).shape == (260, 300)
    assert squeezed(picture, SHAPES[2]).shape == (200, 390)
    assert squeezed(np.zeros((260, 390, 3), np.uint16), SHAPES[2]).shape == (200, 390, 3)
    assert squeezed(np.zeros((70, 70), np.uint8), SHAPES[1]).shape == (91, 70)  # 54 px would be too few


def test_figures_of_patients_new_to_the_model(trained: Trained) -> None:
    result = measure(trained.bundle.path, trained.labels)
    assert (result["frames"], result["patients"], result["unseen"]) == (3 * PATIENTS["test"], PATIENTS["test"], True)
    assert result["as it is"]["agreement"] == 1
    for shape in SHAPES:
        low, high = result[shape]["interval"]
        assert 0 <= low <= result[shape]["accuracy"] <= high <= 1
    assert result["as it is"]["accuracy"] > 0.8
    lines = table(result).splitlines()
    assert len(lines) == 5
    assert len({len(line) for line in lines[1:]}) == 1  # the columns stand under one another


def test_patients_the_model_has_seen_are_said_to_be(trained: Trained, tmp_path, capsys) -> None:
    lines = trained.labels.read_text().splitlines()
    labels = tmp_path / "labels.csv"
    seen = [f"{trained.labels.parent}/{line}" for line in lines if line.endswith(",gate")]
    labels.write_text("\n".join([lines[0], *seen[:12]]) + "\n")
    assert main([str(trained.bundle.path), str(labels)]) == 0
    assert "12 frames of 4 patients the model has SEEN" in capsys.readouterr().out
    assert main([str(trained.bundle.path), str(labels), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["unseen"] is False


@pytest.mark.parametrize(
    ("text", "message"),
    [("path,label,patient_id\nx.png,mist,p1\n", "label 'mist'"), ("path,label,patient_id\nx.png,fine,p1\n", "x.png")],
)
def test_bad_input_is_one_line(trained: Trained, tmp_path, capsys, text: str, message: str) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text(text)
    assert main([str(trained.bundle.path), str(labels)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert message in line
