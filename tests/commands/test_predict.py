from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest

import edge_cns
from edge_cns.data.images import read_image

HEAD = "research use only, uncalibrated, quantisation undecided, trained on phantom frames"


def one_line(text: str) -> str:
    """The only line of an error."""
    (line,) = text.splitlines()
    assert line.startswith("error: ")
    return line


def test_text(cli, tiny_bundle, frame_file):
    status, out, err = cli("predict", tiny_bundle, frame_file, frame_file)
    head, *lines = out.splitlines()
    assert (status, err, head) == (0, "", HEAD)
    assert len(lines) == 2
    path, label, probability, milliseconds, unit = lines[0].split()
    with edge_cns.load(tiny_bundle) as classifier:
        verdict = classifier.classify(read_image(frame_file))
    assert (path, label, unit) == (str(frame_file), verdict.label, "ms")
    assert float(probability) == pytest.approx(verdict.probability, abs=1e-4)
    assert float(milliseconds) >= 0


def test_json(cli, tiny_bundle, frame_file, tmp_path):
    other = tmp_path / "other é.png"
    shutil.copy(frame_file, other)
    status, out, err = cli("predict", tiny_bundle, frame_file, other, "--json", "--threads", 2)
    first, second = (json.loads(line) for line in out.splitlines())
    assert (status, err) == (0, "")
    assert {"path", "state", "label", "probability", "probabilities"} <= set(first)
    assert (first["path"], second["path"], first["state"]) == (str(frame_file), str(other), "class")
    assert first["probability"] == first["probabilities"][first["label"]]
    assert first["probabilities"] == second["probabilities"]
    assert "novelty" not in first, "the bundle is not calibrated"


@pytest.fixture
def bad_images(tmp_path):
    """What people pass by mistake, and what is said of it."""
    (tmp_path / "zero.png").touch()
    (tmp_path / "text.png").write_text("not an image")
    (tmp_path / "three.png").write_bytes(cv2.imencode(".png", np.zeros((3, 3), np.uint8))[1].tobytes())
    (tmp_path / "folder.png").mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (200, 200), dtype=np.uint8)
    (tmp_path / "cut.jpg").write_bytes(cv2.imencode(".jpg", noise)[1].tobytes()[:-3000])
    (tmp_path / "cut.png").write_bytes(cv2.imencode(".png", noise)[1].tobytes()[:-3000])
    return {
        "zero.png": "is empty (0 bytes)",
        "text.png": "",
        "three.png": "is 3x3 px; both sides must be 64 to 8192 px",
        "folder.png": "is a folder",
        "none.png": "does not exist",
        "cut.jpg": "cut short",
        "cut.png": "",
    }


@pytest.mark.parametrize("name", ["zero.png", "text.png", "three.png", "folder.png", "none.png", "cut.jpg", "cut.png"])
def test_a_bad_image_is_one_line(cli, tiny_bundle, tmp_path, bad_images, name):
    status, out, err = cli("predict", tiny_bundle, tmp_path / name, "--json")
    assert (status, out) == (2, "")
    assert name in one_line(err)
    assert bad_images[name] in err


def test_good_images_among_bad_ones_are_printed(cli, tiny_bundle, frame_file, tmp_path, bad_images):
    bad = [tmp_path / name for name in bad_images]
    status, out, err = cli("predict", tiny_bundle, frame_file, *bad, frame_file, "--heatmap", tmp_path / "maps")
    assert status == 2
    assert [line.split()[0] for line in out.splitlines()[1:]] == [str(frame_file)] * 2
    assert [line.split()[1] for line in err.splitlines()] == [str(path) for path in bad]
    assert sorted(os.listdir(tmp_path / "maps")) == ["head-2.png", "head.png"]


def test_a_name_over_two_lines_is_one_line(cli, tiny_bundle, tmp_path):
    status, _, err = cli("predict", tiny_bundle, tmp_path / "two\nlines.png", "--json")
    assert status == 2
    one_line(err)


def test_heatmaps(cli, tiny_bundle, frame_file, tmp_path):
    maps = tmp_path / "new" / "maps"
    status, _, err = cli("predict", tiny_bundle, frame_file, "--heatmap", maps)
    assert (status, err) == (0, "")
    picture = cv2.imread(str(maps / "head.png"))
    assert picture.shape == (46 + 480, 480, 3)
    assert (picture.max(axis=2).astype(int) - picture.min(axis=2) > 60).any(), "evidence is coloured"
    again = (maps / "head.png").read_bytes()
    cli("predict", tiny_bundle, frame_file, "--heatmap", maps)
    assert os.listdir(maps) == ["head.png"], "a second run writes the same names"
    assert (maps / "head.png").read_bytes() == again


