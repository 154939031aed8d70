from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_cns.data import phantom
from edge_cns.data.manifest import read_manifest
from edge_cns.data.phantom import dataset
from edge_cns.errors import BadInputError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("phantom") / "set"
    phantom.write_dataset(out, patients=5, frames=6, seed=11, size=96, clips=False)
    return out


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_each_class_has_each_plane(folder: Path) -> None:
    rows = _rows(folder / "labels.csv")
    assert tuple(rows[0]) == phantom.LABEL_COLUMNS
    assert {(r["label"], r["plane"]) for r in rows} == {(c, p) for c in phantom.CLASSES for p in phantom.PLANES}
    assert {r["reference_standard"] for r in rows} == {"phantom"}
    assert all(0.05 < float(r["mm_per_pixel"]) < 4.0 for r in rows)


def test_the_data_set_is_one_that_the_toolkit_reads(folder: Path) -> None:
    manifest = read_manifest(folder / "labels.csv")
    assert manifest.phantom
    assert len(manifest.rows) == 30


def test_evidence_says_where_a_lesion_can_be_seen(folder: Path) -> None:
    rows = _rows(folder / "labels.csv")
    seen = {(r["label"], r["plane"]): r["evidence"] for r in rows}
    assert {v for (label, _), v in seen.items() if label == "normal"} == {""}
    assert seen["anencephaly", "transthalamic"] == "true"
    assert seen["holoprosencephaly", "spine_sagittal"] == "false"
    assert seen["rachischisis", "spine_sagittal"] == "true"
    pairs = _rows(folder / "pairs.csv")
    assert {p["path"] for p in pairs} == {r["path"] for r in rows if r["evidence"] == "true"}


def test_pairs_and_masks_lie_on_their_frames(folder: Path) -> None:
    for pair in _rows(folder / "pairs.csv"):
        shown, twin, mask = (
            cv2.imread(str(folder / pair[key]), cv2.IMREAD_GRAYSCALE) for key in ("path", "counterfactual", "mask")
        )
        assert shown is not None
        assert twin is not None
        assert mask is not None
        assert shown.shape == twin.shape == mask.shape == (96, 96)
        difference = np.abs(shown.astype(int) - twin)
        assert difference[mask > 0].mean() > difference[mask == 0].mean()
        assert pair["signs"]


def test_every_picture_says_that_it_is_a_phantom(folder: Path) -> None:
    pictures = list(folder.rglob("*.png"))
    assert len(pictures) > 30
    for picture in pictures:
        assert phantom.read_text(picture.read_bytes()) == phantom.PNG_TEXT


def test_all_settings_are_written_down(folder: Path) -> None:
    described = json.loads((folder / "phantom.json").read_text())
    assert described["settings"] == {"patients": 5, "frames": 6, "seed": 11, "size": 96}
    frame = described["frames"][7]
    row = _rows(folder / "labels.csv")[7]
    patient = phantom.draw_patient(
        row["label"], frame["patient_seed"], gestational_age_weeks=frame["gestational_age_weeks"]
    )
    view = phantom.draw_view(
        patient,
        row["plane"],
        frame["view_seed"],
        machine=phantom.machine_named(row["device"]),
        site=row["site"],
        size=96,
    )
    pixels = cv2.imread(str(folder / row["path"]), cv2.IMREAD_GRAYSCALE)
    assert pixels is not None
    assert np.array_equal(phantom.render(patient, row["plane"], view, size=96).pixels, pixels)
    assert "research use only" in (folder / "README.md").read_text()


def test_the_same_arguments_give_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    phantom.write_dataset(tmp_path / "again", patients=5, frames=6, seed=11, size=96, clips=False)
    names = sorted(p.relative_to(folder) for p in folder.rglob("*") if p.is_file())
    assert names == sorted(p.relative_to(tmp_path / "again") for p in (tmp_path / "again").rglob("*") if p.is_file())
    assert all((folder / n).read_bytes() == (tmp_path / "again" / n).read_bytes() for n in names)


def test_class_is_not_associated_with_any_nuisance() -> None:
    jobs = list(dataset.planned_frames(600, 1, 3, 96))
    nuisances: dict[str, Sequence[object]] = {
        "site": [j.view.site for j in jobs],
        "device": [j.view.machine.name for j in jobs],
        "text": [bool(j.view.text) for j in jobs],
        "callipers": [j.view.callipers for j in jobs],
        "flip": [j.view.pose.flip for j in jobs],
        "twin": [j.patient.twin for j in jobs],
        "age": [int(j.patient.gestational_age_weeks // 8) for j in jobs],
        "gain": [j.view.gain_db > -34.0 for j in jobs],
    }
    for name, nuisance in nuisances.items():
        assert _p_value([j.patient.label for j in jobs], nuisance) > 0.001, name
    jobs = list(dataset.planned_frames(60, 6, 7, 96))
    planes = Counter((j.patient.label, j.plane) for j in jobs)
    assert set(planes.values()) == {12}


def test_each_class_is_filmed_and_progress_counts_to_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset, "write_clip", lambda path, label, seed: path.write_bytes(label.encode()))
    steps: list[tuple[str, int, int]] = []
    phantom.write_dataset(tmp_path / "set", patients=5, frames=1, size=64, progress=lambda *step: steps.append(step))
    assert sorted(p.stem for p in (tmp_path / "set" / "clips").iterdir()) == sorted(phantom.CLASSES)
    assert steps == [("drawing the phantom", i, 10) for i in range(1, 11)]


def test_an_interrupted_run_leaves_nothing(tmp_path: Path) -> None:
    def stop(task: str, done: int, total: int, note: str = "") -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        phantom.write_dataset(tmp_path / "set", patients=5, frames=2, size=64, clips=False, progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_impossible_requests_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="phantom of 4 patients"):
        phantom.write_dataset(tmp_path / "set", patients=4)
    with pytest.raises(BadInputError, match="size is 4096 px"):
        phantom.write_dataset(tmp_path / "set", size=4096)
    (tmp_path / "there").mkdir()
    with pytest.raises(BadInputError, match="exists already"):
        phantom.write_dataset(tmp_path / "there", patients=5, frames=1, size=64)


def _p_value(classes: list[str], nuisance: Sequence[object]) -> float:
    """Permutation test of the chi-squared statistic of a contingency table."""
    rows, columns = (
        np.unique(classes, return_inverse=True)[1],
        np.unique([str(n) for n in nuisance], return_inverse=True)[1],
    )
    rng = np.random.default_rng(0)

    def chi2(c: np.ndarray) -> float:
        table = np.zeros((rows.max() + 1, columns.max() + 1))
        np.add.at(table, (rows, c), 1)
        expected = table.sum(1, keepdims=True) * table.sum(0) / table.sum()
        return float(((table - expected) ** 2 / expected).sum())

    seen = chi2(columns)
    return float(np.mean([chi2(rng.permutation(columns)) >= seen for _ in range(1000)]))


def test_each_class_is_defined() -> None:
    assert tuple(sorted(dataset.DEFINITIONS)) == phantom.CLASSES
