from __future__ import annotations

import json
import os

import pytest


def test_inspect_for_a_person(cli, tiny_bundle):
    status, out, err = cli("bundle", "inspect", tiny_bundle)
    assert (status, err) == (0, "")
    assert out.startswith(f"{tiny_bundle}: For tests of this software only.\n")
    for text in (
        "gate       undecided: too few patients",
        "uncalibrated",
        "64x64 grey, region auto, letterbox",
        "PHANTOM",
    ):
        assert text in out
    assert "patients   fit 2, stop 0, calibrate 0, gate 1" in out
    assert "allow-drift" not in out


def test_inspect_for_a_program(cli, tiny_bundle):
    status, out, err = cli("bundle", "inspect", tiny_bundle, "--json")
    facts = json.loads(out)
    assert (status, err) == (0, "")
    assert facts["contract"] == json.loads((tiny_bundle / "contract.json").read_text())
    digests = json.loads((tiny_bundle / "manifest.json").read_text())["files"]
    assert {name: row["sha256"] for name, row in facts["files"].items()} == digests
    assert facts["files"]["model.tflite"]["bytes"] == (tiny_bundle / "model.tflite").stat().st_size
    assert facts["quantisation"]["outcome"] == "undecided"
    assert facts["golden_engine"]["name"] == "litert"


def test_drift_and_shortcuts_are_loud(cli, bundle_copy):
    path = bundle_copy / "quantisation.json"
    gate = json.loads(path.read_text())
    warning = "site separates all classes perfectly"
    gate |= {"outcome": "failed", "drift_allowed": True, "reason": "int8 loses", "shortcut_warnings": [warning]}
    path.write_text(json.dumps(gate))
    assert cli("bundle", "reseal", bundle_copy).status == 0
    out = cli("bundle", "inspect", bundle_copy).out
    assert "gate       failed (written with --allow-drift): int8 loses" in out
    assert f"SHORTCUT   {warning}" in out


def test_require_proof(cli, bundle_copy):
    status, out, err = cli("bundle", "inspect", bundle_copy, "--require-proof")
    assert (status, out) == (2, "")
    assert "quantisation is undecided" in err
    path = bundle_copy / "quantisation.json"
    path.write_text(path.read_text().replace('"undecided"', '"passed"'))
    cli("bundle", "reseal", bundle_copy)
    assert cli("bundle", "inspect", bundle_copy, "--require-proof").status == 0


@pytest.mark.parametrize("golden", [None, [], "x"])
def test_a_record_that_is_damaged_can_be_inspected(cli, bundle_copy, golden):
    path = bundle_copy / "quantisation.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "golden": golden}))
    cli("bundle", "reseal", bundle_copy)
    assert cli("bundle", "inspect", bundle_copy, "--json").json["golden_engine"] is None


def test_reseal(cli, bundle_copy):
    assert "nothing had changed" in cli("bundle", "reseal", bundle_copy).out
    (bundle_copy / "model_card.md").write_text("changed")
    assert cli("bundle", "inspect", bundle_copy).status == 2
    status, out, err = cli("bundle", "reseal", bundle_copy)
    assert (status, err) == (0, "")
    assert "resealed, model_card.md had changed" in out
    assert cli("bundle", "inspect", bundle_copy).status == 0


def test_strip(cli, bundle_copy, frame_file):
    status, out, err = cli("bundle", "strip", bundle_copy)
    assert (status, err) == (0, "")
    assert out == f"{bundle_copy}: dropped float.tflite, calibration.npz\n"
    assert cli("bundle", "strip", bundle_copy).out == f"{bundle_copy}: nothing to drop\n"
    assert cli("predict", bundle_copy, frame_file).status == 0


def test_strip_from_inside(cli, bundle_copy, monkeypatch):
    monkeypatch.chdir(bundle_copy)
    assert cli("bundle", "strip", ".").status == 0
    monkeypatch.chdir(bundle_copy.parent)
    assert os.listdir() == [bundle_copy.name]
    assert cli("bundle", "inspect", bundle_copy).status == 0


@pytest.mark.parametrize("action", ["inspect", "reseal", "strip"])
def test_no_bundle_is_one_line(cli, tmp_path, action):
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "none.cns", tmp_path / "file"):
        status, out, err = cli("bundle", action, path)
        assert (status, out) == (2, "")
        assert err.startswith("error: ")
        assert str(path) in err
        assert len(err.splitlines()) == 1
