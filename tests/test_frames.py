from __future__ import annotations

import time
from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from edge_cns.errors import BadInputError
from edge_cns.frames import MAX_SIDE, MIN_SIDE, Frame, Region


def pixels(*shape: int, dtype: type = np.uint8) -> np.ndarray:
    return np.zeros(shape, dtype)


@pytest.mark.parametrize("shape", [(64, 64), (64, 8192), (8192, 64), (2160, 3840), (64, 64, 3)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_takes_64_px_to_8192_px(shape, dtype):
    assert Frame(pixels(*shape, dtype=dtype)).pixels.shape == shape


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (pixels(MIN_SIDE - 1, 64), "64x63 px; both sides must be 64 to 8192"),
        (pixels(64, MAX_SIDE + 1), "8193x64 px"),
        (pixels(0, 0), "0x0 px"),
        (pixels(64), r"shape is \(64,\)"),
        (pixels(64, 64, 1), r"shape is \(64, 64, 1\)"),
        (pixels(64, 64, 4), r"shape is \(64, 64, 4\)"),
        (pixels(2, 64, 64, 3), "shape is"),
        (pixels(64, 64, dtype=np.int8), "dtype is int8"),
        (pixels(64, 64, dtype=np.float32), "dtype is float32"),
        (np.zeros((64, 64), ">u2"), "dtype is >u2"),
        ([[0] * 64] * 64, "not list"),
        (None, "not NoneType"),
    ],
)
def test_refuses_what_is_no_frame(value, text):
    with pytest.raises(BadInputError, match=text) as caught:
        Frame(value)
    assert "\n" not in str(caught.value)


def test_a_region_lies_inside_its_frame():
    assert Frame(pixels(64, 100), region=Region(36, 0, 64, 64)).region == Region(36, 0, 64, 64)
    for region in (Region(37, 0, 64, 64), Region(0, 1, 64, 64)):
        with pytest.raises(BadInputError, match="100x64"):
            Frame(pixels(64, 100), region=region)


@pytest.mark.parametrize("values", [(-1, 0, 5, 5), (0, -1, 5, 5), (0, 0, 0, 5), (0, 0, 5, 0)])
def test_a_region_has_an_area(values):
    with pytest.raises(BadInputError, match="not inside a frame"):
        Region(*values)


@pytest.mark.parametrize(("bits", "good"), [(None, True), (8, True), (16, True), (7, False), (17, False)])
def test_bits_stored(bits, good):
    if good:
        assert Frame(pixels(64, 64, dtype=np.uint16), bits_stored=bits).bits_stored == bits
    else:
        with pytest.raises(BadInputError, match=f"bits_stored is {bits}"):
            Frame(pixels(64, 64, dtype=np.uint16), bits_stored=bits)


def test_now_is_the_monotonic_clock():
    before = time.monotonic_ns()
    frame = Frame.now(pixels(64, 64), sequence=7)
    assert before <= frame.captured_ns <= time.monotonic_ns()
    assert frame.sequence == 7


def test_a_frame_is_a_value():
    frame = Frame(pixels(64, 64))
    with pytest.raises(FrozenInstanceError):
        frame.sequence = 3
    assert frame != Frame(pixels(64, 64)), "pixels are not compared by accident"
