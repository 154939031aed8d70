from __future__ import annotations

import json
import struct

import cv2
import numpy as np
import pytest

from edge_cns.contract import InputSpec
from edge_cns.frames import Frame, Region
from edge_cns.runtime.sinks.viewer.picture import LONGEST_SIDE, Picture, take_picture

SPEC = InputSpec(160, 160)


def read(content: bytes) -> tuple[dict, bytes, np.ndarray]:
    length = struct.unpack("<I", content[:4])[0]
    header = json.loads(content[4 : 4 + length])
    cells = header["heat"]["rows"] * header["heat"]["columns"] if header["heat"] else 0
    rest = content[4 + length :]
    image = cv2.imdecode(np.frombuffer(rest[cells:], np.uint8), cv2.IMREAD_UNCHANGED)
    assert image is not None
    return header, rest[:cells], image


def taken(pixels: np.ndarray, heat: np.ndarray | None = None, region: Region | None = None, **frame) -> Picture:
    return take_picture(Frame(pixels, 5_000_000, 7, **frame), heat, region, SPEC, "cyst")


def message(picture: Picture, *, heat: bool = True, outline: bool = True) -> tuple[dict, bytes, np.ndarray]:
    return read(picture.message(9_000_000, 12.5, heat=heat, outline=outline))


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((480, 640), (480, 640)),
        ((1080, 1920), (720, LONGEST_SIDE)),
        ((8192, 64), (LONGEST_SIDE, 10)),
        ((64, 64), (64, 64)),
    ],
)
def test_the_longest_side(shape, size):
    header, _, image = message(taken(np.full(shape, 90, np.uint8)))
    assert image.shape == size
    assert (header["height"], header["width"]) == shape
    assert (header["sequence"], header["age_ms"], header["sent_ms"]) == (7, 4.0, 12.5)


@pytest.mark.parametrize(
    ("pixels", "bits", "level"),
    [
        (np.full((80, 80), 90, np.uint8), None, 90),
        (np.full((80, 80), 90 * 256, np.uint16), None, 90),
        (np.full((80, 80, 3), 90, np.uint8), None, 90),
        (np.full((80, 80, 3), 90 * 16, np.uint16), 12, 90),
    ],
)
def test_every_kind_of_pixels(pixels, bits, level):
    _, _, image = message(taken(pixels, bits_stored=bits))
    assert image.ndim == pixels.ndim
    assert abs(float(image.mean()) - level) < 2


def test_the_grid_covers_the_region_alone():
    """A wide region is letterboxed in the network's square: evidence in the middle of its right end stays there."""
    region = Region(100, 50, 400, 200)
    heat = np.full((10, 10), -1, np.float32)
    heat[4:6, 9] = 5.0
    header, grid, _ = message(taken(np.zeros((400, 600), np.uint8), heat, region))
    rows, columns = header["heat"]["rows"], header["heat"]["columns"]
    assert abs(columns / rows - 2) < 0.1
    y, x = np.unravel_index(np.argmax(np.frombuffer(grid, np.uint8)), (rows, columns))
    assert x / columns > 0.9
    assert abs((y + 0.5) / rows - 0.5) < 0.2
    left, top, width, height = header["outline"]
    assert left >= 400
    assert left + width == 500
    assert top > 50
    assert top + height < 250


def test_no_evidence_without_a_place_or_a_reason():
    pixels, region = np.zeros((100, 100), np.uint8), Region(0, 0, 100, 100)
    for heat, where in (
        (None, region),
        (np.ones((5, 5), np.float32), None),
        (np.full((5, 5), -1, np.float32), region),
        (np.full((5, 5), np.nan, np.float32), region),
    ):
        header, grid, _ = message(taken(pixels, heat, where))
        assert (header["heat"], header["outline"], grid) == (None, None, b"")


def test_evidence_that_is_not_for_everybody():
    picture = taken(np.zeros((100, 100), np.uint8), np.eye(5, dtype=np.float32), Region(0, 0, 100, 100))
    header, grid, _ = message(picture, heat=False, outline=False)
    assert (header["heat"], header["outline"], grid) == (None, None, b"")
    header, grid, _ = message(picture, outline=False)
    assert header["outline"] is None
    assert max(grid) > 200
