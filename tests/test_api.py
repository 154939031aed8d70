"""The Python interface, as documented."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import edge_cns

PAGE = Path(__file__).parents[1] / "docs" / "bundle.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def test_the_public_names():
    assert edge_cns.__all__ == ["Classifier", "Frame", "Region", "State", "Verdict", "__version__", "load"]
    assert all(hasattr(edge_cns, name) for name in edge_cns.__all__)
    assert re.fullmatch(r"\d+\.\d+\.\d+", edge_cns.__version__)


def test_load_and_classify_as_the_docstrings_say(tiny_bundle):
    pixels = np.full((100, 100), 80, np.uint8)
    verdict = edge_cns.load(tiny_bundle).classify(pixels)
    assert isinstance(verdict, edge_cns.Verdict)
    assert verdict.label in ("anencephaly", "encephalocele", "normal")
    assert 0 < verdict.probability <= 1


def test_the_python_of_the_page_runs(bundle_copy, frame_file, tmp_path, monkeypatch):
    bundle_copy.rename(tmp_path / "brain.cns")
    (tmp_path / "frame.png").write_bytes(frame_file.read_bytes())
    monkeypatch.chdir(tmp_path)
    (block,) = blocks("python")
    done = subprocess.run([sys.executable, "-W", "error", "-c", block], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    said, reason = done.stdout.splitlines()
    state, label, probability = said.split()
    assert state == "class"
    assert label in ("anencephaly", "encephalocele", "normal")
    assert 0 < float(probability) <= 1
    assert reason == "uncalibrated, quantisation undecided, trained on phantom frames"


def test_the_commands_of_the_page_run(cli, bundle_copy, frame_file, tmp_path, monkeypatch):
    bundle_copy.rename(tmp_path / "brain.cns")
    (tmp_path / "frame.png").write_bytes(frame_file.read_bytes())
    monkeypatch.chdir(tmp_path)
    lines = [line.partition("#")[0].split() for block in blocks("sh") for line in block.splitlines()]
    assert {words[2] for words in lines if words[1] == "bundle"} == {"inspect", "reseal", "sign", "strip"}
    assert cli("bundle", "keygen", "--out", "maker").status == 0
    for words in lines:
        assert words[0] == "edge-cns"
        outcome = cli(*words[1:])
        assert (outcome.status, outcome.err) == ((2, outcome.err) if "--require-proof" in words else (0, "")), words


@pytest.mark.parametrize("name", ["manifest.json", "contract.json"])
def test_the_files_are_as_the_page_shows_them(tiny_bundle, name):
    shown = next(json.loads(block) for block in blocks("json") if ("files" in block) == (name == "manifest.json"))
    real = json.loads((tiny_bundle / name).read_text())
    assert set(shown) == set(real)
    if name == "contract.json":
        assert {key: set(value) for key, value in shown.items() if isinstance(value, dict)} == {
            key: set(value) for key, value in real.items() if isinstance(value, dict)
        }


def test_the_page_names_every_file(tiny_bundle):
    page = PAGE.read_text(encoding="utf-8")
    for file in tiny_bundle.iterdir():
        assert f"`{file.name}`" in page
    assert "](bundle.svg)" in page
    assert (PAGE.parent / "bundle.svg").exists()
