from __future__ import annotations

import time
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_cns.data.phantom import CLASSES
from edge_cns.errors import BadInputError
from edge_cns.frames import Frame
from edge_cns.runtime.sources.table import SOURCES, open_source


def write_image(path: Path, level: int, side: int = 80) -> Path:
    path.write_bytes(cv2.imencode(path.suffix, np.full((side, side), level, np.uint8))[1].tobytes())
    return path


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
    path = tmp_path / "clip.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25.0, (96, 80))
    for i in range(5):
        writer.write(np.full((80, 96, 3), 40 * i, np.uint8))
    writer.release()
    return path


def frames(uri: object, count: int = 100) -> list[Frame]:
    source = open_source(str(uri))
    taken = list(islice(source, count))
    source.close()
    source.close()
    return taken


def test_a_folder_in_the_order_of_names(folder):
    before = time.monotonic_ns()
    taken = frames(folder)
    assert [int(frame.pixels[0, 0]) for frame in taken] == [10, 20, 30]
    assert [frame.sequence for frame in taken] == [0, 1, 2]
    times = [frame.captured_ns for frame in taken]
    assert before <= times[0] < times[1] < times[2] <= time.monotonic_ns()


def test_file_uris(folder, tmp_path):
    for uri in (
        folder.as_uri(),
        f"file://{folder}".replace("%", "%25"),
        folder.as_uri().replace(":///", "://localhost/"),
    ):
        assert len(frames(uri)) == 3, uri
    (one,) = frames((folder / "c.png").as_uri())
    assert one.pixels.shape == (80, 80)
    odd = write_image(tmp_path / "study:1.png", 5)
    assert len(frames(odd)) == 1


def test_a_clip(clip):
    taken = frames(clip)
    assert [frame.sequence for frame in taken] == [0, 1, 2, 3, 4]
    assert {frame.pixels.shape for frame in taken} == {(80, 96, 3)}
    assert all(abs(float(frame.pixels.mean()) - 40 * i) < 6 for i, frame in enumerate(taken))
    assert len(frames(clip.as_uri(), 2)) == 2


def test_sixteen_bits_stay(tmp_path):
    path = tmp_path / "deep.png"
    path.write_bytes(cv2.imencode(".png", np.full((64, 64), 4000, np.uint16))[1].tobytes())
    (frame,) = frames(path)
    assert frame.pixels.dtype == np.uint16
    assert frame.pixels[0, 0] == 4000


def test_a_closed_source_ends(folder):
    for uri in (str(folder), "synthetic://phantom?size=64"):
        source = open_source(uri)
        taken = iter(source)
        next(taken)
        source.close()
        assert len(list(islice(taken, 5))) <= 2


@pytest.mark.parametrize("label", CLASSES)
def test_the_phantom_never_ends(label):
    taken = frames(f"synthetic://phantom?class={label}&fps=30&size=64&seed=3", 3)
    assert [frame.sequence for frame in taken] == [0, 1, 2]
    assert all(frame.pixels.shape == (64, 64) for frame in taken)
    assert all(frame.region is not None and frame.mm_per_pixel[0] > 0 for frame in taken)
    assert not np.array_equal(taken[0].pixels, taken[1].pixels), "it moves"


def test_a_seed_is_a_film():
    first, again, other = (
        frames(f"synthetic://phantom?class=normal&size=64&seed={seed}", 1)[0].pixels for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(
    ("uri", "text"),
    [
        ("ftp://host/clip.mp4", "no source ftp://; use one of file://, synthetic://"),
        ("nowhere.mp4", "does not exist"),
        ("file:///nowhere/clip.mp4", "/nowhere/clip.mp4 does not exist"),
        ("file://folder/clip.mp4", "three slashes"),
        ("//[", "does not exist"),
        ("synthetic://", "give synthetic://phantom"),
        ("synthetic://[phantom", "give synthetic://phantom"),
        ("synthetic://head", "give synthetic://phantom"),
        ("synthetic://phantom?view=3", "with class, fps, seed and size"),
        ("synthetic://phantom?class=nobody", "no class 'nobody'"),
        ("synthetic://phantom?class=", "no class ''"),
        ("synthetic://phantom?fps=fast", "are numbers"),
        ("synthetic://phantom?fps=0", "fps is 0"),
        ("synthetic://phantom?fps=nan", "fps is nan"),
        ("synthetic://phantom?fps=inf", "fps is inf"),
        ("synthetic://phantom?seed=1.5", "are numbers"),
        ("synthetic://phantom?seed=-1", "seed"),
        ("synthetic://phantom?size=63", "size is 63 px; give 64 to 2048"),
        ("synthetic://phantom?size=999999999", "size is 999999999 px"),
    ],
)
def test_what_cannot_be_opened(uri, text):
    with pytest.raises(BadInputError) as caught:
        frames(uri, 1)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_no_clip_is_refused_quietly(tmp_path, capfd):
    for name, content in (("empty.mp4", b""), ("text.mp4", b"not a clip"), ("noise.avi", bytes(range(256)) * 40)):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(BadInputError, match=f"{name} is no clip that can be decoded"):
            open_source(str(tmp_path / name))
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInputError, match="has no images"):
        open_source(str(tmp_path / "empty"))
    assert capfd.readouterr().err == ""


def test_a_bad_image_in_a_folder_is_named(folder):
    (folder / "b.bmp").write_bytes(b"")
    with pytest.raises(BadInputError, match=r"b\.bmp is empty"):
        frames(folder)


def test_a_clip_with_frames_too_small(tmp_path):
    path = tmp_path / "small.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25.0, (48, 32))
    writer.write(np.zeros((32, 48, 3), np.uint8))
    writer.release()
    with pytest.raises(BadInputError, match="48x32 px"):
        frames(path)


def test_every_row_of_the_table_is_there():
    import importlib

    for module, function in SOURCES.values():
        assert callable(getattr(importlib.import_module(module), function))
