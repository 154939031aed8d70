from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import pytest

from edge_cns.bundle import read_bundle
from tests.trained import PATIENTS, Trained, draw_stripes


@pytest.fixture
def fresh(trained: Trained, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained.bundle.path, tmp_path / "fresh.cns"))


def test_it_says_what_was_fitted_on_whom(trained: Trained, fresh: Path, cli) -> None:
    outcome = cli("calibrate", fresh, trained.labels)
    assert outcome.status == 0
    first, *rest = outcome.out.splitlines()
    assert first == f"{fresh}: calibrated on {3 * PATIENTS['calibrate']} frames of {PATIENTS['calibrate']} patients"
    assert [line.split()[0] for line in rest[:3]] == ["temperature", "novelty", "exam"]
    limit = PATIENTS["calibrate"] + PATIENTS["stop"] + PATIENTS["gate"]
    assert rest[1] == f"  novelty      fitted on {PATIENTS['fit']} patients, limit set by {limit}"
    assert all(line.startswith("  WARNING") for line in rest[3:])
    card = read_bundle(fresh).files["model_card.md"].decode()
    assert "Temperature" in card
    assert "raw softmax" not in card
    inspected = cli("bundle", "inspect", fresh)
    assert "decision   calibrated" in inspected.out


def test_json_is_the_record(trained: Trained, fresh: Path, cli) -> None:
    record = cli("calibrate", fresh, trained.labels, "--coverage", "0.5", "--json").json
    assert record["settings"]["coverage"] == 0.5
    decision = read_bundle(fresh).contract.decision
    assert decision.conformal.coverage == 0.5
    assert decision.conformal.pooled == (), "one patient of each class is enough for a half"
    assert record["temperature"] == decision.temperature


def test_predict_speaks_of_what_it_holds_back(trained: Trained, fresh: Path, tmp_path: Path, cli) -> None:
    frame_file = tmp_path / "stripes.png"
    frame_file.write_bytes(cv2.imencode(".png", draw_stripes(4))[1].tobytes())
    assert cli("calibrate", fresh, trained.labels).status == 0
    outcome = cli("predict", fresh, frame_file)
    assert outcome.status == 0
    assert "not_supported_view  not a supported view (novelty" in outcome.out
    (line,) = cli("predict", fresh, frame_file, "--json").out.splitlines()
    assert '"label": null' in line
    assert '"novelty"' in line


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--negative", "normal"], "--negative 'normal' is not a class"),
        (["--false-alarm", "0"], "0<x<1"),
        (["--target-sensitivity", "1.5"], "0<x<1"),
        (["--require-view", "spine"], "--require-view 'spine' is no plane"),
    ],
)
def test_bad_options(trained: Trained, fresh: Path, cli, options, said) -> None:
    before = (fresh / "contract.json").read_bytes()
    outcome = cli("calibrate", fresh, trained.labels, *options)
    assert outcome.status == 2
    (line,) = outcome.err.splitlines()
    assert said in line
    assert (fresh / "contract.json").read_bytes() == before


def test_bad_files(trained: Trained, fresh: Path, tmp_path: Path, cli) -> None:
    assert "does not exist" in cli("calibrate", tmp_path / "gone.cns", trained.labels).err
    assert "does not exist" in cli("calibrate", fresh, tmp_path / "gone.csv").err
    one = tmp_path / "one.csv"
    one.write_text("path,label,patient_id\na.png,bars,x\n")
    outcome = cli("calibrate", fresh, one)
    assert outcome.status == 2
    assert "has no calibration patient of class 'coarse'" in outcome.err
