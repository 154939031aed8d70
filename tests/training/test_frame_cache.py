"""Images that do not fit in memory: the same images, a bounded share of them held, and no half or stale part used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_cns.contract import InputSpec
from edge_cns.data.images import read_image
from edge_cns.errors import BadInputError, OperationError
from edge_cns.preprocess import image
from edge_cns.training import frame_cache as module
from edge_cns.training.frame_cache import StoredImages, store_images
from tests.dicoms import dicom_bytes

SPEC = InputSpec(32, 48)
RECORD = 32 * 48
PER_PART = 4


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PART_BYTES", PER_PART * RECORD)


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    found = []
    for number in range(10):
        pixels = np.random.default_rng(number).integers(20, 200, (70, 90), dtype=np.uint8)
        found.append(tmp_path / f"{number}.png")
        found[-1].write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    return found


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that were decoded, in order."""
    names: list[str] = []

    def spy(path: Path):
        names.append(path.name)
        return read_image(path)

    monkeypatch.setattr(module, "read_image", spy)
    return names


def stored(paths: list[Path], **options) -> StoredImages:
    folder = paths[0].parent / "parts"
    return store_images(paths, options.pop("spec", SPEC), folder, "reading", **options)


def test_reads_as_an_array_does(paths: list[Path]) -> None:
    expected = np.stack([image(read_image(path), SPEC) for path in paths])
    for kept in (0, 3, 6, 100):
        images = stored(paths, memory_bytes=kept * RECORD)
        assert (len(images), images.shape) == (10, (10, 32, 48))
        for number in (0, 3, 4, 9, -1, np.int64(7)):
            np.testing.assert_array_equal(images[number], expected[number])
        for several in (slice(2, 7), slice(None), slice(8, 99), slice(9, 2, -3), np.array([9, 0, 0, 5, 2])):
            np.testing.assert_array_equal(images[several], expected[several])
        assert images[3:3].shape == (0, 32, 48)
        for outside in (10, -11):
            with pytest.raises(IndexError, match="of 10"):
                images[outside]


def test_memory_holds_no_more_than_it_may(paths: list[Path]) -> None:
    images = stored(paths, memory_bytes=5 * RECORD + 7)
    assert images._kept.nbytes == 5 * RECORD
    sizes = sorted(path.stat().st_size for path in (paths[0].parent / "parts").iterdir())
    assert sizes == [2 * RECORD + 4, PER_PART * RECORD + 4, PER_PART * RECORD + 4]


def test_an_interrupted_preparation_goes_on_with_the_next_part(paths: list[Path], decoded: list[str]) -> None:
    seen = []

    def interrupt(task: str, done: int, total: int, note: str = "") -> None:
        seen.append((task, done, total))
        if done == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stored(paths, progress=interrupt)
    assert seen[-1] == ("reading", 6, 10)
    assert len(list((paths[0].parent / "parts").iterdir())) == 1  # whole or not at all
    decoded.clear()
    stored(paths)
    assert decoded == [f"{number}.png" for number in range(4, 10)]
    decoded.clear()
    stored(paths)
    assert decoded == []


@pytest.mark.parametrize("other", [InputSpec(48, 32), InputSpec(32, 48, "whole"), InputSpec(32, 48, letterbox=False)])
def test_another_input_shares_nothing(paths: list[Path], decoded: list[str], other: InputSpec) -> None:
    stored(paths)
    decoded.clear()
    images = stored(paths, spec=other, memory_bytes=0)
    assert len(decoded) == 10
    np.testing.assert_array_equal(images[1], image(read_image(paths[1]), other))


def test_a_changed_image_is_read_again(paths: list[Path], decoded: list[str]) -> None:
    """Same name, size and time stamp: only the content tells."""
    stored(paths)
    content = cv2.imencode(".bmp", cv2.imread(str(paths[5]), cv2.IMREAD_GRAYSCALE)[::-1])[1].tobytes()
    paths[5].write_bytes(content)
    decoded.clear()
    images = stored(paths, memory_bytes=0)
    assert decoded == ["4.png", "5.png", "6.png", "7.png"]
    np.testing.assert_array_equal(images[5], image(read_image(paths[5]), SPEC))


def test_frames_of_a_clip_are_told_apart(tmp_path: Path, decoded: list[str]) -> None:
    pytest.importorskip("pydicom", reason="needs the dicom extra")
    clip = np.stack([np.full((64, 64), 40 * i, np.uint8) for i in range(4)])
    (tmp_path / "clip.dcm").write_bytes(dicom_bytes(clip))
    for numbers in ((1, 3), (4, 2)):
        images = stored([tmp_path / f"clip.dcm#{number}" for number in numbers], memory_bytes=0)
        assert images[:].max(axis=(1, 2)).tolist() == [40 * (number - 1) for number in numbers]
    assert len(decoded) == 4


@pytest.mark.parametrize("damage", [lambda c: c[:-1], lambda c: b"", lambda c: c[:100] + b"\xff\0" + c[102:]])
def test_a_damaged_part_is_made_again(paths: list[Path], damage: Callable[[bytes], bytes]) -> None:
    whole = stored(paths)[:]
    for part in (paths[0].parent / "parts").iterdir():
        part.write_bytes(damage(part.read_bytes()))
    np.testing.assert_array_equal(stored(paths, memory_bytes=0)[:], whole)


def test_a_part_that_is_cut_short_or_gone_while_in_use(paths: list[Path]) -> None:
    images = stored(paths, memory_bytes=0)
    for part in images._parts:
        part.write_bytes(part.read_bytes()[: RECORD + 10])
    with pytest.raises(OperationError, match=r"\.part was cut short while it was in use; repeat the command"):
        images[1]
    images._parts[2].unlink()
    with pytest.raises(FileNotFoundError, match=r"\.part"):
        images[9]


def test_an_unreadable_image_is_refused_and_leaves_no_part(paths: list[Path]) -> None:
    paths[1].write_bytes(b"no image")
    with pytest.raises(BadInputError, match=r"1\.png is not a PNG"):
        stored(paths)
    assert list((paths[0].parent / "parts").iterdir()) == []
