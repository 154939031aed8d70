from __future__ import annotations

import hashlib
import json
from dataclasses import asdict

import numpy as np
import pytest

import edge_cns
from benchmarks.phantom_exams import film, main, measure, stills, table
from edge_cns.bundle import reseal
from edge_cns.contract import Aggregation, Decision, ExamRule
from edge_cns.data import phantom
from edge_cns.errors import BadInputError


@pytest.fixture
def calibrated(bundle_copy):
    """A bundle of random weights with an exam rule that states something."""
    rule = ExamRule(Aggregation(), (0.3, 0.3, 0.3), 0.95, "normal")
    digest = hashlib.sha256((bundle_copy / "model.tflite").read_bytes()).hexdigest()
    contract = json.loads((bundle_copy / "contract.json").read_text())

    contract["decision"] = asdict(Decision(calibrated=True, model_sha256=digest, exam=rule))
    (bundle_copy / "contract.json").write_text(json.dumps(contract))
    reseal(bundle_copy)
    return bundle_copy


def first(index: int, seed: int) -> np.ndarray:
    return film("ventriculomegaly", index, seed, seconds=0.3, fps=3)[0]


def test_patients_come_again_and_are_new_with_another_number_or_seed():
    assert np.array_equal(first(0, 5), first(0, 5))
    assert not np.array_equal(first(0, 5), first(1, 5))
    assert not np.array_equal(first(0, 5), first(0, 6))
    assert len(film("normal", 0, 5, seconds=0.9, fps=3)) == 3
    pictures = stills("encephalocele", 0, 5)
    assert [picture.shape for picture in pictures] == [(256, 256)] * len(phantom.PLANES)


def test_figures_of_new_and_unlisted_patients(calibrated):
    with edge_cns.load(calibrated) as classifier:
        figures = measure(classifier, stills, 1)
    assert figures["n"] == 3 + len(phantom.UNLISTED)
    assert set(phantom.UNLISTED) < set(figures["outcomes"])
    assert figures["answered"]["n"] == 3
    assert figures["unlisted_clear"]["n"] == 3
    lines = table("stills", figures).splitlines()
    assert sum(line.startswith(("| cystic hygroma |", "| normal |")) for line in lines) == 2
    assert any(line.startswith("| wrong among those answered | ") for line in lines)


def test_command_prints_a_table_or_json(calibrated, capsys):
    short = [str(calibrated), "--stills", "0", "--films", "1", "--seconds", "0.5", "--fps", "4"]
    assert main([*short, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["phantom"] is True
    assert "stills" not in result
    assert result["films"]["n"] == 6
    assert main(short) == 0
    assert capsys.readouterr().out.startswith("PHANTOM DATA: no figure here is a clinical one\n\nfilms: 6 exams")


def test_bad_input_is_one_line(tiny_bundle, tmp_path, capsys):
    assert main([str(tiny_bundle), "--stills", "1", "--films", "0"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "is not calibrated; run edge-cns calibrate on it first" in line
    assert main([str(tmp_path / "none.cns")]) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_classes_that_the_phantom_cannot_draw(calibrated):
    contract = json.loads((calibrated / "contract.json").read_text())
    contract["classes"][0]["name"] = "abdomen"
    (calibrated / "contract.json").write_text(json.dumps(contract))
    reseal(calibrated)
    with edge_cns.load(calibrated) as classifier, pytest.raises(BadInputError, match="'abdomen', which the phantom"):
        measure(classifier, stills, 1)
