from __future__ import annotations

import contextlib

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_cns.data.phantom.png import encode_png, read_text
from edge_cns.errors import BadInputError

PIXELS = np.arange(64 * 64, dtype=np.uint8).reshape(64, 64)


def test_text_is_added_and_the_picture_stays() -> None:
    content = encode_png(PIXELS, Source="phantom", Note="a b")
    assert read_text(content) == {"Source": "phantom", "Note": "a b"}
    decoded = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    assert decoded is not None
    assert np.array_equal(decoded, PIXELS)
    assert read_text(encode_png(PIXELS)) == {}


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(noise: bytes) -> None:
    with contextlib.suppress(BadInputError):
        read_text(b"\x89PNG\r\n\x1a\n" + noise)


@given(st.integers(8, 120))
def test_a_file_cut_short_never_crashes(length: int) -> None:
    content = encode_png(PIXELS, Source="phantom")[:length]
    with contextlib.suppress(BadInputError):
        assert read_text(content) in ({}, {"Source": "phantom"})


def test_other_files_are_refused() -> None:
    with pytest.raises(BadInputError, match="not a PNG"):
        read_text(b"GIF89a")
