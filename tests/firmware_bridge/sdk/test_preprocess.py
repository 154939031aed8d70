"""The C preprocessing gives what Python gives, to the bit: image, region, and whether the mode can be read."""

from __future__ import annotations

import ctypes as c
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_cns.contract import InputSpec
from edge_cns.data.images import read_image
from edge_cns.data.phantom import CLASSES, PLANES, draw_patient, render
from edge_cns.frames import MAX_SIDE, Frame, Region
from edge_cns.grey import grey8
from edge_cns.mode import COLOUR, DUAL, is_coloured, is_dual
from edge_cns.preprocess import fit_within, prepare, resize
from edge_cns.region import find_parts
from tests.firmware_bridge.sdk.native import PREPROCESS, Picture, Preprocessing, compile_shared, picture_of

DATA = os.environ.get("EDGE_CNS_DATA_DIR")
SPEC = InputSpec(224, 224)
MANY = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> Preprocessing:
    return Preprocessing(compile_shared(tmp_path_factory.mktemp("preprocess"), *PREPROCESS))


def content(seed: int, height: int, width: int, kind: int) -> np.ndarray:
    """Noise, blobs on black, a ramp, or one level: ``(height, width)`` uint8."""
    rng = np.random.default_rng([seed, kind])
    if kind == 0:
        return rng.integers(0, 256, (height, width), dtype=np.uint8)
    if kind == 1:
        field = cv2.GaussianBlur(rng.random((height, width)), (0, 0), float(rng.uniform(0.5, 30)))
        shown = field > np.quantile(field, rng.uniform(0, 1))
        return (rng.integers(0, 256, (height, width)) * shown).astype(np.uint8)
    if kind == 2:
        steps = [np.arange(side) * int(rng.integers(0, 9)) for side in (height, width)]
        return (np.add.outer(*steps) // int(rng.integers(1, 9)) % 256).astype(np.uint8)
    return np.full((height, width), rng.integers(0, 256), np.uint8)


def same(native: Preprocessing, frame: Frame, spec: InputSpec) -> None:
    here, there = native.prepare(frame, spec), prepare(frame, spec)
    assert here is not None
    assert here.region == there.region
    assert here.unreadable == there.unreadable
    assert np.array_equal(here.image, there.image)


SIDES = st.one_of(st.integers(64, 300), st.integers(64, 1400))
SEEDS = st.integers(0, 2**32 - 1)
KINDS = st.integers(0, 3)


@MANY
@given(SIDES, SIDES, st.integers(1, 300), st.integers(1, 300), SEEDS, KINDS)
def test_resize(native, from_height, from_width, height, width, seed, kind):
    picture = content(seed, from_height, from_width, kind)
    expected = np.empty((height, width), np.uint8)
    resize(picture, expected)
    assert np.array_equal(native.resize(picture, width, height), expected)


@MANY
@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 120), st.integers(1, 120), SEEDS)
def test_resize_by_whole_numbers(native, across, down, width, height, seed):
    picture = content(seed, height * down, width * across, 0)
    expected = np.empty((height, width), np.uint8)
    resize(picture, expected)
    assert np.array_equal(native.resize(picture, width, height), expected)


@pytest.mark.parametrize(
    "size", [(8192, 8192), (8191, 4097), (8192, 64), (64, 8191), (3840, 2160), (4095, 4095)], ids=str
)
@pytest.mark.parametrize("spec", [SPEC, InputSpec(1024, 1024), InputSpec(32, 96, letterbox=False)], ids=str)
def test_the_largest_frames(native, size, spec):
    picture = content(1, size[1], size[0], 0)
    same(native, Frame(picture, region=Region(0, 0, *size)), spec)


@pytest.mark.parametrize("side", [224, 512, 1024])
def test_every_sampling_position_of_a_row(native, side):
    """Weights are rounded to 1/2048, some of them from a tie: every width that is brought to three or four samples."""
    rng = np.random.default_rng(side)
    for width in range(int(2.3 * side), min(MAX_SIDE, 8 * side), 7 if side < 1000 else 31):
        picture = rng.integers(0, 256, (int(width / side * 8) + 1, width), dtype=np.uint8)
        expected = np.empty((8, side), np.uint8)
        resize(picture, expected)
        assert np.array_equal(native.resize(picture, side, 8), expected), width


