"""``edge-cns compare`` on two evaluations in their folders."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edge_cns.atomic import write_json
from edge_cns.evaluation.metrics import evaluate
from edge_cns.evaluation.prediction_file import write_predictions
from edge_cns.evaluation.predictions import Predictions


def evaluation(folder: Path, *, skill: float = 2.0, phantom: bool = False, patients: int = 30) -> Path:
    """Write the evaluation of a made-up model; all models meet the same frames."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(patients) % 2, 3)
    logits = rng.normal(size=(len(labels), 2)) + skill * np.eye(2)[labels]
    p = np.exp(logits)
    predictions = Predictions(
        classes=("cord", "head"),
        paths=tuple(f"{i}.png" for i in range(len(labels))),
        labels=labels,
        probabilities=p / p.sum(axis=1, keepdims=True),
        patient_ids=tuple(f"p{i // 3}" for i in range(len(labels))),
        sets=("unseen",) * len(labels),
        phantom=phantom,
    )
    record = write_predictions(folder / "predictions.csv", predictions)
    write_json(folder / "metrics.json", evaluate(predictions, resamples=20) | {"predictions": record})
    return folder / "metrics.json"


@pytest.fixture(autouse=True)
def listed(monkeypatch: pytest.MonkeyPatch) -> None:
    from edge_cns.cli import COMMANDS

    monkeypatch.setitem(COMMANDS, "compare", "compare")


def test_json_and_text_say_the_same(tmp_path: Path, cli) -> None:
    a, b = evaluation(tmp_path / "a", skill=1.0), evaluation(tmp_path / "b")
    outcome = cli("compare", a, b, "--json", "--resamples", "200")
    assert (outcome.status, outcome.err) == (0, "")
    found = outcome.json
    assert (found["a"], found["b"], found["phantom"], found["n_patients"]) == (str(a), str(b), False, 30)
    accuracies = [json.loads(path.read_text())["frame"]["accuracy"] for path in (a, b)]
    assert [found["frame"]["accuracy"][key] for key in "ab"] == pytest.approx(accuracies)
    assert found["frame"]["accuracy"]["difference"] > 0
    text = cli("compare", a, b, "--resamples", "200").out
    assert "patients unseen by both: 90 frames, 30 patients" in text
    assert f"{accuracies[0]:.4f}   {accuracies[1]:.4f}   {accuracies[1] - accuracies[0]:+.4f}" in text
    assert "McNemar" in text
    assert "PHANTOM" not in text


def test_phantom_data_are_called_so(tmp_path: Path, cli) -> None:
    a, b = evaluation(tmp_path / "a", phantom=True), evaluation(tmp_path / "b")
    assert cli("compare", a, b).out.startswith("PHANTOM DATA")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda a: a.unlink(), "metrics.json does not exist; give a metrics.json"),
        (lambda a: a.write_text("{"), "is not valid JSON"),
        (lambda a: a.write_text("[]"), "names no predictions"),
        (lambda a: a.write_text('{"predictions": {"file": 3, "sha256": ""}}'), "names no predictions"),
        (lambda a: a.with_name("predictions.csv").unlink(), "predictions.csv does not exist"),
        (lambda a: a.with_name("predictions.csv").write_text("path\n"), "is not the file that the metrics beside it"),
    ],
)
def test_bad_input_is_one_line(spoil, message: str, tmp_path: Path, cli) -> None:
    a, b = evaluation(tmp_path / "a"), evaluation(tmp_path / "b")
    spoil(a)
    outcome = cli("compare", a, b)
    assert (outcome.status, outcome.out) == (2, "")
    (line,) = outcome.err.splitlines()
    assert message in line


def test_other_patients_and_a_folder_are_one_line(tmp_path: Path, cli) -> None:
    a, b = evaluation(tmp_path / "a"), evaluation(tmp_path / "b", patients=32)
    outcome = cli("compare", a, b)
    assert outcome.status == 2
    assert outcome.err == "error: A has 90 frames, B has 96; evaluate both models with the same labels\n"
    outcome = cli("compare", tmp_path / "a", b)
    assert outcome.err == f"error: {tmp_path / 'a'} is a folder; give the metrics.json in it\n"


def test_a_report_cannot_point_elsewhere(tmp_path: Path, cli) -> None:
    a, b = evaluation(tmp_path / "a"), evaluation(tmp_path / "b")
    metrics = json.loads(a.read_text())
    metrics["predictions"]["file"] = "../b/predictions.csv"
    a.with_name("predictions.csv").rename(a.with_name("hidden"))
    a.write_text(json.dumps(metrics))
    outcome = cli("compare", a, b)
    assert outcome.status == 2
    assert f"{a.parent / 'predictions.csv'} does not exist" in outcome.err
