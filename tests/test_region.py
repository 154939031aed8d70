from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_cns.contract import InputSpec
from edge_cns.data.images import read_image
from edge_cns.errors import BadInputError
from edge_cns.frames import Frame, Region
from edge_cns.grey import grey8
from edge_cns.preprocess import region_of
from edge_cns.region import find_region

DATA = os.environ.get("EDGE_CNS_DATA_DIR")
WHOLE_HD = Region(0, 0, 1920, 1080)


def fan(width: int, height: int, gain: float = 1.0) -> np.ndarray:
    """Speckle in a sector, black outside: ``(height, width)`` uint8."""
    speckle = cv2.GaussianBlur(np.random.default_rng(0).rayleigh(60, (height, width)), (0, 0), 2.0)
    y, x = np.mgrid[:height, :width]
    apex = -0.15 * height
    radius, angle = np.hypot(x - width / 2, y - apex), np.arctan2(x - width / 2, y - apex)
    sector = (radius < height - apex) & (radius > 0.05 * height - apex) & (np.abs(angle) < 0.6)
    return np.clip(speckle * gain * sector, 0, 255).astype(np.uint8)


def screen(scale: float = 1.0, panel: int = 0, words: int = 6, gain: float = 1.0) -> tuple[np.ndarray, Region]:
    """A cart's screen at ``scale`` times 1080p, with a menu panel, text and a ruler; and where the fan is on it."""
    width, height = int(1920 * scale), int(1080 * scale)
    picture = np.zeros((height, width), np.uint8)
    drawn = fan(int(1000 * scale), int(900 * scale), gain)
    left, top = int(460 * scale), int(90 * scale)
    picture[top : top + drawn.shape[0], left : left + drawn.shape[1]] = drawn
    if panel:
        picture[:, : int(260 * scale)] = panel
        picture[: int(40 * scale)] = panel
    size, thick = 0.9 * scale, max(1, round(2 * scale))

    def write(text: str, x: float, y: float) -> None:
        cv2.putText(picture, text, (int(x * scale), int(y * scale)), cv2.FONT_HERSHEY_SIMPLEX, size, 230, thick)

    for i in range(words):
        write(f"Gain {40 + i}", 20, 120 + 900 / words * i)
    for i, text in enumerate(("A NAME 1234", "MI 1.1 TIb 0.4", "13 cm 28 Hz")):
        write(text, 1560, 120 + 45 * i)
    for i in range(20):
        y = int((90 + 45 * i) * scale)
        cv2.line(picture, (int(1480 * scale), y), (int(1490 * scale), y), 200, 1)
    rows, columns = np.nonzero(drawn > 8)
    x0, y0, x1, y1 = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    return picture, Region(int(left + x0), int(top + y0), int(x1 - x0), int(y1 - y0))


def overshoot(found: Region, truth: Region) -> list[int]:
    """By how many px each edge lies outside the truth: left, top, right, bottom."""
    return [
        truth.x - found.x,
        truth.y - found.y,
        found.x + found.width - truth.x - truth.width,
        found.y + found.height - truth.y - truth.height,
    ]


@pytest.mark.parametrize("scale", [0.5, 2 / 3, 1.0, 2.0], ids=["540p", "720p", "1080p", "4K"])
@pytest.mark.parametrize(("panel", "words"), [(0, 0), (0, 20), (30, 0), (60, 6)])
def test_finds_the_fan_on_a_screen(scale, panel, words):
    picture, truth = screen(scale, panel, words)
    edges = overshoot(find_region(Frame(picture)), truth)
    thumbnail_px = picture.shape[0] / 96
    assert min(edges) >= 0, f"cuts into the fan: {edges}"
    assert max(edges) <= 4.5 * thumbnail_px, f"takes in too much: {edges}"


def test_brightness_does_not_move_it():
    found = [find_region(Frame(screen(gain=gain)[0])) for gain in (0.4, 0.7, 1.0, 1.6)]
    assert len({(r.x, r.y, r.width, r.height) for r in found}) == 1


