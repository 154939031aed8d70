"""Images in parts: one frame for each complete set, and none that mixes two sets."""

from __future__ import annotations

import numpy as np
import pytest

from tests.firmware_bridge.igtl.material import grey, image_message, read_all

SIZE = (80, 96, 1)


def strip(pixels: np.ndarray, row: int, rows: int, **options) -> bytes:
    part = np.ascontiguousarray(pixels[row : row + rows])
    return image_message(part, size=SIZE, at=(0, row, 0), extent=(80, rows, 1), **options)


@pytest.mark.parametrize("pixels", [grey(96, 80), np.stack([grey(96, 80, i) for i in range(3)], -1)])
def test_strips_make_a_frame_in_any_order(pixels):
    *first, last = read_all(b"".join(strip(pixels, row, 24) for row in (48, 0, 72, 24)))
    assert [(message.picture, message.fault) for message in first] == [(None, "")] * 3
    got = last.picture.pixels
    np.testing.assert_array_equal(got if pixels.ndim == 2 else got[..., ::-1], pixels)


def test_the_next_frame_needs_all_of_it_again():
    one, two = grey(96, 80, 1), grey(96, 80, 2)
    messages = read_all(b"".join(strip(pixels, row, 48) for pixels in (one, two) for row in (0, 48)))
    np.testing.assert_array_equal(messages[1].picture.pixels, one)
    assert messages[2].picture is None
    np.testing.assert_array_equal(messages[3].picture.pixels, two)


def test_one_part_again_and_again_is_said():
    messages = read_all(strip(grey(96, 80), 0, 48) * 3)
    assert [bool(message.fault) for message in messages] == [False, True, True]
    assert "came twice before all of it came once" in messages[1].fault


def test_a_damaged_part_is_not_used():
    damaged = bytearray(strip(grey(96, 80, 5), 48, 48))
    damaged[-1] ^= 1
    stream = strip(grey(96, 80), 0, 48) + bytes(damaged) + strip(grey(96, 80), 48, 48)
    messages = read_all(stream)
    assert not messages[1].sound
    np.testing.assert_array_equal(messages[2].picture.pixels, grey(96, 80))


def test_a_whole_image_forgets_the_parts():
    whole = image_message(grey(96, 80, 7))
    messages = read_all(strip(grey(96, 80), 0, 48) + whole + strip(grey(96, 80), 48, 48))
    np.testing.assert_array_equal(messages[1].picture.pixels, grey(96, 80, 7))
    assert messages[2].picture is None
