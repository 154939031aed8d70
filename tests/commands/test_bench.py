from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from edge_cns.latency import stages


@pytest.fixture(autouse=True)
def no_second_process(monkeypatch):
    """The cold start has its own test."""
    cold = {"imported": 1.0, "loaded": 2.0, "first_verdict": 3.0}
    monkeypatch.setattr(stages, "cold_start", lambda path, **_: cold)


def test_json_for_other_programs(cli, tiny_bundle):
    status, out, err = cli("bench", tiny_bundle, "--frames", 10, "--json")
    assert (status, err) == (0, "")
    result = json.loads(out)
    for name in ("bare_invoke", "preprocess", "invoke", "postprocess", "total"):
        assert {"p50_ms", "p90_ms", "p99_ms"} <= set(result["stages"][name])
    assert result["frame_size"] == [1920, 1080]
    assert result["cold_start_ms"]["first_verdict"] == 3
    assert result["memory"]["peak_rss_mib"] > 10
    assert result["environment"]["cores"] >= 1


def test_text(cli, tiny_bundle):
    status, out, err = cli(
        "bench", tiny_bundle, "--frames", 10, "--threads", 2, "--source", "synthetic://phantom?size=64"
    )
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("tiny.cns: 10 frames of 64x64 px, 2 threads, ")
    assert [line.split()[0] for line in lines[2:7]] == ["bare_invoke", "preprocess", "invoke", "postprocess", "total"]
    assert "of a bare invoke" in lines[7]


def test_sources(cli, tiny_bundle, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (100, 120), dtype=np.uint8)
    folder = tmp_path / "frames"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        (folder / name).write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    writer = cv2.VideoWriter(str(tmp_path / "clip.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 25.0, (160, 96))
    for _ in range(3):
        writer.write(np.zeros((96, 160, 3), np.uint8))
    writer.release()
    for source, size in (
        (folder.as_uri(), [120, 100]),
        (tmp_path / "clip.mp4", [160, 96]),
        ("synthetic://phantom?class=normal&fps=30", [256, 256]),
    ):
        outcome = cli("bench", tiny_bundle, "--frames", 10, "--source", source, "--json")
        assert (outcome.status, outcome.err) == (0, "")
        assert outcome.json["frame_size"] == size
        assert outcome.json["source"] == str(source)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--source", "nowhere.mp4"], "nowhere.mp4 does not exist"),
        (["--source", "ftp://x"], "no source ftp://"),
        (["--source", "synthetic://phantom?class=x"], "no class 'x'"),
        (["--frames", "9"], "9 is not in the range"),
        (["--threads", "0"], "0 is not in the range"),
        (["--require-proof"], "quantisation is undecided"),
    ],
)
def test_what_cannot_be_measured(cli, tiny_bundle, arguments, text):
    status, out, err = cli("bench", tiny_bundle, *arguments)
    assert (status, out) == (2, "")
    assert text in err
    assert len(err.splitlines()) == 1
