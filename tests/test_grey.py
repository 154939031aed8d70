from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge_cns.grey import grey8

RNG = np.random.default_rng(0)
EVERY_LEVEL = np.arange(256, dtype=np.uint8).reshape(16, 16)


def test_grey_is_not_copied():
    assert grey8(EVERY_LEVEL) is EVERY_LEVEL


@pytest.mark.parametrize("factor", [256, 257])
def test_eight_bits_widened_to_sixteen_come_back(factor):
    assert np.array_equal(grey8(EVERY_LEVEL.astype(np.uint16) * factor), EVERY_LEVEL)


@pytest.mark.parametrize("bits", range(8, 17))
def test_bits_stored(bits):
    wide = EVERY_LEVEL.astype(np.uint16) << (bits - 8)
    low_bits = (1 << (bits - 8)) - 1
    assert np.array_equal(grey8(wide, bits), EVERY_LEVEL)
    assert np.array_equal(grey8(wide | low_bits, bits), EVERY_LEVEL)


def test_more_than_the_stored_bits_is_white():
    assert grey8(np.full((2, 2), 65535, np.uint16), 12).tolist() == [[255, 255], [255, 255]]


def test_grey_as_bgr_stays_exact():
    assert np.array_equal(grey8(cv2.merge([EVERY_LEVEL] * 3)), EVERY_LEVEL)
    wide = RNG.integers(0, 65536, (40, 40), dtype=np.uint16)
    assert np.array_equal(grey8(np.dstack([wide] * 3)), grey8(wide))


def test_colour_becomes_luma():
    colour = RNG.integers(0, 256, (50, 50, 3), dtype=np.uint8)
    luma = colour.astype(float) @ [0.114, 0.587, 0.299]
    assert np.abs(grey8(colour) - luma).max() <= 0.51


def test_the_frame_is_not_written_to():
    wide = RNG.integers(0, 65536, (40, 40), dtype=np.uint16)
    before = wide.copy()
    grey8(wide, 12)
    assert np.array_equal(wide, before)
