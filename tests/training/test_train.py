"""Whole trainings: what they leave, how they go on, and what they refuse."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the train extra")
import edge_cns.training.finetune as finetune_module
import edge_cns.training.train as module
from edge_cns.contract import Decision
from edge_cns.data.manifest import Manifest, read_manifest
from edge_cns.data.splits import draw_sets
from edge_cns.errors import BadInputError
from edge_cns.progress import silent
from edge_cns.training.backbones import build
from edge_cns.training.dataset import LabelledImages
from edge_cns.training.keras import keras
from edge_cns.training.model import read_classifier
from edge_cns.training.run import Settings, open_run, read_run
from edge_cns.training.train import train
from tests.trained import CLASSES, PATIENTS, SETTINGS, Trained, small_network, write_set


class TestWhatIsLeft:
    def test_files(self, trained: Trained) -> None:
        names = {path.name for path in trained.run.path.iterdir()}
        assert names == {"settings.json", "model.keras", "run.json", "curves.png"}  # the checkpoint has gone
        picture = cv2.imread(str(trained.run.path / "curves.png"))
        assert picture.shape[1] > 800

    def test_run_json_has_all_that_produced_it(self, trained: Trained) -> None:
        record = trained.run.record
        assert record["settings"] == json.loads(json.dumps(asdict(SETTINGS)))
        assert record["labels"] == str(trained.labels.resolve())
        assert record["labels_sha256"] == read_manifest(trained.labels).sha256
        assert record["weights"] is None
        assert record["frames"] == {name: 3 * PATIENTS[name] for name in ("fit", "stop", "calibrate", "gate")}
        assert record["sets"] == draw_sets(read_manifest(trained.labels).rows, seed=0)
        assert record["shortcut_warnings"] == []
        assert record["versions"].keys() >= {"edge-cns", "tensorflow", "tf-keras", "scikit-learn", "numpy"}
        assert [row["epoch"] for row in record["history"]] == list(range(1, len(record["history"]) + 1))
        assert [c["name"] for c in record["contract"]["classes"]] == list(CLASSES)
        assert Decision(**record["contract"]["decision"]) == Decision()

    def test_it_learned(self, trained: Trained) -> None:
        assert max(row["stop_accuracy"] for row in trained.run.record["history"]) > 0.9

    def test_batch_normalisation_is_as_it_started(self, trained: Trained) -> None:
        keras.utils.set_random_seed(SETTINGS.seed)
        with small_network():
            start = build.build("mobilenet_v2", alpha=1.0, image_size=64, weights=None)
        model = read_classifier(trained.run.model)
        norms = [layer.name for layer in start.layers if isinstance(layer, keras.layers.BatchNormalization)]
        assert len(norms) == 16
        for name in norms:
            for old, new in zip(start.get_layer(name).get_weights(), model.get_layer(name).get_weights(), strict=True):
                np.testing.assert_array_equal(old, new)
        assert np.abs(start.get_layer("Conv1").kernel - model.get_layer("Conv1").kernel).max() > 1e-4


def test_a_killed_training_goes_on_and_ends_as_if_nothing_had_been(trained: Trained, tmp_path: Path) -> None:
    out, tasks = tmp_path / "run", []

    def kill(task: str, done: int, total: int, note: str = "") -> None:
        if task.startswith("fine-tuning, epoch 3 of") and done == 2:
            raise KeyboardInterrupt

    manifest = read_manifest(trained.labels)
    with small_network():
        with pytest.raises(KeyboardInterrupt):
            train(manifest, out, SETTINGS, kill)
        assert {path.name for path in out.iterdir()} == {"settings.json", "checkpoint.npz"}
        record = train(manifest, out, SETTINGS, lambda task, *_: tasks.append(task))
    assert "fitting the head on frozen features" not in tasks
    assert next(task for task in tasks if task.startswith("fine-tuning")) == "fine-tuning, epoch 3 of 12"
    for one, other in zip(trained.run.record["history"], record["history"], strict=True):
        assert other == pytest.approx(one, rel=0.02, abs=1e-3)
    whole, resumed = (read_classifier(path / "model.keras").get_weights() for path in (trained.run.path, out))
    for one, other in zip(whole, resumed, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-3)


class TestFramesThatDoNotFitInMemory:
    """With nothing held in memory, a training takes the same steps, also when it is interrupted."""

    SHORT = replace(SETTINGS, epochs=2)

    def test_same_history_and_nothing_left_behind(self, trained: Trained, tmp_path: Path) -> None:
        manifest, seen = read_manifest(trained.labels), []

        def interrupt(task: str, done: int, total: int, note: str = "") -> None:
            if task.startswith("fine-tuning, epoch 2 of"):
                raise KeyboardInterrupt

        def watch(task: str, done: int, total: int, note: str = "") -> None:
            if task.startswith("fine-tuning"):
                seen.append(sorted(path.suffix for path in (tmp_path / "disk" / "frames").iterdir()))

        with small_network():
            expected = train(manifest, tmp_path / "memory", self.SHORT)["history"]
            with pytest.raises(KeyboardInterrupt):
                train(manifest, tmp_path / "disk", self.SHORT, interrupt, memory_bytes=0)
            assert (tmp_path / "disk" / "frames").exists(), "what is prepared is there when it goes on"
            history = train(manifest, tmp_path / "disk", self.SHORT, watch, memory_bytes=0)["history"]
        for one, other in zip(expected, history, strict=True):
            assert other == pytest.approx(one, rel=1e-4)
        assert seen[0] == [".part", ".part"]  # fit and stop
        names = {path.name for path in (tmp_path / "disk").iterdir()}
        assert names == {"settings.json", "model.keras", "run.json", "curves.png"}

    def test_the_head_is_fitted_on_some_frames_of_each_class_in_turn(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import edge_cns.training.head as head_module
        import edge_cns.training.model as model_module

        labels = np.array([0] * 30 + [1] * 4 + [2] * 30)
        fit = LabelledImages(np.arange(64, dtype=np.uint8).reshape(64, 1, 1), labels)
        given: dict[str, list[int]] = {}

        def fit_head(features: np.ndarray, labels: np.ndarray, classes: int) -> list[np.ndarray]:
            given.update(frames=features[:, 0].tolist(), labels=labels.tolist())
            return []

        monkeypatch.setattr(head_module, "fit_head", fit_head)
        monkeypatch.setattr(model_module, "embeddings", lambda model, images: images.reshape(-1, 1))
        monkeypatch.setattr(module, "_HEAD_FRAMES", 14)
        monkeypatch.setattr(module, "_HEAD_PART", 5)
        model = SimpleNamespace(get_layer=lambda name: SimpleNamespace(set_weights=lambda weights: None))
        module._fit_head(model, fit, 3, silent)
        assert given == {"frames": [*range(5), *range(30, 34), *range(34, 39)], "labels": [0] * 5 + [1] * 4 + [2] * 5}
        monkeypatch.setattr(module, "_HEAD_FRAMES", 64)
        module._fit_head(model, fit, 3, silent)
        assert given == {"frames": list(range(64)), "labels": labels.tolist()}


class TestWhatTheContractSays:
    def rows(self, tmp_path: Path, *modalities: str) -> Manifest:
        lines = ["path,label,patient_id,modality"]
        lines += [f"{i}.png,{'ab'[i % 2]},p{i},{modality}" for i, modality in enumerate(modalities)]
        (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
        return read_manifest(tmp_path / "labels.csv")

    @pytest.mark.parametrize(
        ("modalities", "modes", "what"),
        [
            (("", ""), ("B",), "ultrasound frames"),
            (("US", "us"), ("B",), "ultrasound frames"),
            (("CT", "ct"), ("CT",), "CT images"),
            (("MR", ""), ("MR", "B"), "MR and US images"),
        ],
    )
    def test_modality(self, tmp_path: Path, modalities, modes, what: str) -> None:
        use = module._contract(self.rows(tmp_path, *modalities), Settings()).intended_use
        assert use.modes == modes
        assert use.statement == f"Research use only. Not a medical device. Sorts {what} into the listed classes."

    def test_region(self, tmp_path: Path) -> None:
        manifest = self.rows(tmp_path, "", "")
        assert module._contract(manifest, Settings()).input.region == "auto"
        assert module._contract(manifest, Settings(region="whole")).input.region == "whole"


def test_a_full_disk_while_the_model_is_saved_leaves_no_half_of_it(
    trained: Trained, tmp_path: Path, monkeypatch
) -> None:
    def full(self, path: Path, **_: object) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(finetune_module, "finetune", lambda *_, **__: [])
    monkeypatch.setattr(keras.Model, "save", full)
    with small_network(), pytest.raises(OSError, match="No space left"):
        train(read_manifest(trained.labels), tmp_path / "run", SETTINGS)
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"settings.json"}


class TestRowsKeptForTesting:
    """Rows of ``split`` = ``test``: nothing is learned from them, but the check looks at their images."""

    @pytest.fixture
    def read(self, trained: Trained, tmp_path: Path, monkeypatch) -> list[str]:
        """Patients whose frames the training itself reads."""
        patients: list[str] = []
        stream = module.stream_images

        def spy(rows, *arguments, **settings):
            patients.extend(row.patient_id for row in rows)
            return stream(rows, *arguments, **settings)

        def stop(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(module, "stream_images", spy)
        monkeypatch.setattr(finetune_module, "finetune", stop)
        with small_network(), pytest.raises(KeyboardInterrupt):
            train(read_manifest(trained.labels), tmp_path / "run", SETTINGS)
        return patients

    def test_the_training_reads_fit_and_stop_patients_only(self, trained: Trained, read: list[str]) -> None:
        splits = {row.patient_id: row.split for row in read_manifest(trained.labels).rows}
        assert {splits[patient] for patient in read} == {"fit", "stop"}
        assert len(set(read)) == PATIENTS["fit"] + PATIENTS["stop"]

    def test_a_test_image_that_is_gone_is_refused_as_data_check_does(self, tmp_path: Path, cli) -> None:
        labels = write_set(tmp_path / "set", frames=1)
        test_row = next(row for row in read_manifest(labels).rows if row.split == "test")
        test_row.path.unlink()
        checked = cli("data", "check", labels)
        trained = cli("train", labels, "--out", tmp_path / "run", "--weights", "none")
        assert checked.status == trained.status == 2
        assert trained.err.count("\n") == 1
        assert f"{test_row.path.name} does not exist" in trained.err
        assert not (tmp_path / "run").exists()

    def test_a_test_frame_that_is_also_a_training_frame_is_refused(self, tmp_path: Path, cli) -> None:
        labels = write_set(tmp_path / "set", frames=1)
        rows = read_manifest(labels).rows
        test_row = next(row for row in rows if row.split == "test")
        twin = next(row for row in rows if row.split == "fit" and row.label == test_row.label)
        shutil.copy(twin.path, test_row.path)
        outcome = cli("train", labels, "--out", tmp_path / "run", "--weights", "none")
        assert outcome.status == 2
        assert "same pixels in two splits" in outcome.err


class TestRefusals:
    """One line, exit 2, nothing written."""

    def refused(self, outcome) -> str:
        assert outcome.status == 2
        assert outcome.out == ""
        assert outcome.err.count("\n") == 1
        assert outcome.err.startswith("error: ")
        return outcome.err

    def test_a_finished_training(self, trained: Trained, cli) -> None:
        before = {path.name: path.stat().st_mtime_ns for path in trained.run.path.iterdir()}
        message = self.refused(cli("train", trained.labels, "--out", trained.run.path))
        assert "holds a finished training; choose another --out, or convert it" in message
        assert {path.name: path.stat().st_mtime_ns for path in trained.run.path.iterdir()} == before

    def test_other_settings_on_an_unfinished_one(self, trained: Trained, tmp_path: Path, cli) -> None:
        manifest = read_manifest(trained.labels)
        open_run(tmp_path / "run", Settings(), manifest.path, manifest.sha256)
        message = self.refused(cli("train", trained.labels, "--out", tmp_path / "run", "--epochs", 3, "--seed", 5))
        assert f"other settings (epochs {Settings().epochs} there, 3 now; seed 0 there, 5 now)" in message

    def test_labels_have_changed_under_an_unfinished_one(self, trained: Trained, tmp_path: Path, cli) -> None:
        labels = tmp_path / "labels.csv"
        text = trained.labels.read_text().replace("\np", f"\n{trained.labels.parent}/p")
        labels.write_text(text)
        open_run(tmp_path / "run", Settings(weights="none"), labels, read_manifest(labels).sha256)
        labels.write_text(text.rsplit("\n", 2)[0] + "\n")  # one row less
        message = self.refused(cli("train", labels, "--out", tmp_path / "run", "--weights", "none"))
        assert "labels.csv has changed" in message

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--backbone", "resnet"], "there is no backbone 'resnet'"),
            (["--alpha", "0.3"], "has no width alpha=0.3"),
            (["--image-size", "100"], "image size 100 px cannot be used"),
            (["--epochs", "0"], "epochs is 0"),
            (["--seed", "-1"], "seed is -1"),
            (["--seed", "4294967296"], "seed is 4294967296"),
            (["--weights", "gone.h5"], "weights gone.h5: does not exist"),
        ],
    )
    def test_impossible_options(self, trained: Trained, tmp_path: Path, cli, options, message: str) -> None:
        outcome = cli("train", trained.labels, "--out", tmp_path / "run", *options)
        assert message in self.refused(outcome)
        assert list(tmp_path.iterdir()) == []

    def test_options_are_judged_before_any_image_is_read(self, trained: Trained, tmp_path: Path, monkeypatch) -> None:
        monkeypatch.setattr(module, "check", lambda *_, **__: pytest.fail("the images were read first"))
        with pytest.raises(BadInputError, match="no backbone"):
            train(read_manifest(trained.labels), tmp_path / "run", Settings(backbone="resnet"))

    def test_a_place_that_cannot_be_written(self, trained: Trained, tmp_path: Path, cli) -> None:
        (tmp_path / "file").write_text("x")
        outcome = cli("train", trained.labels, "--out", tmp_path / "file" / "run", "--weights", "none")
        assert "Not a directory" in self.refused(outcome)


@pytest.mark.skipif(os.name != "posix", reason="SIGINT is sent to a process")
def test_ctrl_c_exits_130_and_the_same_command_finishes(tmp_path: Path) -> None:
    labels = write_set(tmp_path / "set", frames=6)
    run = tmp_path / "run"
    # Many epochs, so that it is not done before the signal comes on a machine that has other work.
    options = ["--backbone", "mobilenet_v1", "--alpha", "0.25", "--image-size", "32", "--epochs", "40"]
    command = [sys.executable, "-m", "edge_cns", "train", labels, "--out", run, "--weights", "none", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while not (run / "checkpoint.npz").exists() and process.poll() is None:
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert process.returncode == 130, err
    lines = [line for line in err.splitlines() if not line.startswith("fine-tuning")]  # progress of a slow machine
    assert lines[-1] == f"interrupted; the same command goes on from the last whole epoch in {run}"
    assert "Traceback" not in err
    assert out == ""
    assert {path.name for path in run.iterdir()} == {"settings.json", "checkpoint.npz"}

    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert again.stdout.startswith(f"{run}: mobilenet_v1 from random numbers, kept epoch ")
    assert 7 <= len(read_run(run).record["history"]) <= 40  # six epochs below the best may end it
    assert not (run / "checkpoint.npz").exists()
