"""A whole cross-validation on images: what it leaves, how it goes on, what it refuses."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs the evaluate extra")
pytest.importorskip("matplotlib", reason="needs the evaluate extra")
from edge_cns.data.manifest import read_manifest
from edge_cns.errors import BadInputError
from edge_cns.evaluation.prediction_file import read_predictions
from edge_cns.training.cross_validation import run as module
from edge_cns.training.cross_validation.pool import open_pool
from edge_cns.training.cross_validation.run import cross_validate
from edge_cns.training.cross_validation.settings import CrossValidationSettings
from tests.training.cross_validation.made_set import made_features, without_pictures, write_images


def cross(labels: Path, out: Path, *, pictures: bool = False, **settings) -> dict:
    quick = nullcontext() if pictures else without_pictures()
    with pytest.MonkeyPatch.context() as patch, open_pool(1) as pool, quick:
        patch.setattr(module, "frozen_features", made_features)
        return cross_validate(read_manifest(labels), out, CrossValidationSettings(weights="none", **settings), pool)


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("images") / "set")


@pytest.fixture(scope="module")
def finished(labels: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A nested leave-one-patient-out."""
    out = tmp_path_factory.mktemp("crossed") / "out"
    cross(labels, out, pictures=True)
    return out


@pytest.fixture
def changed(labels: Path, tmp_path: Path):
    """Write a labels.csv beside other images: the module's, with text replaced."""

    def change(old: str, new: str, count: int = -1) -> Path:
        text = labels.read_text()
        assert old in text
        file = tmp_path / "labels.csv"
        file.write_text(text.replace(old, new, count).replace("\np", f"\n{labels.parent}/p"))
        return file

    return change


class TestWhatIsLeft:
    def test_files(self, finished: Path) -> None:
        names = {path.name for path in finished.iterdir()}
        assert {"settings.json", "metrics.json", "predictions.csv", "report.html", "roc.png"} <= names
        assert "journal" not in names

    def test_metrics_have_evaluates_schema_and_say_how_they_came_about(self, finished: Path, labels: Path) -> None:
        metrics = json.loads((finished / "metrics.json").read_text())
        assert metrics["schema_version"] == 1
        assert metrics["sets"] == {"unseen": 48}
        assert metrics["by_set"]["seen"] is None
        assert metrics["frame"]["auroc_macro"] > 0.8
        assert metrics["negative"] == "normal"
        assert metrics["labels_sha256"] == read_manifest(labels).sha256
        assert metrics["patient"]["decisions"]["target_sensitivity"] == 0.95
        block = metrics["cross_validation"]
        assert block["folds"] == 24
        assert block["inner_groups"] == 5
        assert block["settings"]["scheme"] == "leave-one-patient-out"
        assert block["resumed"] is False
        assert sum(block["chosen"]["inverse_penalty"].values()) == 24
        assert sum(block["chosen"]["rule"].values()) == 24
        assert set(block["chosen"]["thresholds"]) == {"coarse", "fine", "normal"}

    def test_predictions_name_the_fold_of_every_frame(self, finished: Path) -> None:
        metrics = json.loads((finished / "metrics.json").read_text())
        predictions = read_predictions(finished / "predictions.csv", sha256=metrics["predictions"]["sha256"])
        assert (predictions.predicted == predictions.labels).mean() == pytest.approx(metrics["frame"]["accuracy"])
        with (finished / "predictions.csv").open() as file:
            assert all(row["fold"] == row["patient_id"] for row in csv.DictReader(file))

    def test_the_report_has_a_section_on_it(self, finished: Path) -> None:
        html = (finished / "report.html").read_text()
        assert 'id="cross-validation"' in html
        assert "leave-one-patient-out" in html


def test_without_choices_nothing_is_decided(labels: Path, tmp_path: Path) -> None:
    metrics = cross(labels, tmp_path / "out", nested=False)
    assert metrics["calibrated"] is False
    assert "decisions" not in metrics["patient"]
    assert metrics["cross_validation"]["inverse_penalty"] == 0.01
    assert "chosen" not in metrics["cross_validation"]


@pytest.mark.parametrize(("scheme", "folds"), [("grouped-k-fold", 3), ("leave-one-site-out", 2)])
def test_other_schemes(labels: Path, tmp_path: Path, scheme: str, folds: int) -> None:
    metrics = cross(labels, tmp_path / "out", scheme=scheme, folds=3)
    assert metrics["cross_validation"]["folds"] == folds
    assert metrics["frame"]["auroc_macro"] > 0.8


def test_rows_kept_for_testing_teach_as_well(labels: Path, changed, tmp_path: Path) -> None:
    kept = changed("patient_id,site\n", "patient_id,site,split\n")
    lines = kept.read_text().splitlines()
    splits = ["test" if "p00" in line else "" for line in lines[1:]]
    kept.write_text("\n".join([lines[0], *(f"{line},{split}" for line, split in zip(lines[1:], splits, strict=True))]))
    with_split, without = cross(kept, tmp_path / "a"), cross(labels, tmp_path / "b")
    assert with_split["cross_validation"]["split_column"] == "not looked at: every patient is tested once"
    assert with_split["frame"] == without["frame"]


