from __future__ import annotations

import json
import subprocess

import numpy as np
import pytest

from edge_cns.errors import BadInputError, OperationError, OperationTimeoutError
from edge_cns.latency import stages
from edge_cns.latency.stages import STAGES, cart_frames, cold_start, measure


@pytest.fixture(scope="module")
def result(tiny_bundle):
    return measure(tiny_bundle, frames=12, threads=1, source="synthetic://phantom?size=128")


def test_it_is_json_and_complete(result):
    assert json.loads(json.dumps(result)) == result
    assert tuple(result["stages"]) == STAGES == ("bare_invoke", "preprocess", "invoke", "postprocess", "total")
    assert {"cold_start_ms", "memory", "environment", "proof", "threads", "source", "total_over_bare_invoke"} <= set(
        result
    )
    assert result["frame_size"] == [128, 128]
    assert (result["bundle"], result["frames"], result["proof"]) == ("tiny.cns", 12, "undecided")


def test_figures_are_consistent(result):
    for name, stage in result["stages"].items():
        assert set(stage) == {"p50_ms", "p90_ms", "p99_ms", "mean_ms"}, name
        assert 0 < stage["p50_ms"] <= stage["p90_ms"] <= stage["p99_ms"], name
    total = result["stages"]["total"]
    parts = sum(result["stages"][name]["mean_ms"] for name in ("preprocess", "invoke", "postprocess"))
    assert total["mean_ms"] == pytest.approx(parts, rel=1e-6), "the stages leave nothing out"
    ratio = total["p50_ms"] / result["stages"]["bare_invoke"]["p50_ms"]
    assert result["total_over_bare_invoke"] == pytest.approx(ratio)
    cold = result["cold_start_ms"]
    assert 0 < cold["imported"] < cold["loaded"] < cold["first_verdict"]


def test_by_default_screens_of_1080p():
    frames = cart_frames()
    assert {frame.pixels.shape for frame in frames} == {(1080, 1920)}
    assert {frame.pixels.dtype.name for frame in frames} == {"uint8"}
    assert len({frame.pixels.tobytes() for frame in frames}) == len(frames) == 4
    assert all(frame.pixels[90:990, 460:1460].mean() > 10 for frame in frames)


def test_summary_is_numpys():
    values = np.random.default_rng(0).exponential(size=1000)
    summary = stages._summary(values)
    assert summary["p99_ms"] == np.percentile(values, 99)
    assert summary["mean_ms"] == values.mean()


def test_the_bundle_is_looked_at_before_frames_are_made(tmp_path, monkeypatch):
    monkeypatch.setattr(stages, "cart_frames", lambda: pytest.fail("frames were drawn for no bundle"))
    with pytest.raises(BadInputError, match="does not exist"):
        measure(tmp_path / "none.cns")


def test_a_source_without_frames(tiny_bundle, monkeypatch):
    class Nothing(list):
        def close(self) -> None:
            pass

    monkeypatch.setattr(stages, "open_source", lambda uri: Nothing())
    with pytest.raises(BadInputError, match="file:///x delivers no frames"):
        measure(tiny_bundle, source="file:///x")


def test_a_cold_start_that_fails_is_one_line(tmp_path):
    with pytest.raises(OperationError, match=r"the cold start failed .*does not exist") as caught:
        cold_start(tmp_path / "none.cns")
    assert "\n" not in str(caught.value)


def test_a_cold_start_that_hangs(tmp_path, monkeypatch):
    def hangs(*_: object, timeout: float, **__: object) -> None:
        raise subprocess.TimeoutExpired("python", timeout)

    monkeypatch.setattr(subprocess, "run", hangs)
    with pytest.raises(OperationTimeoutError, match="more than 120 s"):
        cold_start(tmp_path / "none.cns")
