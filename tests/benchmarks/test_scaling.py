from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import scaling
from benchmarks.scaling import STAGES, draw_frames, main, table
from edge_cns.data.images import read_image
from edge_cns.errors import EdgeCnsError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scaling")
    draw_frames(folder / "frames", 64)
    return folder


def test_frames_are_of_a_screens_size_and_distinct(folder: Path) -> None:
    paths = sorted((folder / "frames").iterdir())
    assert read_image(paths[5]).pixels.shape == (600, 800)
    assert len({path.read_bytes() for path in paths}) == 64


def test_stages_measure_what_they_say(folder: Path) -> None:
    rows = [scaling._stage(name, 64, 64, 1, folder) for name in ("memory", "first", "again", "epoch")]
    assert [row["frames"] for row in rows] == [64, 64, 64, 64]
    assert len(list((folder / "parts").iterdir())) == 1
    for row in rows:
        assert row["frames_per_second"] == pytest.approx(64 / row["seconds"])
        assert row["peak_mib"] > 30


def test_the_table_calculates_many_from_one() -> None:
    speeds = {"memory": 90.0, "first": 100.0, "again": 2000.0, "epoch": 400.0, "train": 50.0}
    rows = [
        {"stage": stage, "frames": 10_000, "seconds": 10_000 / speed, "frames_per_second": speed, "peak_mib": 400.0}
        for stage, speed in speeds.items()
    ]
    lines = table(rows, 224).splitlines()
    assert len(lines) == len(STAGES) + 3
    assert lines[-1] == (
        "100,000 frames: 5.0 GB on disk, 256 MiB of them in memory; 17 min to prepare once, 33 min an epoch"
    )


def test_bad_input_and_a_failed_stage_are_one_line(capsys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["--frames", "3"]) == 2
    assert capsys.readouterr().err == "error: --frames 3 --steps 30; give at least 64 and 1\n"
    monkeypatch.setattr(scaling, "draw_frames", lambda folder, count: None)
    with pytest.raises(EdgeCnsError, match=r"stage memory failed: .*000000\.jpg"):
        scaling.measure(64, 64, 1, tmp_path)
