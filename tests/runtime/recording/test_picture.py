from __future__ import annotations

import json
import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_cns.errors import BadInputError
from edge_cns.frames import Frame, Region
from edge_cns.runtime.recording.picture import decode_frame, encode_frame

SIDES = st.integers(64, 90)


@settings(max_examples=40, deadline=None)
@given(
    height=SIDES,
    width=SIDES,
    colour=st.booleans(),
    deep=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
    spacing=st.none() | st.tuples(st.floats(0.01, 5), st.floats(0.01, 5)),
    bits=st.none() | st.integers(8, 16),
    sequence=st.integers(-5, 2**40),
)
def test_a_frame_comes_back_to_the_bit(height, width, colour, deep, seed, spacing, bits, sequence):
    dtype = np.uint16 if deep else np.uint8
    shape = (height, width, 3) if colour else (height, width)
    pixels = np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)
    frame = Frame(pixels, 17, sequence, spacing, Region(1, 2, 30, 40), bits)
    beside, picture = encode_frame(frame)
    back = decode_frame(json.loads(json.dumps(beside)), memoryview(picture))
    np.testing.assert_array_equal(back.pixels, pixels)
    assert back.pixels.dtype == dtype
    for name in ("captured_ns", "sequence", "mm_per_pixel", "region", "bits_stored"):
        assert getattr(back, name) == getattr(frame, name)


def test_a_view_into_a_larger_image_is_kept_too():
    large = np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)
    view = large[10:110:1, 20:220:2]
    beside, picture = encode_frame(Frame(view))
    np.testing.assert_array_equal(decode_frame(beside, memoryview(picture)).pixels, view)


def png(width, height, depth=8, colour=0):
    """A PNG that claims to be so large, and holds nothing."""
    data = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    chunk = b"IHDR" + data
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))


@pytest.mark.parametrize(
    "picture",
    [
        b"",
        b"not a png at all, but long enough to be one",
        png(64, 64),
        png(8192, 8192, 16, 2),  # 384 MiB of nothing
        png(2**31, 2**31),
        png(32, 64),
        png(64, 64, colour=6),
        cv2.imencode(".jpg", np.zeros((64, 64), np.uint8))[1].tobytes(),
        cv2.imencode(".png", np.zeros((64, 64), np.uint8))[1].tobytes()[:-30],
    ],
)
def test_a_hostile_picture_is_refused_before_it_takes_memory(picture):
    beside, _ = encode_frame(Frame(np.zeros((64, 64), np.uint8)))
    with pytest.raises(BadInputError, match="frame"):
        decode_frame(beside, memoryview(picture))


@pytest.mark.parametrize(
    "change",
    [
        {"captured_ns": 1.5},
        {"sequence": "1"},
        {"sequence": 2**70},
        {"mm_per_pixel": [1.0]},
        {"mm_per_pixel": 3},
        {"mm_per_pixel": ["a", "b"]},
        {"region": [0, 0, 65, 64]},
        {"region": [0, 0]},
        {"region": 7},
        {"region": [True, 0, 1, 1]},
        {"bits_stored": 99},
    ],
)
def test_what_goes_beside_it_is_checked(change):
    beside, picture = encode_frame(Frame(np.zeros((64, 64), np.uint8)))
    with pytest.raises((BadInputError, TypeError)):
        decode_frame(beside | change, memoryview(picture))
