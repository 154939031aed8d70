"""``edge-cns cross-validate``: what it prints, and what it refuses in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("sklearn", reason="needs the evaluate extra")
from edge_cns.training.cross_validation import run as module
from tests.training.cross_validation.made_set import made_features, without_pictures, write_images


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("images") / "set")


@pytest.fixture
def cross(cli, monkeypatch):
    """The command with features drawn from the pixels."""
    monkeypatch.setattr(module, "frozen_features", made_features)

    def call(*arguments: object):
        with without_pictures():
            return cli("cross-validate", *arguments, "--weights", "none", "--jobs", 1)

    return call


def refused(outcome) -> str:
    assert outcome.status == 2
    assert outcome.out == ""
    (line,) = outcome.err.splitlines()
    assert line.startswith("error: ")
    return line


def test_text(cross, labels: Path, tmp_path: Path) -> None:
    outcome = cross(labels, "--out", tmp_path / "out")
    assert outcome.status == 0
    lines = outcome.out.splitlines()
    assert lines[0].startswith("leave-one-patient-out, 24 folds: 48 frames of 24 patients, nested, ")
    assert "macro AUROC" in lines[1]
    assert " to " in lines[1]
    assert "temperature" in lines[3]
    assert lines[-1] == str(tmp_path / "out" / "report.html")


def test_json_is_what_the_file_has(cross, labels: Path, tmp_path: Path) -> None:
    options = ["--scheme", "grouped-k-fold", "--folds", 4, "--no-nested", "--seed", 3, "--json"]
    outcome = cross(labels, "--out", tmp_path / "out", *options)
    assert outcome.status == 0
    assert outcome.json == json.loads((tmp_path / "out" / "metrics.json").read_text())
    settings = outcome.json["cross_validation"]["settings"]
    assert (settings["scheme"], settings["folds"], settings["nested"], settings["seed"]) == (
        "grouped-k-fold",
        4,
        False,
        3,
    )


def test_phantom_frames_are_said_to_be(cross, tmp_path: Path) -> None:
    labels = write_images(tmp_path / "set", columns=",reference_standard", value=",phantom")
    outcome = cross(labels, "--out", tmp_path / "out", "--no-nested")
    assert outcome.out.startswith("PHANTOM DATA: no figure here is a clinical one\n")


def test_an_interruption_says_how_to_go_on(cross, labels: Path, tmp_path: Path, monkeypatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "fit_groups", stop)
    outcome = cross(labels, "--out", tmp_path / "out")
    assert outcome.status == 130
    assert outcome.err.splitlines()[-1] == f"interrupted; the same command goes on from what {tmp_path / 'out'} has"
    monkeypatch.undo()
    monkeypatch.setattr(module, "frozen_features", made_features)
    assert "seed 0 there, 1 now" in refused(cross(labels, "--out", tmp_path / "out", "--seed", 1))
    assert cross(labels, "--out", tmp_path / "out").status == 0
    assert "holds a finished evaluation" in refused(cross(labels, "--out", tmp_path / "out"))


class TestRefusals:
    """One line, exit 2, nothing written."""

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--finetune"], "leave-one-patient-out has a fold for every patient"),
            (
                ["--scheme", "grouped-k-fold", "--folds", "1"],
                "--folds is 1; give 2 to the number of independent patients",
            ),
            (["--scheme", "leave-one-out"], "Invalid value for '--scheme'"),
            (["--jobs", "0"], "--jobs is 0"),
            (["--backbone", "resnet"], "there is no backbone 'resnet'"),
            (["--negative", "healthy"], "--negative 'healthy' is not a class"),
            (["--target-sensitivity", "1.5"], "target sensitivity is 1.5"),
            (["--weights", "gone.h5"], "weights gone.h5: does not exist"),
        ],
    )
    def test_options(self, cli, labels: Path, tmp_path: Path, options: list[str], message: str) -> None:
        given = ["--weights", "none", "--jobs", 1, *options]
        assert message in refused(cli("cross-validate", labels, "--out", tmp_path / "out", *given))
        assert not (tmp_path / "out").exists()

    def test_a_scheduler_that_is_not_there(self, cli, labels: Path, tmp_path: Path, monkeypatch) -> None:
        pytest.importorskip("distributed", reason="needs the cluster extra")
        monkeypatch.setattr("edge_cns.training.cross_validation.pool.CONNECT_SECONDS", 1)
        address = "tcp://127.0.0.1:9"
        outcome = cli("cross-validate", labels, "--out", tmp_path / "out", "--weights", "none", "--dask", address)
        assert f"the Dask scheduler at {address} cannot be reached" in refused(outcome)
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize(
        ("rows", "message"),
        [
            (["x.png,a,1", "y.png,a,2"], "there is only the class 'a'"),
            (["x.png,a,1", "y.png,a,2", "z.png,b,3"], "class 'b' has 1 patient to learn from"),
            (["x.png,a,1", "y.png,b,2", "z.png,a,3", "w.png,b,4"], "x.png does not exist"),
        ],
    )
    def test_data(self, cross, tmp_path: Path, rows: list[str], message: str) -> None:
        labels = tmp_path / "labels.csv"
        labels.write_text("\n".join(["path,label,patient_id", *rows]) + "\n")
        assert message in refused(cross(labels, "--out", tmp_path / "out"))
        assert not (tmp_path / "out").exists()

    def test_no_site(self, cross, tmp_path: Path) -> None:
        labels = tmp_path / "labels.csv"
        labels.write_text("path,label,patient_id\nx.png,a,1\ny.png,a,2\nz.png,b,3\nw.png,b,4\n")
        message = refused(cross(labels, "--out", tmp_path / "out", "--scheme", "leave-one-site-out"))
        assert "line 2 has no site; leave-one-site-out needs the column 'site' filled in" in message

    def test_features_that_are_not_numbers(self, cross, labels: Path, tmp_path: Path, monkeypatch) -> None:
        def spoilt(paths, *_):
            features = made_features(paths, None)
            features.values[5, 3] = float("nan")
            return features

        monkeypatch.setattr(module, "frozen_features", spoilt)
        message = refused(cross(labels, "--out", tmp_path / "out"))
        assert "the features of frame 5 (of 48, from 0) are not all finite numbers" in message
        assert not (tmp_path / "out").exists()
