from __future__ import annotations

import os
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

from edge_cns.errors import BadInputError, OperationError
from edge_cns.frames import EventKind, Frame, MachineEvent, UnusableFrame
from edge_cns.runtime.sources.table import open_source
from tests.runtime.sources.material import deliveries, write_clip, write_image


@pytest.fixture
def folder(tmp_path):
    """Three images, not in the order in which they were written, beside a file that is none."""
    made = tmp_path / "a folder #1 50%"
    made.mkdir()
    for name, level in (("c.png", 30), ("a.PNG", 10), ("b.bmp", 20)):
        write_image(made / name, level)
    (made / "notes.txt").write_text("not an image")
    return made


@pytest.fixture
def clip(tmp_path):
    return write_clip(tmp_path / "clip.mp4")


def test_a_folder_in_the_order_of_names(folder):
    before = time.monotonic_ns()
    taken = deliveries(folder)
    assert [int(frame.pixels[0, 0]) for frame in taken] == [10, 20, 30]
    assert [frame.sequence for frame in taken] == [0, 1, 2]
    times = [frame.captured_ns for frame in taken]
    assert before <= times[0] < times[1] < times[2] <= time.monotonic_ns()


def test_file_uris(folder, tmp_path):
    for uri in (
        folder.as_uri(),
        f"file://{folder}".replace("%", "%25"),
        folder.as_uri().replace(":///", "://localhost/"),
        folder.as_uri().replace("file:", "FILE:"),
    ):
        assert len(deliveries(uri)) == 3, uri
    (one,) = deliveries((folder / "c.png").as_uri())
    assert one.pixels.shape == (80, 80)


@pytest.mark.parametrize(
    "name", ["study:1.png", "what?loop=1.png", "a#2.png", "x?http://y.png", os.fsdecode(b"\xff.png")]
)
def test_odd_names(tmp_path, name):
    odd = tmp_path / name
    if "/" in name:
        odd.parent.mkdir(parents=True)
    write_image(odd, 5)
    assert len(deliveries(odd)) == 1
    assert len(deliveries(odd.as_uri())) == 1


def test_a_clip(clip):
    taken = deliveries(clip)
    assert [frame.sequence for frame in taken] == [0, 1, 2, 3, 4]
    assert {frame.pixels.shape for frame in taken} == {(80, 96, 3)}
    assert all(abs(float(frame.pixels.mean()) - 40 * i) < 6 for i, frame in enumerate(taken))
    assert len(deliveries(clip.as_uri(), 2)) == 2


def test_a_live_clip_runs_at_its_own_rate_once(clip):
    taken = deliveries(clip, live=True)
    assert len(taken) == 5
    seconds = (taken[-1].captured_ns - taken[0].captured_ns) / 1e9
    assert 0.155 < seconds < 3
    assert len(deliveries(f"{clip.as_uri()}?rate=max", live=True)) == 5


def test_a_loop_is_announced_and_counts_on(clip):
    taken = deliveries(f"{clip.as_uri()}?loop=1", 12)
    events = [i for i, one in enumerate(taken) if isinstance(one, MachineEvent)]
    assert events == [5, 11]
    assert taken[5].kind is EventKind.CINE
    shown = [one for one in taken if isinstance(one, Frame)]
    assert [frame.sequence for frame in shown] == list(range(10))
    assert np.array_equal(shown[0].pixels, shown[5].pixels)
    assert taken[4].captured_ns <= taken[5].at_ns <= taken[6].captured_ns


def test_a_rate_asked_for_holds_whether_live_or_not(clip, folder):
    for live in (False, True):
        taken = deliveries(f"{clip.as_uri()}?rate=20", live=live)
        assert 0.19 < (taken[-1].captured_ns - taken[0].captured_ns) / 1e9 < 3
    taken = deliveries(folder, live=True)
    assert 0.19 < (taken[-1].captured_ns - taken[0].captured_ns) / 1e9 < 3, "ten images a second"


def test_sixteen_bits_stay(tmp_path):
    path = tmp_path / "deep.png"
    path.write_bytes(cv2.imencode(".png", np.full((64, 64), 4000, np.uint16))[1].tobytes())
    (frame,) = deliveries(path)
    assert frame.pixels.dtype == np.uint16
    assert frame.pixels[0, 0] == 4000


