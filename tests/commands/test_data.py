from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from edge_cns.cli import root
from edge_cns.errors import BadInputError


@pytest.fixture
def labels(tmp_path):
    """24 patients of two classes, the site tied to the class."""
    lines = ["path,label,patient_id,site"]
    for i in range(24):
        pixels = np.random.default_rng(i).integers(0, 200, (64, 64), dtype=np.uint8)
        (tmp_path / f"{i}.png").write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
        lines.append(f"{i}.png,{'ill' if i % 2 else 'well'},p{i},{'north' if i % 2 else 'south'}")
    path = tmp_path / "labels.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def run(*arguments):
    return CliRunner().invoke(root, ["data", *map(str, arguments)])


def test_check_prints_what_it_found(labels):
    result = run("check", labels)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == f"{labels}: 24 frames, 24 patients"
    assert lines[2].split() == ["class", "frames", "patients"]
    assert ["ill", "12", "12"] in [line.split() for line in lines]
    assert any(line.split() == ["site", "1.00", "separates", "ill,", "well"] for line in lines)
    assert any(line.startswith("SHORTCUT  site separates all classes perfectly") for line in lines)
    assert lines[-1] == "train accepts this data"
    assert result.stderr == ""


def test_check_json(labels):
    result = run("check", labels, "--json")
    assert result.exit_code == 0
    findings = json.loads(result.stdout)
    assert findings["classes"]["ill"] == {"frames": 12, "patients": 12, "without_evidence": 0}
    assert len(findings["shortcut_warnings"]) == 1
    assert findings["refusal"] is None


def test_check_refuses_after_printing(labels):
    for i in range(12):
        (labels.parent / f"{i}.png").write_bytes(b"")
    result = run("check", labels)
    assert isinstance(result.exception, BadInputError)
    assert str(result.exception).startswith(f"train would refuse {labels}: 12 of 24 images cannot be used; the first")
    assert "... and 2 more (--json lists all)" in result.stdout
    assert result.stdout.rstrip().endswith("train would refuse this data")
    as_json = run("check", labels, "--json")
    assert isinstance(as_json.exception, BadInputError)
    assert len(json.loads(as_json.stdout)["unreadable"]) == 12


def test_check_keeps_the_decoders_quiet(labels, capfd):
    jpeg = bytearray(cv2.imencode(".jpg", np.random.default_rng(0).integers(0, 200, (64, 64), dtype=np.uint8))[1])
    scan = jpeg.index(b"\xff\xda")
    jpeg[scan + 40 : scan + 400] = bytes(360)  # libjpeg decodes this and complains
    (labels.parent / "0.png").write_bytes(jpeg)
    assert run("check", labels).exit_code == 0
    assert capfd.readouterr().err == ""


def test_check_raises_for_a_manifest_that_cannot_be_read(labels):
    labels.write_text("path,label\na.png,ill\n")
    result = run("check", labels)
    assert isinstance(result.exception, BadInputError)
    assert "no column patient_id" in str(result.exception)
    assert result.stdout == ""


@pytest.mark.parametrize("name", ["check", "phantom"])
def test_help_has_an_example(name):
    result = run(name, "--help")
    assert result.exit_code == 0
    assert f"edge-cns data {name}" in result.stdout


def test_phantom_passes_its_options_on(tmp_path, monkeypatch):
    import edge_cns.data.phantom as package

    calls = []
    monkeypatch.setattr(package, "write_dataset", lambda out, **options: calls.append((out, options)), raising=False)
    result = run("phantom", "--out", tmp_path / "set", "--patients", 4, "--frames", 3, "--seed", 2, "--size", 128)
    assert result.exit_code == 0, result.output
    ((out, options),) = calls
    options.pop("progress")
    assert out == tmp_path / "set"
    assert options == {"patients": 4, "frames": 3, "seed": 2, "size": 128}
    assert "12 phantom frames of 4 patients" in result.stdout
