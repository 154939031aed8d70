"""CT and MR slices go the way of ultrasound frames: the same commands, from ``data check`` to ``predict``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the train extra")
pytest.importorskip("pydicom", reason="needs the dicom extra")
from edge_cns.bundle import read_bundle
from edge_cns.cli import run
from edge_cns.data.images import read_image
from edge_cns.data.manifest import read_manifest
from tests.dicoms import NAME, SECRET, packaged, write_slices
from tests.trained import small_network


@dataclass(frozen=True)
class Slices:
    labels: Path
    run: Path
    bundle: Path


@pytest.fixture(scope="module")
def slices(tmp_path_factory: pytest.TempPathFactory) -> Slices:
    """A training on slices, and its bundle, made by the commands."""
    folder = tmp_path_factory.mktemp("slices")
    made = Slices(write_slices(folder / "set", patients=48), folder / "run", folder / "slices.cns")
    options = ["--weights", "none", "--image-size", "64", "--region", "whole", "--epochs", "4", "--out", str(made.run)]
    with small_network():
        assert run(["train", str(made.labels), *options]) == 0
    assert run(["convert", str(made.run), "--out", str(made.bundle), "--margin", "0.4", "--allow-drift"]) == 0
    return made


def test_data_check_reads_them(slices: Slices, cli) -> None:
    found = cli("data", "check", slices.labels, "--json").json
    assert (found["frames"], found["patients"], found["refusal"], found["unreadable"]) == (96, 48, None, [])
    assert {name: count["patients"] for name, count in found["classes"].items()} == {"ct": 24, "mr": 24}
    assert any("modality separates all classes" in text for text in found["shortcut_warnings"])
    assert not any("12 bits" in finding["text"] for finding in found["findings"]), "windowed slices use all 16 bits"


def test_the_contract_says_what_it_was_made_for(slices: Slices) -> None:
    contract = read_bundle(slices.bundle).contract
    assert contract.intended_use.modes == ("CT", "MR")
    assert "Sorts CT and MR images into the listed classes" in contract.intended_use.statement
    assert (contract.input.region, contract.class_names) == ("whole", ("ct", "mr"))


def test_evaluate_and_predict_on_patients_new_to_the_model(slices: Slices, tmp_path: Path, cli) -> None:
    fresh = write_slices(tmp_path / "set", patients=12, seed=1)
    text = fresh.read_text().replace(",p0", ",q0")  # other people
    fresh.write_text(text)
    metrics = cli("evaluate", slices.bundle, fresh, "--out", tmp_path / "report", "--run", slices.run, "--json").json
    unseen = metrics["by_set"]["unseen"]
    assert (unseen["n_frames"], unseen["n_patients"]) == (24, 12)
    assert unseen["frame"]["accuracy"] > 0.8
    assert metrics["agreement"] > 0.9
    files = [fresh.parent / "p000-0.dcm", fresh.parent / "p001-1.dcm"]
    outcome = cli("predict", slices.bundle, *files, "--json", "--heatmap", tmp_path / "maps")
    verdicts = [json.loads(line) for line in outcome.out.splitlines()]
    assert [verdict["path"] for verdict in verdicts] == list(map(str, files))
    assert sorted(path.name for path in (tmp_path / "maps").iterdir()) == ["p000-0.png", "p001-1.png"]
    everything = outcome.out + outcome.err + json.dumps(metrics) + (tmp_path / "report/report.html").read_text()
    assert SECRET not in everything
    assert NAME not in everything


def test_the_same_slice_as_a_16_bit_png(slices: Slices, tmp_path: Path, cli) -> None:
    rows = read_manifest(slices.labels).rows[:4]
    for row in rows:
        content = cv2.imencode(".png", read_image(row.path).pixels)[1].tobytes()
        (tmp_path / f"{row.path.stem}.png").write_bytes(content)

    def probabilities(*files: Path) -> list[dict[str, float]]:
        lines = cli("predict", slices.bundle, *files, "--json").out.splitlines()
        return [json.loads(line)["probabilities"] for line in lines]

    pngs = [tmp_path / f"{row.path.stem}.png" for row in rows]
    assert probabilities(*pngs) == probabilities(*(row.path for row in rows))


def test_predict_on_a_frame_of_a_clip(slices: Slices, cli) -> None:
    clip = packaged("examples_ybr_color.dcm")
    outcome = cli("predict", slices.bundle, clip, f"{clip}#2", f"{clip}#31", "--json")
    assert outcome.status == 2
    assert [json.loads(line)["path"] for line in outcome.out.splitlines()] == [f"{clip}#2"]
    first, second = outcome.err.splitlines()
    assert "has 30 frames; say which one" in first
    assert "has 30 frames; there is no frame 31, they count from 1" in second


def test_a_slice_is_not_cropped_to_nothing() -> None:
    """The region that is looked for in ultrasound frames keeps the body of a slice, and drops the head rest."""
    from edge_cns.region import find_region

    for name, share in (("CT_small.dcm", 1.0), ("MR_small.dcm", 1.0), ("J2K_pixelrep_mismatch.dcm", 0.6)):
        frame = read_image(packaged(name))
        region = find_region(frame)
        assert region.width * region.height >= share * frame.pixels.size
        inside = frame.pixels[region.y : region.y + region.height, region.x : region.x + region.width]
        assert inside.astype(np.float64).sum() > 0.95 * frame.pixels.astype(np.float64).sum()