def test_colour_and_depth_do_not_move_it():
    picture, _ = screen(0.5)
    here = find_region(Frame(picture))
    assert find_region(Frame(cv2.merge([picture] * 3))) == here
    assert find_region(Frame(picture.astype(np.uint16) * 256)) == here
    assert find_region(Frame(picture.astype(np.uint16) * 16, bits_stored=12)) == here


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((1080, 1920), np.uint8),
        np.full((1080, 1920), 255, np.uint8),
        np.full((1080, 1920), 90, np.uint8),
        screen(panel=60)[0] * (np.arange(1920) < 300).astype(np.uint8),  # menus, no fan
        np.pad(np.random.default_rng(0).integers(0, 255, (200, 200), dtype=np.uint8), ((800, 80), (1600, 120))),
    ],
    ids=["black", "white", "grey", "menus only", "a thumbnail in a corner"],
)
def test_the_whole_frame_where_nothing_is_credible(picture):
    assert find_region(Frame(picture)) == WHOLE_HD


def test_speckle_to_the_edges_is_the_whole_frame():
    picture = np.random.default_rng(0).integers(20, 200, (480, 640), dtype=np.uint8)
    assert find_region(Frame(picture)) == Region(0, 0, 640, 480)


@given(
    st.integers(64, 400),
    st.integers(64, 400),
    st.integers(0, 2**32 - 1),
    st.floats(0, 40),
    st.floats(0, 1),
    st.booleans(),
)
def test_never_out_of_bounds(height, width, seed, blur, dark, deep):
    rng = np.random.default_rng(seed)
    picture = rng.random((height, width))
    if blur > 0.3:
        picture = cv2.GaussianBlur(picture, (0, 0), blur)
    picture = np.where(picture < np.quantile(picture, dark), 0, picture / picture.max())
    pixels = (picture * (65535 if deep else 255)).astype(np.uint16 if deep else np.uint8)
    r = find_region(Frame(pixels))
    assert r.x + r.width <= width
    assert r.y + r.height <= height
    assert r.width * r.height >= 0.12 * width * height
    Frame(pixels, region=r)


def test_the_frames_own_region_wins():
    picture, truth = screen(0.5)
    own = Region(3, 4, 200, 100)
    assert region_of(Frame(picture, region=own), InputSpec(64, 64)) == own
    assert region_of(Frame(picture), InputSpec(64, 64)) == find_region(Frame(picture)) != truth
    assert region_of(Frame(picture, region=own), InputSpec(64, 64, "whole")) == Region(0, 0, 960, 540)


def test_a_fixed_region_must_fit():
    spec = InputSpec(64, 64, "fixed", Region(100, 50, 300, 200))
    frame = Frame(np.zeros((250, 400), np.uint8), region=Region(0, 0, 64, 64))
    assert region_of(frame, spec) == Region(100, 50, 300, 200)
    for shape in ((249, 400), (250, 399)):
        with pytest.raises(BadInputError, match=f"does not fit a frame of {shape[1]}x{shape[0]} px"):
            region_of(Frame(np.zeros(shape, np.uint8)), spec)


@pytest.mark.skipif(DATA is None, reason="EDGE_CNS_DATA_DIR is unset: no real frames")
def test_real_frames_keep_their_image():
    """What is cut away is dark; only frames of very low gain lose more than a tenth of their brightness."""
    paths = [p for name in ("fetal_planes", "hc18") for p in sorted((Path(DATA) / name / "images").iterdir())[::50]]
    assert len(paths) >= 40
    for side in (None, 1080):
        kept = []
        for path in paths:
            grey = grey8(read_image(path).pixels)
            factor = (side or grey.shape[0]) / grey.shape[0]
            picture = cv2.resize(grey, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
            r = find_region(Frame(picture))
            kept.append(picture[r.y : r.y + r.height, r.x : r.x + r.width].sum() / picture.sum())
        assert np.mean(kept) > 0.98
        assert np.mean(np.array(kept) < 0.9) < 0.05