@pytest.mark.parametrize(
    ("uri", "text"),
    [
        ("nowhere.mp4", "does not exist"),
        ("no\nwhere\0.mp4", "does not exist"),
        ("n" * 5000, "cannot be read (File name too long)"),
        ("file:///nowhere/clip.mp4", "/nowhere/clip.mp4 does not exist"),
        ("file:///no%0Awhere", "does not exist"),
        ("file://folder/clip.mp4", "three slashes"),
        ("file://", "three slashes"),
        ("//[", "does not exist"),
        ("/dev/null", "is not a regular file"),
    ],
)
def test_what_cannot_be_opened(uri, text):
    for live in (False, True):
        with pytest.raises(BadInputError) as caught:
            open_source(uri, live=live)
        assert text in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("speed=2", "no option 'speed'; it goes with loop and rate"),
        ("loop=2", "loop '2' is neither yes nor no"),
        ("loop=1&loop=1", "loop is given twice"),
        ("rate=slow", "rate 'slow' is unknown; give native, max or frames a second"),
        ("rate=0", "rate is 0"),
        ("rate=-3", "rate is -3"),
    ],
)
def test_options_that_cannot_be_used(clip, query, text):
    with pytest.raises(BadInputError) as caught:
        open_source(f"{clip.as_uri()}?{query}")
    assert text in str(caught.value)


def test_what_is_no_clip_is_refused_quietly(tmp_path, capfd):
    for name, content in (("empty.mp4", b""), ("text.mp4", b"not a clip"), ("noise.avi", bytes(range(256)) * 40)):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(BadInputError, match=f"{name} is no clip that can be decoded"):
            open_source(str(tmp_path / name))
    cut = tmp_path / "cut.mp4"
    whole = write_clip(tmp_path / "whole.mp4", 50).read_bytes()
    cut.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadInputError, match=r"cut\.mp4 is no clip that can be decoded"):
        open_source(str(cut))
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInputError, match="has no images"):
        open_source(str(tmp_path / "empty"))
    assert capfd.readouterr().err == ""


def test_a_clip_whose_second_half_is_gone_says_so_at_its_end(tmp_path):
    whole = write_clip(tmp_path / "whole.avi", 40).read_bytes()
    damaged = tmp_path / "damaged.avi"
    damaged.write_bytes(whole[: len(whole) // 2])
    source, came = open_source(str(damaged)), []

    def watch() -> None:
        for one in source:
            came.append(one)

    with pytest.raises(OperationError, match=r"^damaged\.avi is damaged: \d+ of 40 frames came; copy it again"):
        watch()
    source.close()
    assert 5 < len(came) < 36
    code = "import sys; from edge_cns.runtime.sources.table import open_source; list(open_source(sys.argv[1]))"
    fresh = subprocess.run([sys.executable, "-c", code, damaged], capture_output=True, text=True, check=False)
    assert fresh.stderr.startswith("Traceback"), "decoders say nothing of their own"
    assert "damaged.avi is damaged" in fresh.stderr.splitlines()[-1]


def test_a_clip_that_is_gone_when_it_starts_again(clip):
    source = open_source(f"{clip.as_uri()}?loop=1")
    taken = iter(source)
    next(taken)
    clip.unlink()
    with pytest.raises(OperationError, match=r"^clip\.mp4 cannot be opened again"):
        list(taken)


def test_a_bad_image_in_a_folder_is_named(folder):
    (folder / "b.bmp").write_bytes(b"")
    with pytest.raises(BadInputError, match=r"b\.bmp is empty"):
        deliveries(folder)


def test_a_bad_image_in_a_live_folder_is_counted_and_the_rest_is_shown(folder):
    (folder / "b.bmp").write_bytes(b"")
    write_image(folder / "d.png", 40, side=40)
    taken = deliveries(f"{folder.as_uri()}?rate=max", live=True)
    assert [type(one) for one in taken] == [Frame, UnusableFrame, Frame, UnusableFrame]
    assert [one.sequence for one in taken] == [0, 1, 2, 3]
    assert taken[1].reason.startswith("b.bmp is empty"), "no folder: reasons are logged"
    assert "40x40 px" in taken[3].reason


def test_one_bad_image_is_refused_at_open(tmp_path):
    (tmp_path / "b.png").write_bytes(b"\x89PNG")
    with pytest.raises(BadInputError, match=r"b\.png"):
        open_source(str(tmp_path / "b.png"), live=True)


def test_a_clip_with_frames_too_small(tmp_path):
    path = write_clip(tmp_path / "small.avi", 3, size=(48, 32))
    with pytest.raises(BadInputError, match="48x32 px"):
        deliveries(path)
    taken = deliveries(path, live=True)
    assert [type(one) for one in taken] == [UnusableFrame] * 3
    assert taken[2].sequence == 2
    assert "48x32 px" in taken[2].reason
