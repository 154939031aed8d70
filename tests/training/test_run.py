"""The folder of a training: whom it lets in, and what it keeps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_cns.errors import BadInputError
from edge_cns.training.augment import Augmentation
from edge_cns.training.run import (
    Checkpoint,
    Settings,
    check_run,
    finish_run,
    open_run,
    read_checkpoint,
    read_run,
    write_checkpoint,
)
from tests.trained import Trained

LABELS = Path("labels.csv")


def test_the_same_request_goes_on(tmp_path: Path) -> None:
    open_run(tmp_path / "run", Settings(), LABELS, "ab", weights_sha256="cd")
    check_run(tmp_path / "run", Settings(), LABELS, "ab")
    open_run(tmp_path / "run", Settings(), LABELS, "ab", weights_sha256="cd")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["settings.json"]


@pytest.mark.parametrize(
    ("settings", "labels", "digest", "difference"),
    [
        (Settings(epochs=3), LABELS, "ab", f"epochs {Settings().epochs} there, 3 now"),
        (Settings(alpha=0.5, seed=4), LABELS, "ab", "alpha 1.0 there, 0.5 now; seed 0 there, 4 now"),
        (Settings(augmentation=Augmentation(aspect=1.0)), LABELS, "ab", "augmentation "),
        (Settings(region="whole"), LABELS, "ab", "region auto there, whole now"),
        (Settings(), Path("other.csv"), "ab", "other.csv now"),
        (Settings(), LABELS, "xy", "labels.csv has changed"),
    ],
)
def test_another_request_is_told_what_differs(tmp_path: Path, settings, labels, digest, difference) -> None:
    open_run(tmp_path / "run", Settings(), LABELS, "ab")
    before = (tmp_path / "run" / "settings.json").read_bytes()
    for refuse in (check_run, open_run):
        with pytest.raises(BadInputError) as caught:
            refuse(tmp_path / "run", settings, labels, digest)
        assert difference in str(caught.value)
        assert "repeat the same command to go on, or choose another --out" in str(caught.value)
        assert "\n" not in str(caught.value)
    assert (tmp_path / "run" / "settings.json").read_bytes() == before


def test_another_weights_file_is_refused(tmp_path: Path) -> None:
    """Frozen layers are not in the checkpoint: they come from the file again."""
    open_run(tmp_path / "run", Settings(), LABELS, "ab", weights_sha256="1234567890abcdef")
    with pytest.raises(BadInputError, match="weights file 1234567890ab there, fedcba098765 now"):
        open_run(tmp_path / "run", Settings(), LABELS, "ab", weights_sha256="fedcba0987654321")


def test_a_finished_training_is_left_alone(tmp_path: Path) -> None:
    open_run(tmp_path, Settings(), LABELS, "ab")
    finish_run(tmp_path, {"done": True})
    with pytest.raises(BadInputError, match="holds a finished training"):
        check_run(tmp_path, Settings(), LABELS, "ab")


@pytest.mark.parametrize(
    "make", [lambda p: p.write_text("x"), lambda p: (p.mkdir(), (p / "notes.txt").write_text("x"))]
)
def test_something_else_is_left_alone(tmp_path: Path, make) -> None:
    make(tmp_path / "out")
    with pytest.raises(BadInputError, match="exists and is no training"):
        check_run(tmp_path / "out", Settings(), LABELS, "ab")


def test_an_empty_folder_will_do(tmp_path: Path) -> None:
    open_run(tmp_path, Settings(), LABELS, "ab")


@pytest.mark.parametrize("content", ["[]", '{"settings": 3}', "{}"])
def test_damaged_settings(tmp_path: Path, content: str) -> None:
    (tmp_path / "settings.json").write_text(content)
    with pytest.raises(BadInputError, match=r"damaged settings\.json"):
        check_run(tmp_path, Settings(), LABELS, "ab")


def test_checkpoint_round_trip(tmp_path: Path) -> None:
    assert read_checkpoint(tmp_path) is None
    arrays = {"weights/0": np.float32([[1, 2]]), "optimizer/0": np.int64(7)}
    history = [{"epoch": 1, "loss": 0.5, "stop_loss": 0.25, "stop_accuracy": 1.0}]
    write_checkpoint(tmp_path, Checkpoint(1, history, arrays))
    found = read_checkpoint(tmp_path)
    assert found is not None
    assert (found.epoch, found.history) == (1, history)
    assert found.arrays.keys() == arrays.keys()
    np.testing.assert_array_equal(found.arrays["weights/0"], arrays["weights/0"])
    assert found.arrays["optimizer/0"].dtype == np.int64
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.npz"]


@pytest.mark.parametrize("damage", [lambda c: b"", lambda c: c[:-40], lambda c: c.replace(b"epoch", b"apoch")])
def test_damaged_checkpoint(tmp_path: Path, damage) -> None:
    write_checkpoint(tmp_path, Checkpoint(1, [], {"weights/0": np.zeros(50, np.float32)}))
    path = tmp_path / "checkpoint.npz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(BadInputError, match=r"checkpoint\.npz is damaged .* remove it to start again"):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"epochs": 0}, "epochs is 0"), ({"seed": -1}, "seed is -1"), ({"seed": 2**31}, "seed is 2147483648")],
)
def test_impossible_settings(change: dict, message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        replace(Settings(), **change)


def test_run_json_reads_back_as_it_is(trained: Trained) -> None:
    """Reading it must not change it: conversion copies parts of it into the bundle."""
    import json

    found = read_run(trained.run.path)
    assert found.record == json.loads((trained.run.path / "run.json").read_text())
    assert json.dumps(found.record) == json.dumps(json.loads((trained.run.path / "run.json").read_text()))
    assert found.settings.augmentation.zoom == (0.95, 1.05)