@MANY
@given(SIDES, SIDES, st.integers(32, 300), st.integers(32, 300), st.booleans(), SEEDS, KINDS, st.sampled_from("gwBi"))
def test_prepare(native, height, width, tensor_height, tensor_width, letterbox, seed, kind, form):
    pixels = content(seed, height, width, kind)
    rng = np.random.default_rng(seed)
    bits = None
    if form == "w":
        bits = int(rng.integers(8, 17))
        pixels = rng.integers(0, 2**16, pixels.shape, dtype=np.uint16) & (pixels.astype(np.uint16) * 257)
    if form == "B":
        pixels = np.dstack([pixels, np.roll(pixels, int(rng.integers(0, 3)), 1), pixels])
    if form == "i":
        pixels = np.pad(pixels, ((0, 0), (0, 13)))[:, : pixels.shape[1]]
    same(native, Frame(pixels, bits_stored=bits), InputSpec(tensor_height, tensor_width, letterbox=letterbox))


@MANY
@given(SIDES, SIDES, SEEDS, st.booleans(), st.sampled_from(["auto", "whole", "fixed"]))
def test_regions(native, height, width, seed, letterbox, rule):
    rng = np.random.default_rng(seed)
    x, y = int(rng.integers(0, width)), int(rng.integers(0, height))
    region = Region(x, y, int(rng.integers(1, width - x + 1)), int(rng.integers(1, height - y + 1)))
    spec = InputSpec(96, 128, rule, region if rule == "fixed" else None, letterbox)
    pixels = content(seed, height, width, 0)
    same(native, Frame(pixels, region=region), spec)
    same(native, Frame(np.dstack([pixels, pixels // 2, pixels // 3])), spec)


def test_a_fixed_region_must_fit(native):
    spec = InputSpec(64, 64, "fixed", Region(100, 50, 300, 200))
    assert native.prepare(Frame(np.zeros((250, 400), np.uint8)), spec) is not None
    assert native.prepare(Frame(np.zeros((249, 400), np.uint8)), spec) is None
    assert native.prepare(Frame(np.zeros((250, 399), np.uint8)), spec) is None


@MANY
@given(st.integers(1, MAX_SIDE), st.integers(1, MAX_SIDE), st.integers(32, 1024), st.integers(32, 1024))
def test_letterbox(native, width, height, tensor_width, tensor_height):
    spec = InputSpec(tensor_height, tensor_width)
    assert native.fit_within(width, height, spec) == fit_within(width, height, spec)


@MANY
@given(SIDES, SIDES, SEEDS, st.integers(1, 6))
def test_parts(native, height, width, seed, islands):
    """Several islands of speckle, some with holes and islands in them."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((height, width), np.uint8)
    for i in range(2 * islands):
        centre = (int(rng.integers(0, width)), int(rng.integers(0, height)))
        axes = (int(rng.integers(1, width // 2 + 1)), int(rng.integers(1, height // 2 + 1)))
        cv2.ellipse(mask, centre, axes, float(rng.uniform(0, 180)), 0, 360, int(i % 3 != 2), -1)
    frame = Frame(mask * rng.integers(20, 255, mask.shape, dtype=np.uint8))
    assert native.parts(frame) == list(find_parts(frame))


@MANY
@given(SIDES, SIDES, SEEDS, KINDS)
def test_parts_of_anything(native, height, width, seed, kind):
    frame = Frame(content(seed, height, width, kind))
    assert native.parts(frame) == list(find_parts(frame))


@pytest.mark.parametrize("size", [3, 7])
def test_means_have_no_halves(size):
    """Python's blurs round to the nearest: what `region.c` and `resize_linear.c` divide by is odd."""
    rng = np.random.default_rng(size)
    for level in range(1, 256, 2):
        picture = rng.integers(0, level + 1, (96, 120), dtype=np.uint8)
        padded = np.pad(picture.astype(int), size // 2, mode="edge")
        sums = np.lib.stride_tricks.sliding_window_view(padded, (size, size)).sum(axis=(2, 3))
        expected = (2 * sums + size * size) // (2 * size * size)
        assert np.array_equal(cv2.blur(picture, (size, size), borderType=cv2.BORDER_REPLICATE), expected)


@MANY
@given(st.lists(st.tuples(*[st.integers(0, 400)] * 2, *[st.integers(1, 500)] * 2), max_size=6))
def test_two_images_side_by_side(native, boxes):
    parts = [Region(*box) for box in boxes]
    assert native.is_dual(parts, 1000, 700) == is_dual(parts, 1000, 700)


@MANY
@given(st.integers(64, 500), st.integers(64, 500), SEEDS, st.floats(0, 0.02), st.integers(0, 120))
def test_colour(native, height, width, seed, share, strength):
    """A share of the pixels, near the limit, has a colour of a strength near the limit, over a tint or over grey."""
    rng = np.random.default_rng(seed)
    grey = content(seed, height, width, 1).astype(int)
    tint = np.array([1.0, 1.0, 1.0]) if seed % 2 else rng.uniform(0.5, 1.1, 3)
    pixels = np.clip(grey[..., None] * tint, 0, 255)
    coloured = rng.random((height, width)) < share
    pixels[coloured, int(rng.integers(0, 3))] += strength
    pixels = np.clip(pixels, 0, 255).astype(np.uint8)
    assert native.is_coloured(pixels) == is_coloured(pixels)


def test_grey_of_every_colour(native):
    levels = np.arange(256, dtype=np.uint8)
    line = np.empty(65536, np.uint8)
    for blue in range(256):
        pixels = np.stack(np.meshgrid([blue], levels, levels, indexing="ij"), -1).reshape(1, -1, 3).astype(np.uint8)
        picture = Picture(pixels.ctypes.data, pixels.nbytes, 65536, 1, 3, 16)
        native.library.ec_grey_samples(c.byref(picture), 0, 1, 65536, c.c_void_p(line.ctypes.data))
        assert np.array_equal(line, grey8(pixels)[0])


@pytest.mark.parametrize("bits", [8, 9, 10, 12, 15, 16])
def test_grey_of_every_16_bit_level(native, bits):
    pixels = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    line, picture = np.empty((256, 256), np.uint8), picture_of(Frame(pixels, bits_stored=bits))
    for y in range(256):
        native.library.ec_grey_samples(c.byref(picture), y, 1, 256, c.c_void_p(line[y].ctypes.data))
    assert np.array_equal(line, grey8(pixels, bits))


@pytest.fixture(scope="module")
def fans() -> list[np.ndarray]:
    return [
        render(draw_patient(CLASSES[i % 5], seed=i), plane, view=i, size=256).pixels for i, plane in enumerate(PLANES)
    ]


@pytest.mark.parametrize("size", [(640, 480), (1024, 768), (1280, 720), (1920, 1080), (3840, 2160)], ids=str)
def test_a_fan_on_a_screen(native, fans, size):
    width, height = size
    for fan in fans:
        screen = np.zeros((height, width), np.uint8)
        side = int(0.9 * height)
        screen[(height - side) // 2 :, (width - side) // 2 :][:side, :side] = cv2.resize(fan, (side, side))
        for row in range(6):
            cv2.putText(
                screen, f"Gain {row}", (5, height // 7 * (row + 1)), cv2.FONT_HERSHEY_SIMPLEX, height / 900, 230
            )
        for pixels in (screen, cv2.merge([screen] * 3), screen.astype(np.uint16) * 257):
            same(native, Frame(pixels), SPEC)


def test_what_cannot_be_read_is_said(native, fans):
    screen = np.zeros((768, 1024), np.uint8)
    screen[140:620, 20:500] = cv2.resize(fans[0], (480, 480))
    screen[140:620, 524:1004] = cv2.resize(fans[1], (480, 480))
    flow = cv2.cvtColor(fans[2], cv2.COLOR_GRAY2BGR)
    cv2.circle(flow, (120, 130), 25, (30, 60, 220), -1)
    for pixels, why in ((screen, DUAL), (flow, COLOUR), (fans[0], "")):
        assert prepare(Frame(pixels), SPEC).unreadable == why
        same(native, Frame(pixels), SPEC)


@MANY
@given(st.integers(64, 700), st.integers(64, 700), st.integers(0, 900), st.integers(0, 900), SEEDS, st.booleans())
def test_memory_for_larger_frames_is_enough_for_smaller_ones(native, height, width, taller, wider, seed, letterbox):
    frame = Frame(content(seed, height, width, 1))
    spec = InputSpec(40 + seed % 100, 40 + seed % 90, letterbox=letterbox)
    assert native.prepare(frame, spec, most=(width + wider, height + taller)) is not None


def test_clean_under_the_sanitisers(tmp_path, fans):
    options = ("-O1", "-g", "-fsanitize=undefined", "-fsanitize-undefined-trap-on-error")
    native = Preprocessing(compile_shared(tmp_path, *PREPROCESS, options=options))
    rng = np.random.default_rng(5)
    for i in range(60):
        height, width = (int(side) for side in rng.integers(64, 900, 2))
        same(native, Frame(content(i, height, width, i % 4)), InputSpec(96, 128, letterbox=bool(i % 2)))
    same(native, Frame(cv2.merge([fans[0]] * 3)), SPEC)


@pytest.mark.skipif(DATA is None, reason="EDGE_CNS_DATA_DIR is unset: no real frames")
@pytest.mark.parametrize("data", ["fetal_planes", "hc18"])
def test_real_frames(native, data):
    paths = sorted((Path(str(DATA)) / data / "images").iterdir())
    for path in paths[:: max(1, len(paths) // 40)]:
        same(native, read_image(path), SPEC)
        same(native, read_image(path), InputSpec(96, 96))