def test_frames_without_the_sign_are_measured_apart(changed, tmp_path: Path) -> None:
    hidden = changed("site\n", "site,evidence\n")
    lines = hidden.read_text().splitlines()
    hidden.write_text("\n".join([lines[0], *(f"{line},{'false' if '-1.png' in line else ''}" for line in lines[1:])]))
    metrics = cross(hidden, tmp_path / "out")
    assert metrics["cross_validation"]["rows_that_teach_nothing"] == 24
    assert (metrics["n_frames"], metrics["evident"]["n_frames"]) == (48, 24)


def test_patients_with_the_same_pixels_are_tested_together(labels: Path, tmp_path: Path) -> None:
    twin = tmp_path / "set"
    shutil.copytree(labels.parent, twin)
    shutil.copy(twin / "p000-0.png", twin / "p003-1.png")  # both coarse
    metrics = cross(twin / "labels.csv", tmp_path / "out")
    assert metrics["cross_validation"]["patients_tested_together"] == [["p000", "p003"]]
    assert metrics["cross_validation"]["folds"] == 23


class TestRefusals:
    @pytest.mark.parametrize(
        ("old", "new", "message"),
        [
            (",fine,", ",coarse,", None),
            ("p003-0.png", "gone.png", "gone.png does not exist"),
        ],
    )
    def test_data(self, changed, tmp_path: Path, old: str, new: str, message: str | None) -> None:
        if message is None:  # two classes are enough, one is not
            labels = changed(old, new)
            labels.write_text(labels.read_text().replace(",normal,", ",coarse,"))
            message = "there is only the class 'coarse'"
        else:
            labels = changed(old, new)
        with pytest.raises(BadInputError, match=message):
            cross(labels, tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_the_same_pixels_with_two_labels(self, labels: Path, tmp_path: Path) -> None:
        twin = tmp_path / "set"
        shutil.copytree(labels.parent, twin)
        shutil.copy(twin / "p000-0.png", twin / "p001-0.png")
        with pytest.raises(BadInputError, match="same pixels and different labels"):
            cross(twin / "labels.csv", tmp_path / "out")

    def test_too_few_patients_for_a_training_are_enough_here(self, changed, tmp_path: Path) -> None:
        """A training needs four patients of a class, a cross-validation two."""
        labels = changed("site\n", "site\n")
        kept = [line for line in labels.read_text().splitlines() if ",fine," not in line or re.search("p00[14]-", line)]
        labels.write_text("\n".join(kept) + "\n")
        assert cross(labels, tmp_path / "out")["n_patients"] == 18


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is sent to a process")
def test_a_killed_one_goes_on_and_ends_as_if_nothing_had_been(tmp_path: Path) -> None:
    labels = write_images(tmp_path / "set", patients=40, frames=1)
    program = [sys.executable, "-W", "ignore", "-m", "tests.training.cross_validation.made_set"]
    out, journal = tmp_path / "out", tmp_path / "out" / "journal"
    command = [*program, "cross-validate", labels, "--weights", "none", "--out", out, "--jobs"]
    root = Path(__file__).parents[3]
    with subprocess.Popen([*command, "2"], stderr=subprocess.PIPE, cwd=root, start_new_session=True) as process:
        while not list(journal.glob("inner-*")) and process.poll() is None:
            time.sleep(0.005)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert not (out / "metrics.json").exists()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and _alive(process.pid):
        time.sleep(0.1)
    assert not _alive(process.pid)  # no worker outlives its parent
    done = {path.name: path.stat().st_mtime_ns for path in journal.iterdir()}

    again = subprocess.Popen([*command, "1"], cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    _, err = again.communicate()
    assert again.returncode == 0, err
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["cross_validation"]["resumed"] is True
    assert done
    assert not journal.exists()
    whole = cross(labels, tmp_path / "whole")
    assert (out / "predictions.csv").read_bytes() == (tmp_path / "whole" / "predictions.csv").read_bytes()
    assert metrics["frame"] == whole["frame"]


def _alive(group: int) -> bool:
    """Whether a process of the session that was started is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_labels_that_say_nothing_give_chance(labels: Path, tmp_path: Path) -> None:
    lines = labels.read_text().splitlines()
    rng = np.random.default_rng(5)
    names = [line.split(",")[1] for line in lines[1::2]]
    turned = [lines[0]]
    for i, name in enumerate(rng.permutation(names)):
        turned += [
            ",".join([*line.split(",")[:1], name, *line.split(",")[2:]]) for line in lines[1 + 2 * i : 3 + 2 * i]
        ]
    copy = tmp_path / "labels.csv"
    copy.write_text("\n".join(turned).replace("\np", f"\n{labels.parent}/p") + "\n")
    frame = cross(copy, tmp_path / "out")["frame"]
    assert frame["auroc_macro_interval"][0] < 0.5 < frame["auroc_macro_interval"][1]
    assert frame["balanced_accuracy_interval"][0] < 1 / 3 < frame["balanced_accuracy_interval"][1]
