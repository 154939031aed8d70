"""``edge-cns evaluate`` on a bundle that knows most of the patients."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

import edge_cns
from edge_cns.data.images import read_image
from edge_cns.data.manifest import read_manifest
from edge_cns.preprocess import image
from edge_cns.training.model import predict_logits, read_classifier
from tests.trained import PATIENTS, Trained


@pytest.fixture
def changed(trained: Trained, tmp_path: Path):
    """Write a labels.csv beside other images: the session's, with text replaced."""

    def change(old: str, new: str) -> Path:
        text = trained.labels.read_text()
        assert old in text
        labels = tmp_path / "labels.csv"
        labels.write_text(text.replace(old, new).replace("\np", f"\n{trained.labels.parent}/p"))
        return labels

    return change


@pytest.fixture(scope="module")
def evaluated(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One evaluation of all rows, with the float model beside the int8 one."""
    from edge_cns.cli import run

    out = tmp_path_factory.mktemp("evaluation") / "out"
    status = run(
        ["evaluate", str(trained.bundle.path), str(trained.labels), "--out", str(out), "--run", str(trained.run.path)]
    )
    assert status == 0
    return out


@pytest.fixture(scope="module")
def metrics(evaluated: Path) -> dict:
    return json.loads((evaluated / "metrics.json").read_text())


def test_figures_that_other_programs_read(trained: Trained, metrics: dict) -> None:
    rows = read_manifest(trained.labels).rows
    names = trained.run.contract.class_names
    with edge_cns.load(trained.bundle.path) as classifier:
        predicted = [classifier.classify(read_image(row.path)).label for row in rows]
    right = np.array([label == row.label for label, row in zip(predicted, rows, strict=True)])
    labels = np.array([row.label for row in rows])
    assert metrics["n_frames"] == len(rows) == 216
    assert metrics["n_patients"] == sum(PATIENTS.values())
    assert metrics["frame"]["accuracy"] == pytest.approx(right.mean())
    balanced = np.mean([right[labels == name].mean() for name in names])
    assert metrics["frame"]["balanced_accuracy"] == pytest.approx(balanced)
    assert 0.9 < metrics["frame"]["auroc_macro"] <= 1
    assert 0.9 < metrics["patient"]["accuracy"] <= 1
    assert metrics["patient"]["unit"] == "patients"
    assert metrics["classes"] == list(names)
    assert (metrics["proof"], metrics["calibrated"], metrics["phantom"]) == ("passed", False, False)
    assert (metrics["n_unreadable"], metrics["unreadable"]) == (0, [])


def test_patients_the_model_has_seen_are_apart(metrics: dict) -> None:
    assert metrics["sets"] == {name if name != "test" else "unseen": 3 * count for name, count in PATIENTS.items()}
    by_set = metrics["by_set"]
    for name in ("fit", "stop", "calibrate", "gate"):
        assert by_set[name]["n_patients"] == PATIENTS[name]
    assert by_set["unseen"]["n_frames"] == 3 * PATIENTS["test"]
    assert by_set["seen"]["n_patients"] == sum(PATIENTS.values()) - PATIENTS["test"]
    frames = [by_set[name]["n_frames"] * by_set[name]["frame"]["accuracy"] for name in ("seen", "unseen")]
    assert sum(frames) / metrics["n_frames"] == pytest.approx(metrics["frame"]["accuracy"])


def test_the_float_model_beside_it(trained: Trained, metrics: dict) -> None:
    rows = read_manifest(trained.labels).rows
    images = np.stack([image(read_image(row.path), trained.run.contract.input) for row in rows])
    exact = predict_logits(read_classifier(trained.run.model), images).argmax(axis=1)
    names = trained.run.contract.class_names
    labels = np.array([names.index(row.label) for row in rows])
    assert metrics["float"]["frame"]["accuracy"] == pytest.approx((exact == labels).mean())
    with edge_cns.load(trained.bundle.path) as classifier:
        int8 = np.array([names.index(classifier.classify(read_image(row.path)).label) for row in rows])
    assert metrics["agreement"] == pytest.approx((exact == int8).mean())
    unseen = np.array([row.split == "test" for row in rows])
    assert metrics["agreement_unseen"] == pytest.approx((exact == int8)[unseen].mean())
    assert metrics["agreement"] > 0.9


def test_the_report_needs_no_other_file(evaluated: Path) -> None:
    html = (evaluated / "report.html").read_text()
    sources = re.findall(r'(?:src|href)="([^"]*)"', html)
    assert sources
    assert all(source.startswith(("data:image/", "#")) for source in sources)
    assert not re.search(r"url\((?!['\"]?data:)|@import|<script[^>]+src", html)
    assert "small.cns on set/labels.csv" in html
    assert {path.suffix for path in evaluated.iterdir()} == {".csv", ".html", ".jpg", ".json", ".md", ".png"}


def test_json_is_what_the_file_has(trained: Trained, tmp_path: Path, cli) -> None:
    labels = tmp_path / "test.csv"
    lines = trained.labels.read_text().splitlines()
    kept = [f"{trained.labels.parent}/{line}" for line in lines if line.endswith("test")]
    labels.write_text("\n".join([lines[0], *kept]) + "\n")
    outcome = cli("evaluate", trained.bundle.path, labels, "--out", tmp_path / "out", "--json")
    assert outcome.status == 0
    assert outcome.json == json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert outcome.json["by_set"]["seen"] is None
    assert outcome.json["by_set"]["unseen"]["n_patients"] == PATIENTS["test"]
    assert "float" not in outcome.json


def test_text_quotes_unseen_patients_first(trained: Trained, changed, tmp_path: Path, cli) -> None:
    labels = changed("path,", "path,")
    outcome = cli("evaluate", trained.bundle.path, labels, "--out", tmp_path / "out")
    assert outcome.status == 0
    assert outcome.out.startswith(f"unseen patients: 27 frames, {PATIENTS['test']} patients")
    assert outcome.out.rstrip().endswith(str(tmp_path / "out" / "report.html"))


def test_a_label_that_the_contract_lacks(trained: Trained, changed, tmp_path: Path, cli) -> None:
    outcome = cli("evaluate", trained.bundle.path, changed(",fine,", ",mist,"), "--out", tmp_path / "out")
    assert (outcome.status, outcome.out) == (2, "")
    (line,) = outcome.err.splitlines()
    assert "label 'mist' is not in the contract (bars, coarse, fine)" in line
    assert [path.name for path in tmp_path.iterdir()] == ["labels.csv"]


def test_unreadable_rows_are_left_out_and_counted(trained: Trained, changed, tmp_path: Path, cli) -> None:
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "small.png").write_bytes((trained.labels.parent / "p000-0.png").read_bytes()[:50])
    labels = changed("p070-0.png", f"{tmp_path}/empty.png")
    text = labels.read_text().replace(f"{trained.labels.parent}/p071-1.png", "small.png")
    labels.write_text(text.replace(f"{trained.labels.parent}/p069-2.png", "gone.png"))
    outcome = cli("evaluate", trained.bundle.path, labels, "--out", tmp_path / "out")
    assert outcome.status == 0
    assert [line for line in outcome.err.splitlines() if line.startswith("left out: ")] == outcome.err.splitlines()
    assert len(outcome.err.splitlines()) == 3
    found = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert (found["n_frames"], found["n_unreadable"], len(found["unreadable"])) == (213, 3, 3)


def test_nothing_readable_is_refused(trained: Trained, tmp_path: Path, cli) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text("path,label,patient_id\ngone.png,fine,p1\n")
    outcome = cli("evaluate", trained.bundle.path, labels, "--out", tmp_path / "out")
    assert outcome.status == 2
    assert "none of its 1 images can be read" in outcome.err
    assert not (tmp_path / "out").exists()


def test_an_output_that_exists_is_untouched(trained: Trained, tmp_path: Path, cli) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("x")
    outcome = cli("evaluate", trained.bundle.path, trained.labels, "--out", out)
    assert outcome.status == 2
    assert f"{out} exists already" in outcome.err
    assert [path.name for path in out.iterdir()] == ["mine.txt"]


class TestTheTrainingOfTheBundle:
    @pytest.fixture
    def other(self, trained: Trained, tmp_path: Path) -> Path:
        """A training with the same classes, which is not the bundle's."""
        path = tmp_path / "run"
        shutil.copytree(trained.run.path, path)
        record = json.loads((path / "run.json").read_text())
        record["settings"]["seed"] = 9
        (path / "run.json").write_text(json.dumps(record))
        return path

    def test_another_one_is_refused(self, trained: Trained, other: Path, tmp_path: Path, cli) -> None:
        arguments = [trained.bundle.path, trained.labels, "--out", tmp_path / "out", "--run", other]
        outcome = cli("evaluate", *arguments)
        assert outcome.status == 2
        assert f"{other} is not the training that {trained.bundle.path} was made from" in outcome.err
        assert not (tmp_path / "out").exists()

    def test_a_missing_one_is_refused_before_the_frames_are_read(self, trained: Trained, tmp_path: Path, cli) -> None:
        arguments = [trained.bundle.path, trained.labels, "--out", tmp_path / "out", "--run", tmp_path / "gone"]
        outcome = cli("evaluate", *arguments)
        assert outcome.status == 2
        assert "gone does not exist" in outcome.err

    def test_a_calibrated_bundle_is_still_of_that_training(self, trained: Trained, tmp_path: Path, cli) -> None:
        bundle = Path(shutil.copytree(trained.bundle.path, tmp_path / "c.cns"))
        assert cli("calibrate", bundle, trained.labels).status == 0
        outcome = cli(
            "evaluate", bundle, trained.labels, "--out", tmp_path / "out", "--run", trained.run.path, "--json"
        )
        assert outcome.status == 0
        metrics = outcome.json
        assert metrics["calibrated"] is True
        assert metrics["agreement"] > 0.9
        assert metrics["calibration_record"]["patients"]["calibrate"] == PATIENTS["calibrate"]
        assert metrics["heatmaps"]["agreement"]["signed"]["value"] > 0.5

    def test_what_calibration_adds_is_measured_on_unseen_patients(self, trained: Trained, tmp_path: Path, cli) -> None:
        bundle = Path(shutil.copytree(trained.bundle.path, tmp_path / "c.cns"))
        assert cli("calibrate", bundle, trained.labels).status == 0
        metrics = cli("evaluate", bundle, trained.labels, "--out", tmp_path / "out", "--json").json
        rows = 3 * PATIENTS["test"]
        states = metrics["states"]
        assert [states[name]["n"] for name in ("class", "indeterminate", "not_supported_view")] == [rows] * 3
        assert sum(states[name]["value"] for name in ("class", "indeterminate", "not_supported_view")) == 1
        assert metrics["conformal"]["overall"]["n"] == rows
        assert metrics["novelty"]["flagged"]["value"] == states["not_supported_view"]["value"]
        assert metrics["exams"]["n"] == PATIENTS["test"]
        assert metrics["before_calibration"]["log_loss"] != metrics["frame"]["log_loss"]
        assert metrics["patient"]["decisions"]["n"] == metrics["n_cases"]
        html = (tmp_path / "out" / "report.html").read_text()
        assert "not a supported view" in html.lower()


def test_require_proof(tiny_bundle: Path, trained: Trained, tmp_path: Path, cli) -> None:
    outcome = cli("evaluate", tiny_bundle, trained.labels, "--out", tmp_path / "out", "--require-proof")
    assert outcome.status == 2
    assert "--require-proof asks for a proof" in outcome.err