def test_heatmaps_among_the_images_write_over_none(cli, tiny_bundle, frame_file, tmp_path):
    for name in ("a.png", "a.bmp"):
        (tmp_path / name).write_bytes(frame_file.read_bytes())
    os.symlink(tmp_path, tmp_path / "link")
    for folder in (tmp_path, tmp_path / "link"):
        status, _, _ = cli("predict", tiny_bundle, tmp_path / "a.png", tmp_path / "a.bmp", "--heatmap", folder)
        assert status == 0
        assert sorted(os.listdir(tmp_path)) == ["a-heatmap-2.png", "a-heatmap.png", "a.bmp", "a.png", "link"]
        assert (tmp_path / "a.png").read_bytes() == (tmp_path / "a.bmp").read_bytes() == frame_file.read_bytes()


def test_images_of_one_name_get_maps_of_their_own(cli, tiny_bundle, frame_file, tmp_path):
    paths = []
    for folder, name in (("1", "a.png"), ("2", "a.png"), ("3", "a-2.png"), ("4", "a.jpg.png")):
        (tmp_path / folder).mkdir()
        paths.append(tmp_path / folder / name)
        shutil.copy(frame_file, paths[-1])
    assert cli("predict", tiny_bundle, *paths, "--heatmap", tmp_path / "maps").status == 0
    assert sorted(os.listdir(tmp_path / "maps")) == ["a-2-2.png", "a-2.png", "a.jpg.png", "a.png"]


def test_heatmaps_that_cannot_be_written(cli, tiny_bundle, frame_file, tmp_path):
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        status, out, err = cli("predict", tiny_bundle, frame_file, "--heatmap", folder, "--json")
        assert (status, out) == (2, "")
        assert "file" in one_line(err)


def test_a_full_disk_half_way(cli, tiny_bundle, frame_file, tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    status, _, err = cli("predict", tiny_bundle, frame_file, "--heatmap", tmp_path / "maps")
    assert status == 2
    line = one_line(err)
    assert line.startswith(f"error: {tmp_path / 'maps'}")
    assert line.endswith(": No space left on device")
    assert os.listdir(tmp_path / "maps") == []


def test_require_proof(cli, tiny_bundle, frame_file):
    status, out, err = cli("predict", tiny_bundle, frame_file, "--require-proof")
    assert (status, out) == (2, "")
    assert "quantisation is undecided" in one_line(err)


def test_a_tampered_bundle_prints_nothing_but_one_line(cli, bundle_copy, frame_file):
    for name in sorted(os.listdir(bundle_copy)):
        path = bundle_copy / name
        old = path.read_bytes()
        for position in (0, len(old) // 2, len(old) - 1):
            path.write_bytes(old[:position] + bytes([old[position] ^ 1]) + old[position + 1 :])
            status, out, err = cli("predict", bundle_copy, frame_file)
            assert (status, out) == (2, ""), name
            one_line(err)
        path.write_bytes(old)
    assert cli("predict", bundle_copy, frame_file).status == 0


@pytest.mark.parametrize("model", ["float", "another", "empty", "garbage", "cut"])
def test_a_sealed_model_that_is_none_of_ours(cli, bundle_copy, tiny_bundle, frame_file, model):
    path = bundle_copy / "model.tflite"
    content = {
        "float": (bundle_copy / "float.tflite").read_bytes(),
        "another": tiny_bundle.with_name("another.tflite").read_bytes(),
        "empty": b"",
        "garbage": b"\x1c\0\0\0TFL3" + bytes(range(256)) * 8,
        "cut": path.read_bytes()[:5000],
    }[model]
    path.write_bytes(content)
    assert cli("bundle", "reseal", bundle_copy).status == 0
    # A process of its own: native code may not survive what it is given.
    command = [sys.executable, "-m", "edge_cns", "predict", str(bundle_copy), str(frame_file), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert "model.tflite" in one_line(done.stderr)


def test_a_sealed_contract_of_another_model(cli, bundle_copy, frame_file):
    contract = json.loads((bundle_copy / "contract.json").read_text())
    del contract["classes"][0]
    (bundle_copy / "contract.json").write_text(json.dumps(contract))
    cli("bundle", "reseal", bundle_copy)
    status, out, err = cli("predict", bundle_copy, frame_file)
    assert (status, out) == (2, "")
    assert "for 2 classes" in one_line(err)


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_a_name_that_the_terminal_cannot_show(tiny_bundle, frame_file, tmp_path, encoding):
    name = os.fsencode(tmp_path) + b"/caf\xe9.png"
    shutil.copy(os.fsencode(frame_file), name)
    command = [sys.executable, "-m", "edge_cns", "predict", str(tiny_bundle), name]
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run(command, capture_output=True, check=False, env=environment)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"/caf" in done.stdout
