"""Small messages come back as they were, and whatever comes is read or refused."""

from __future__ import annotations

import contextlib
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edge_cns.errors import BadInputError
from firmware_bridge.igtl.content import (
    DeviceStatus,
    decode_array,
    decode_capability,
    decode_status,
    decode_string,
    encode_array,
    encode_capability,
    encode_status,
    encode_string,
)

ARRAYS = hnp.arrays(
    st.sampled_from(["i1", "u1", "i2", "u2", "i4", "u4", "f4", "f8", "c16"]),
    hnp.array_shapes(max_dims=4, max_side=5),
)


@given(st.text(max_size=300))
def test_strings_come_back(text):
    assert decode_string(encode_string(text)) == text


def test_ascii_is_said_to_be_ascii():
    assert encode_string("ab") == struct.pack(">HH", 3, 2) + b"ab"
    assert encode_string("ä")[:2] == struct.pack(">H", 106)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\0\x03\0", "has no length"),
        (struct.pack(">HH", 3, 9) + b"short", "says 9 bytes, 5 came"),
        (struct.pack(">HH", 3, 1) + b"\xff", "no text of encoding 3"),
        (struct.pack(">HH", 99, 1) + b"a", "no text of encoding 99"),
    ],
)
def test_strings_that_are_none(content, says):
    with pytest.raises(BadInputError, match=says):
        decode_string(content)


def test_a_string_that_is_too_long():
    with pytest.raises(BadInputError, match="70000 bytes"):
        encode_string("a" * 70000)


@given(st.integers(0, 19), st.text("abc_", max_size=19), st.text(st.characters(min_codepoint=1), max_size=50))
def test_statuses_come_back(code, name, text):
    text = text.encode("utf-8", "ignore").decode()
    assert decode_status(encode_status(DeviceStatus(code, name, text, -5))) == DeviceStatus(code, name, text, -5)


def test_a_status_ends_with_a_zero_byte_and_its_name_within_its_place():
    data = encode_status(DeviceStatus(1, "n" * 30, "text"))
    assert (data[29:30], data[-1:], len(data)) == (b"\0", b"\0", 35)


@given(ARRAYS)
def test_arrays_come_back(array):
    back = decode_array(encode_array(array))
    np.testing.assert_array_equal(back, array)
    assert back.dtype == array.dtype


def test_an_array_is_big_endian():
    assert encode_array(np.array([[1, 2]], np.uint16)) == bytes([5, 2, 0, 1, 0, 2, 0, 1, 0, 2])


@pytest.mark.parametrize("array", [np.zeros((2, 0)), np.zeros(70000, np.uint8), np.zeros(3, np.int64)])
def test_arrays_that_cannot_be_sent(array):
    with pytest.raises(BadInputError, match="no NDARRAY has"):
        encode_array(array)


@given(st.binary(max_size=60))
def test_whatever_comes_is_read_or_refused(content):
    for decode in (decode_string, decode_status, decode_array, decode_capability):
        with contextlib.suppress(BadInputError):
            decode(content)


def test_an_array_of_more_sides_than_there_can_be():
    content = bytes([3, 255]) + struct.pack(">255H", *[1] * 255) + b"a"
    with pytest.raises(BadInputError, match="255 sides"):
        decode_array(content)


def test_capabilities_come_back():
    assert decode_capability(encode_capability(["IMAGE", "GET_CAPABILI"])) == ["IMAGE", "GET_CAPABILI"]
