"""Arm's Vela: what it estimates is read, kept and labelled, and what it cannot do is one line."""

from __future__ import annotations

import hashlib
import importlib.util
import json

import pytest

from converters import ethos_u
from converters.ethos_u import SYSTEMS, read_estimate
from converters.tflite_graph import read_graph
from edge_cns.bundle import read_bundle
from edge_cns.errors import OperationError

needs_vela = pytest.mark.skipif(importlib.util.find_spec("ethosu") is None, reason="needs the extra ethos-u")

REPORT = (
    "core_clock,inference_time,sram_memory_used,dram_memory_used,on_chip_flash_memory_used,"
    "off_chip_flash_memory_used,cycles_total\n500000000.0,0.00919434,1474.21875,0.0,0.0,2203.015625,4597170\n"
)


def test_a_summary_is_read():
    told = read_estimate(REPORT)
    assert (told.cycles, told.clock_hz, told.time_ms) == (4597170, 500e6, 9.19434)
    assert (told.sram_bytes, told.dram_bytes, told.flash_bytes) == (1509600, 0, 2255888)
    assert told.cycles / told.clock_hz * 1e3 == pytest.approx(told.time_ms)


@pytest.mark.parametrize("report", ["", "a,b\n", "cycles_total\n1\n", REPORT.replace("4597170", "many"), REPORT[:150]])
def test_another_summary_is_one_line(report):
    with pytest.raises(OperationError, match="Vela's summary cannot be read") as caught:
        read_estimate(report)
    assert "\n" not in str(caught.value)


@needs_vela
def test_a_model_for_each_system(cli, tiny_bundle, tmp_path):
    out = tmp_path / "ethos"
    names = ("ethos-u55-64", "ethos-u65-512")
    options = [word for name in (*names, names[0]) for word in ("--system", name)]
    outcome = cli("convert-to", "ethos-u", tiny_bundle, "--out", out, *options)
    assert (outcome.status, outcome.err) == (0, "")
    assert "estimates of Vela" in outcome.out
    assert "not measured" in outcome.out
    told = json.loads((out / "target.json").read_text())
    model = read_bundle(tiny_bundle).files["model.tflite"]
    assert told["source"]["sha256"] == hashlib.sha256(model).hexdigest()
    assert sorted(path.name for path in out.iterdir()) == [f"{names[0]}.tflite", f"{names[1]}.tflite", "target.json"]
    for name in names:
        system = told["systems"][name]
        assert system["sha256"] == hashlib.sha256((out / system["file"]).read_bytes()).hexdigest()
        assert system["estimate"]["cycles"] > 0
        assert system["estimate"]["sram_bytes"] > 64 * 64
        assert str(system["estimate"]["cycles"]) in outcome.out
        assert system["on_processor"] == []
        graph = read_graph((out / system["file"]).read_bytes(), name)
        shapes = {output: graph.outputs[place].shape for output, place in system["outputs"].items()}
        assert shapes == {"logits": (1, 3), "cam": (1, 8, 8, 3), "embedding": (1, 32)}
    small, large = (told["systems"][name]["estimate"]["time_ms"] for name in names)
    assert small > large


@needs_vela
@pytest.mark.parametrize("system", SYSTEMS)
def test_velas_configuration_knows_every_system(system):
    folder = importlib.util.find_spec("ethosu").submodule_search_locations[0]  # type: ignore[union-attr,index]
    with open(f"{folder}/config_files/Arm/vela.ini", encoding="utf-8") as file:
        text = file.read()
    configuration, mode = SYSTEMS[system]
    assert f"[System_Config.{configuration}]" in text
    assert f"[Memory_Mode.{mode}]" in text


@needs_vela
def test_a_vela_that_fails_is_one_line(cli, tiny_bundle, tmp_path, monkeypatch):
    monkeypatch.setitem(ethos_u.SYSTEMS, "ethos-u55-256", ("No_Such_System", "Shared_Sram"))
    outcome = cli("convert-to", "ethos-u", tiny_bundle, "--out", tmp_path / "made")
    assert (outcome.status, outcome.err.count("\n")) == (2, 1)
    assert "Vela failed for ethos-u55-256 (" in outcome.err
    assert not (tmp_path / "made").exists()


def test_an_unknown_system_and_a_missing_vela_are_one_line(cli, tiny_bundle, tmp_path, monkeypatch):
    unknown = cli("convert-to", "ethos-u", tiny_bundle, "--out", tmp_path / "made", "--system", "ethos-u99")
    assert (unknown.status, unknown.err.count("\n")) == (2, 1)
    assert "there is no system 'ethos-u99'; --system knows ethos-u55-32, " in unknown.err
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, package=None: None)
    missing = cli("convert-to", "ethos-u", tiny_bundle, "--out", tmp_path / "made")
    assert (missing.status, missing.err) == (
        2,
        "error: ethosu is not installed; run: pip install 'edge-cns[ethos-u]'\n",
    )
