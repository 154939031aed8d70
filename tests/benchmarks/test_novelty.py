from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.novelty import DRAWN, drawn, main
from edge_cns.calibrate import calibrate
from edge_cns.data.manifest import read_manifest
from edge_cns.frames import Frame
from tests.trained import PATIENTS, Trained, draw_frame, draw_stripes


@pytest.fixture
def calibrated(trained: Trained, tmp_path: Path) -> Path:
    path = Path(shutil.copytree(trained.bundle.path, tmp_path / "small.cns"))
    calibrate(path, read_manifest(trained.labels))
    return path


@pytest.mark.parametrize("kind", DRAWN)
def test_drawn_pictures_can_be_frames(kind: str) -> None:
    frames = [Frame(draw_frame("bars", np.random.default_rng(i))) for i in range(3)]
    pictures = list(drawn(kind, frames))
    assert len(pictures) == 60
    assert all(Frame(picture).pixels.dtype == np.uint8 for picture in pictures)
    assert any(not np.array_equal(pictures[0], other) for other in pictures[1:])
    assert pictures[0].ndim == (3 if kind == "doppler" else 2)


def test_held_out_patients_against_everything_else(trained: Trained, calibrated: Path, tmp_path: Path, capsys) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    for i in range(4):
        (folder / f"{i}.png").write_bytes(cv2.imencode(".png", draw_stripes(3 + i))[1].tobytes())
    arguments = [str(calibrated), str(trained.labels), "--other", f"elsewhere={folder}"]
    assert main([*arguments, "--plot", str(tmp_path / "plot.png"), "--json"]) == 0
    block = json.loads(capsys.readouterr().out)
    assert block["flagged"]["n"] == 3 * PATIENTS["test"], "patients of the training are left out"
    assert list(block["others"]) == ["elsewhere", *DRAWN]
    assert block["others"]["elsewhere"]["flagged"]["value"] == 1
    assert block["others"]["black"]["auroc"]["value"] > 0.95
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    assert main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["source", "held", "elsewhere", *DRAWN]


def test_bad_input_is_one_line(trained: Trained, calibrated: Path, tmp_path: Path, capsys) -> None:
    for arguments, said in (
        ([str(trained.bundle.path), str(trained.labels)], "has no rule for novelty"),
        ([str(calibrated), str(trained.labels), "--other", "x"], "--other 'x' is not NAME=FOLDER_OR_CSV"),
        ([str(calibrated), str(trained.labels), "--other", f"x={tmp_path / 'gone'}"], "has no images"),
    ):
        assert main(arguments) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert said in line


def test_another_hospitals_frames_are_counted_by_what_the_network_reads(
    trained: Trained, calibrated: Path, tmp_path: Path, capsys
) -> None:
    rows = [line.split(",") for line in trained.labels.read_text().splitlines()]
    path, label = rows[0].index("path"), rows[0].index("label")
    lines = ["path,label,patient_id"]
    for i, row in enumerate(rows[1:]):
        lines.append(f"{trained.labels.parent / row[path]},{row[label] if i % 5 else 'bars'},p{i}")
    there = tmp_path / "there.csv"
    there.write_text("\n".join(lines[:41]) + "\n")
    arguments = [str(calibrated), str(trained.labels), "--other", f"there={there}"]
    assert main([*arguments, "--json"]) == 0
    row = json.loads(capsys.readouterr().out)["others"]["there"]
    parts = row["read"]
    assert parts["rightly"]["n"] + parts["wrongly"]["n"] == row["n"] == 40
    assert 0 < parts["wrongly"]["n"] <= 8, "only the labels that were changed"
    held_back = sum(part["n"] * part["value"] for part in parts.values())
    assert held_back == pytest.approx(row["n"] * row["flagged"]["value"])
    assert main(arguments) == 0
    shown = [line.split()[:2] for line in capsys.readouterr().out.splitlines()]
    assert ["rightly", str(parts["rightly"]["n"])] in shown

    there.write_text("\n".join([lines[0], lines[1].replace(lines[1].split(",")[1], "elbow")]) + "\n")
    assert main([*arguments, "--json"]) == 0
    assert "read" not in json.loads(capsys.readouterr().out)["others"]["there"], "no such class to read"
