"""A stream of messages: what is kept, what is skipped, and that nothing in it can do harm."""

from __future__ import annotations

import contextlib
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge.igtl.content import encode_string
from firmware_bridge.igtl.reading import DAMAGED
from firmware_bridge.igtl.wire import LARGEST_BODY, FramingError, crc64, encode
from tests.firmware_bridge.igtl.material import flipped, grey, image, image_message, read_all

STRING = encode("STRING", "name", encode_string("hello"))
HEADER = struct.Struct(">H12s20sQQQ")


@pytest.mark.parametrize("version", [1, 2, 3])
def test_messages_of_every_version_in_one_stream(version):
    other = encode("TRANSFORM", "Probe", bytes(48), version=version)
    messages = read_all(STRING + image_message(grey(), version=version) + other + STRING)
    assert [message.header.type for message in messages] == ["STRING", "IMAGE", "TRANSFORM", "STRING"]
    assert all(message.sound and not message.fault for message in messages)
    assert messages[3].content == encode_string("hello")
    np.testing.assert_array_equal(messages[1].picture.pixels, grey())


def test_metadata_comes_with_any_message():
    metadata = {"EDGE_CNS_EVENT": "{}", "ä": "ö"}
    (message,) = read_all(image_message(grey(), version=2, metadata=metadata))
    assert message.metadata == metadata
    np.testing.assert_array_equal(message.picture.pixels, grey())
    (message,) = read_all(image_message(grey(), version=2, metadata=metadata, components=4))
    assert message.metadata == metadata  # of an image that cannot be used, too
    assert "4 components" in message.fault


def test_a_longer_extended_header_is_skipped():
    content = image(grey())
    body = struct.pack(">HHII", 20, 0, 0, 5) + b"whatever" + content
    header = HEADER.pack(2, b"IMAGE", b"Probe", 0, len(body), crc64(body))
    (message,) = read_all(header + body)
    np.testing.assert_array_equal(message.picture.pixels, grey())


@pytest.mark.parametrize("at", [58, 60, 58 + 72 + 999, -1])
def test_a_flipped_byte_is_found_and_the_stream_goes_on(at):
    data = image_message(grey())
    damaged, after = read_all(flipped(data, at % len(data)) + STRING)
    assert (damaged.sound, damaged.picture, damaged.fault) == (False, None, f"IMAGE {DAMAGED}")
    assert after.content == encode_string("hello")


def test_a_damaged_string_has_no_content():
    (message,) = read_all(flipped(STRING, len(STRING) - 1))
    assert (message.content, message.fault) == (b"", f"STRING {DAMAGED}")


def test_images_that_are_not_wanted_are_skipped():
    messages = read_all(image_message(grey()) + STRING, wanted=False)
    assert [(message.picture, message.fault, message.sound) for message in messages] == [(None, "", True)] * 2


def test_an_empty_image_is_no_fault():
    """What is sent as an answer where there is no image."""
    (message,) = read_all(encode("IMAGE", "", b""))
    assert (message.picture, message.fault) == (None, "")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"\0" * 5, "5 bytes has no extended header"),
        (struct.pack(">HHII", 3, 0, 0, 0), "extended header of 3 bytes"),
        (struct.pack(">HHII", 12, 500, 0, 0), "500 and 0 bytes of metadata"),
        (struct.pack(">HHII", 12, 2, 0, 0) + struct.pack(">H", 9), "metadata's index of 2 bytes is too short"),
        (struct.pack(">HHII", 12, 10, 0, 0) + struct.pack(">HHHI", 1, 5, 3, 5), "entry 0 ends behind its message"),
    ],
)
def test_extended_headers_that_do_not_fit(body, says):
    header = HEADER.pack(2, b"STATUS", b"", 0, len(body), crc64(body))
    message, after = read_all(header + body + STRING)
    assert says in message.fault
    assert message.sound
    assert after.content


def test_an_image_that_is_too_short():
    (message,) = read_all(encode("IMAGE", "Probe", b"\0" * 40))
    assert "an IMAGE of 40 bytes" in message.fault


def test_4_gb_are_refused_before_anything_is_allocated():
    tracemalloc.start()
    for size in (4 * 2**30, 2**63, LARGEST_BODY + 1):
        with pytest.raises(FramingError):
            read_all(HEADER.pack(1, b"IMAGE", b"", 0, size, 0))
    assert tracemalloc.get_traced_memory()[1] < 100_000
    tracemalloc.stop()


def test_a_volume_takes_no_memory():
    content = image(np.zeros((256, 256), np.uint8), size=(256, 256, 64), extent=(256, 256, 64)) + bytes(63 * 65536)
    data = encode("IMAGE", "", content)
    tracemalloc.start()
    (message,) = read_all(data)
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()
    assert "volume" in message.fault


def test_the_end_within_a_message_is_an_error():
    for data in (STRING[:10], STRING[:-1], image_message(grey())[:-1]):
        with pytest.raises(ConnectionError):
            read_all(STRING + data)


MESSAGES = st.builds(
    encode,
    st.sampled_from(["IMAGE", "STRING", "STATUS", "GET_STATUS", "NDARRAY", "x"]),
    st.text("abc", max_size=5),
    st.one_of(st.binary(max_size=200), st.just(image(grey())), st.just(encode_string("{}"))),
    version=st.sampled_from([1, 2]),
    metadata=st.dictionaries(st.text(max_size=3), st.text(max_size=9), max_size=2),
)


@settings(max_examples=300)
@given(st.lists(MESSAGES, max_size=4), st.data())
def test_any_damage_ends_in_a_fault_or_an_error(messages, data):
    stream = bytearray(b"".join(messages))
    for _ in range(data.draw(st.integers(0, 3)) if stream else 0):
        stream[data.draw(st.integers(0, len(stream) - 1))] = data.draw(st.integers(0, 255))
    try:
        for message in read_all(bytes(stream)):
            assert message.picture is None or not message.fault
            assert "\n" not in message.fault
    except (FramingError, ConnectionError):
        pass


@given(st.binary(max_size=400))
def test_any_bytes_end_in_a_fault_or_an_error(data):
    with contextlib.suppress(FramingError, ConnectionError):
        read_all(data)
