from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_cns.decision.verdict import State
from edge_cns.errors import BadInputError
from edge_cns.runtime.sinks import video
from edge_cns.runtime.sinks.base import Record
from edge_cns.runtime.sinks.table import open_sink
from tests.runtime.sinks.made import SECOND, event, no_signal, selftest, session, status, summary, verdict

BAND = 84  # px


def grey(level: int, height: int = 96, width: int = 128) -> np.ndarray:
    return np.full((height, width), level, np.uint8)


def film(path: Path, records: list[Record], query: str = "") -> None:
    sink = open_sink(f"video://{path}{query}")
    sink.start(session())
    for record in records:
        sink.write(record)
    sink.close()
    sink.close()


def read(path: Path) -> tuple[list[np.ndarray], float]:
    """Frames and their rate."""
    capture = cv2.VideoCapture(str(path))
    frames = []
    while (got := capture.read())[0]:
        frames.append(got[1])
    rate = capture.get(cv2.CAP_PROP_FPS)
    capture.release()
    return frames, rate


def level(picture: np.ndarray) -> float:
    """Grey level of the image under the words."""
    return float(picture[BAND + 100 : BAND + 140, 100:140].mean())


def refused(uri: str) -> str:
    with pytest.raises(BadInputError) as caught:
        open_sink(uri)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", ["out.mp4", "out.avi", "OUT.MP4"])
