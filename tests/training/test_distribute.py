"""Two real worker processes on loopback: the loss curve of one, one writer, and one line when a worker dies."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the train extra")
from edge_cns.errors import BadInputError, OperationError, OperationTimeoutError
from edge_cns.progress import silent
from edge_cns.training.dataset import LabelledImages
from edge_cns.training.distribute import ALONE, Workers
from edge_cns.training.finetune import finetune
from edge_cns.training.keras import tf
from edge_cns.training.model import read_classifier
from edge_cns.training.run import Settings, read_checkpoint, read_run
from tests.trained import write_set

ROOT = Path(__file__).parents[2]
SETTINGS = Settings(weights="none", image_size=64, epochs=4, seed=3)
OPTIONS = ["--weights", "none", "--image-size", "64", "--epochs", "4", "--seed", "3"]


def start(labels: Path, *folders: Path) -> list[subprocess.Popen[str]]:
    """Start a worker for each folder; one alone is not distributed."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(closing(socket.create_server(("127.0.0.1", 0)))) for _ in folders]
        addresses = [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]
    processes = []
    for index, folder in enumerate(folders):
        config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        command = [sys.executable, "-m", "tests.training.train_small", str(labels), "--out", str(folder), *OPTIONS]
        command += ["--distribute"] if len(folders) > 1 else []
        environment = {"TF_CONFIG": json.dumps(config), "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT)}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        processes.append(subprocess.Popen(command, env=os.environ | environment, cwd=labels.parent, **pipes))
    return processes


def test_two_workers_take_the_steps_of_one_and_outlive_a_death(tmp_path: Path) -> None:
    labels = write_set(tmp_path / "set", frames=2)
    folders = [tmp_path / "chief", tmp_path / "other"]
    chief, other = start(labels, *folders)
    while not (folders[0] / "checkpoint.npz").exists() and chief.poll() is None:
        time.sleep(0.02)
    other.kill()
    (alone,) = start(labels, tmp_path / "alone")  # while the chief notices
    out, err = chief.communicate(timeout=120)
    other.communicate()
    assert (chief.returncode, out) == (2, ""), err
    lines = [line for line in err.splitlines() if not re.search(r": \d+/\d+, \d+ s", line)]  # a slow machine's progress
    assert lines == [
        "error: another worker has stopped; see the other workers' messages, then start all of them again: they go on "
        "from the last whole epoch"
    ]
    checkpoint = read_checkpoint(folders[0])
    assert checkpoint is not None
    assert 1 <= checkpoint.epoch < SETTINGS.epochs

    chief, other = start(labels, *folders)
    (out, err), (other_out, other_err), _ = (process.communicate(timeout=120) for process in (chief, other, alone))
    assert (chief.returncode, other.returncode, alone.returncode) == (0, 0, 0), err + other_err
    assert out.startswith(f"{folders[0]}: mobilenet_v2 from random numbers, kept epoch ")
    assert other_out == "worker 1 is done; the chief writes the training\n"
    assert not folders[1].exists(), "only the chief writes"
    assert {path.name for path in folders[0].iterdir()} == {"settings.json", "run.json", "model.keras", "curves.png"}

    expected, found = (read_run(folder) for folder in (tmp_path / "alone", folders[0]))
    assert (expected.record["workers"], found.record["workers"]) == (1, 2)
    losses = [row["loss"] for row in expected.record["history"]]
    assert np.ptp(losses) > 0.1, "a curve that does not move would show nothing"
    for one, two in zip(expected.record["history"], found.record["history"], strict=True):
        assert two["loss"] == pytest.approx(one["loss"], rel=1e-3)
        assert two["stop_loss"] == pytest.approx(one["stop_loss"], rel=1e-3)
    models = [read_classifier(run.model).get_weights() for run in (expected, found)]
    for one, two in zip(*models, strict=True):
        np.testing.assert_allclose(two, one, atol=1e-3)


def test_a_worker_that_never_comes_is_one_line(tmp_path: Path, cli, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = write_set(tmp_path / "set", frames=1)
    with closing(socket.create_server(("127.0.0.1", 0))) as one:
        address = f"127.0.0.1:{one.getsockname()[1]}"
    config = {"cluster": {"worker": [address, "127.0.0.1:9"]}, "task": {"type": "worker", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    command = ["train", labels, "--out", tmp_path / "run", "--weights", "none", "--distribute", "--wait", "1"]
    outcome = cli(*command)
    assert (outcome.status, outcome.out, outcome.err.count("\n")) == (2, "", 1)
    assert "worker 1 (127.0.0.1:9) did not appear within 1 s" in outcome.err
    assert not (tmp_path / "run").exists()
    monkeypatch.setenv("TF_CONFIG", "nonsense")
    outcome = cli(*command)
    assert (outcome.status, outcome.err.count("\n")) == (2, 1)
    assert "TF_CONFIG cannot be used (JSONDecodeError" in outcome.err
    monkeypatch.delenv("TF_CONFIG")
    assert "TF_CONFIG is not set; --distribute needs it" in cli(*command).err


def test_more_workers_than_frames() -> None:
    frames = LabelledImages(np.zeros((4, 32, 32), np.uint8), np.arange(4) % 2)
    model = type("Model", (), {"output": {"logits": tf.zeros((1, 2))}})
    with pytest.raises(BadInputError, match="5 workers share 4 frames; start fewer workers"):
        finetune(model, frames, frames, SETTINGS, path=Path(), progress=silent, workers=Workers(0, 5))


def test_one_process_is_its_own_chief() -> None:
    assert ALONE.chief
    assert ALONE.from_chief(b"abc") == b"abc"
    assert ALONE.share(7) == slice(0, 7)
    with ALONE.failures():
        pass


def test_one_local_replica_sums_and_hands_on() -> None:
    """The same calls through a strategy, as each worker makes them."""
    workers = Workers(0, 1, tf.distribute.OneDeviceStrategy("/cpu:0"))
    np.testing.assert_array_equal(workers.total(np.array([1.5, 2.0])), [1.5, 2.0])
    for content in (b"", b"x", bytes(range(256)) * 3 + b"odd"):
        assert workers.from_chief(content) == content


@pytest.mark.parametrize(
    ("raised", "expected", "words"),
    [
        (tf.errors.UnavailableError, OperationError, "another worker has stopped; see the other workers' messages"),
        (tf.errors.FailedPreconditionError, OperationError, "another worker has stopped"),
        (tf.errors.DeadlineExceededError, OperationTimeoutError, "a worker has not answered for 1800 s"),
        (tf.errors.ResourceExhaustedError, OperationError, "failed (no memory on the way); see"),
    ],
)
def test_what_tensorflow_raises_becomes_one_line(raised, expected, words: str) -> None:
    with pytest.raises(expected) as caught, Workers(0, 2, strategy="any").failures():
        raise raised(None, None, "no memory\non the way")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