def test_a_constant_rate_whatever_the_verdicts_do(tmp_path, name):
    """60 verdicts at 30 fps, then one a quarter of a second: 2 s and 1 s."""
    path = tmp_path / name
    quick = [verdict(i, pixels=grey(60)) for i in range(60)]
    slow = [verdict(60 + i, at_ns=SECOND * 3 + i * SECOND // 4, pixels=grey(160)) for i in range(5)]
    film(path, [selftest(), event(), *quick, status(), *slow, summary()])
    frames, rate = read(path)
    assert rate == pytest.approx(15)
    assert len(frames) == pytest.approx(3 * 15 + 1, abs=1)
    levels = [level(frame) for frame in frames]
    assert all(value == pytest.approx(60, abs=12) for value in levels[:29])
    assert all(value == pytest.approx(160, abs=12) for value in levels[31:])
    assert [p.name for p in tmp_path.iterdir()] == [name], "no temporary file stays"
    assert path.stat().st_mode & 0o777 == 0o644


def test_the_rate_can_be_chosen(tmp_path):
    film(tmp_path / "out.mp4", [verdict(i) for i in range(31)], "?fps=5")
    frames, rate = read(tmp_path / "out.mp4")
    assert rate == pytest.approx(5)
    assert len(frames) == 6


def test_what_is_not_live_is_seen(tmp_path):
    records = [
        *(verdict(i, pixels=grey(160)) for i in range(15)),
        verdict(15, at_ns=int(1.5 * SECOND), state=State.FROZEN, frozen="stalled", with_frame=False),
        verdict(15, at_ns=int(1.9 * SECOND), state=State.FROZEN, frozen="stalled", with_frame=False),
        no_signal(int(2.3 * SECOND)),
        no_signal(int(2.7 * SECOND)),
    ]
    film(tmp_path / "out.avi", records)
    frames, _ = read(tmp_path / "out.avi")
    live, frozen, gone = frames[3], frames[12], frames[-1]
    assert level(live) == pytest.approx(160, abs=12)
    assert level(frozen) == pytest.approx(160, abs=12), "a frozen image is still seen"
    assert frozen[BAND + 5, :, 0].std() > 80, "behind stripes"
    assert live[BAND + 5, :, 0].std() < 20
    assert level(gone) < 130, "and without signal there is none"
    assert gone[BAND + 5, :, 0].std() > 80


def test_no_verdict_is_shown_past_its_time(tmp_path):
    """Should the runtime fall silent, the video says so by itself."""
    film(tmp_path / "out.avi", [verdict(0, pixels=grey(160)), verdict(1, at_ns=3 * SECOND, pixels=grey(160))])
    frames, _ = read(tmp_path / "out.avi")
    assert len(frames) == pytest.approx(32, abs=1)
    assert level(frames[3]) == pytest.approx(160, abs=12)
    assert frames[15][BAND + 5, :, 0].std() > 80, "no signal"


def test_frames_of_another_size_are_fitted(tmp_path):
    records = [
        verdict(0, pixels=grey(60, 96, 128)),
        verdict(1, pixels=grey(60, 300, 100)),
        verdict(6, pixels=grey(60, 1080, 1920)),
    ]
    film(tmp_path / "out.avi", [*records, verdict(10, pixels=grey(60, 64, 64))])
    frames, _ = read(tmp_path / "out.avi")
    assert {frame.shape for frame in frames} == {(564, 640, 3)}


def test_a_session_that_begins_without_frames(tmp_path):
    records = [no_signal(SECOND), no_signal(SECOND + SECOND // 2), verdict(0, at_ns=2 * SECOND, pixels=grey(160))]
    film(tmp_path / "out.avi", records)
    frames, _ = read(tmp_path / "out.avi")
    assert len(frames) == pytest.approx(16, abs=1)
    assert frames[0][BAND + 5, :, 0].std() > 80
    film(tmp_path / "never.avi", records[:2])
    frames, _ = read(tmp_path / "never.avi")
    assert len(frames) == pytest.approx(8, abs=1)


def test_a_clock_that_jumps_makes_no_endless_video(tmp_path):
    times = [SECOND, 10**6 * SECOND, SECOND]
    film(tmp_path / "out.avi", [verdict(i, at_ns=at) for i, at in enumerate(times)])
    assert 100 < len(read(tmp_path / "out.avi")[0]) < 200


def test_without_verdicts_there_is_no_video(tmp_path):
    film(tmp_path / "out.mp4", [selftest(), event(), summary()])
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_is_never_replaced(tmp_path):
    path = tmp_path / "out.mp4"
    sink = open_sink(f"video://{path}")
    sink.start(session())
    for i in range(30):
        sink.write(verdict(i))
    path.write_bytes(b"another session's")
    with pytest.raises(FileExistsError):
        sink.close()
    sink.close()
    assert path.read_bytes() == b"another session's"
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(BadInputError, match=r"out\.mp4 exists already"):
        open_sink(f"video://{path}")


@pytest.mark.parametrize(
    ("uri", "text"),
    [
        ("video://", "names nothing"),
        ("video://out.mp4", "three slashes"),
        ("video:///tmp/out.gif", "a video ends in .mp4 or .avi; rename it"),
        ("video:///tmp/out", "a video ends in"),
        ("video:///nowhere/out.mp4", "/nowhere/out.mp4 cannot be written (no such file or directory)"),
        ("video:///dev/null/out.mp4", "(not a directory)"),
        ("video:///tmp/out.mp4?fps=0", "fps is 0"),
        ("video:///tmp/out.mp4?fps=nan", "fps is nan"),
        ("video:///tmp/out.mp4?fps=500", "fps is 500"),
        ("video:///tmp/out.mp4?size=1", "no option 'size'"),
    ],
)
def test_what_cannot_be_opened(uri, text):
    assert text in refused(uri)


def test_a_folder_of_that_name_is_refused(tmp_path):
    (tmp_path / "out.mp4").mkdir()
    assert "is a folder" in refused(f"video://{tmp_path}/out.mp4")
    assert [p.name for p in tmp_path.iterdir()] == ["out.mp4"]


def test_a_full_disk_is_said_and_the_video_can_still_be_read(small_disk, monkeypatch):
    disk = small_disk("5m")
    monkeypatch.setattr(video, "_RESERVE", 2**20)
    noise = np.random.default_rng(0).integers(0, 255, (240, 320), dtype=np.uint8)
    sink = open_sink(f"video://{disk}/out.avi")
    sink.start(session())
    refusals = []
    for i in range(120):
        try:
            sink.write(verdict(i, pixels=noise))
        except OSError as error:
            refusals.append(str(error))
    sink.close()
    assert set(refusals) == {"[Errno 28] No space left on device"}
    frames, _ = read(disk / "out.avi")
    assert 2 < len(frames) < 60
