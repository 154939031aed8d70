"""Header, extended header, metadata and checksum; pyigtl reads what we write, and we what it writes."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_cns.errors import BadInputError
from firmware_bridge.igtl.wire import (
    HEADER_SIZE,
    LARGEST_BODY,
    FramingError,
    Header,
    crc64,
    encode,
    parse_extended,
    parse_header,
    parse_metadata,
    time_stamp,
)

TYPES = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ_", min_size=1, max_size=12)
DEVICES = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20)
METADATA = st.dictionaries(st.text(max_size=9), st.text(max_size=40), max_size=5)


def test_the_checksum_is_that_of_ecma_182():
    assert crc64(b"123456789") == 0x6C40DF5F0B497347
    assert crc64(b"") == 0


@given(st.binary(max_size=200), st.integers(0, 200))
def test_a_checksum_can_be_taken_in_pieces(data, cut):
    assert crc64(memoryview(data)[cut:], crc64(data[:cut])) == crc64(data)


@given(TYPES, DEVICES, st.binary(max_size=99), st.integers(0, 2**64 - 1))
def test_a_header_comes_back(kind, device, content, stamp):
    data = encode(kind, device, content, stamp=stamp)
    assert parse_header(data[:HEADER_SIZE]) == Header(1, kind, device, stamp, len(content), crc64(content))
    assert data[HEADER_SIZE:] == content


@given(st.binary(max_size=99), METADATA, st.integers(0, 2**32 - 1))
def test_an_extended_header_and_metadata_come_back(content, metadata, message_id):
    data = encode("STRING", "a", content, version=2, metadata=metadata, message_id=message_id)
    header, body = parse_header(data[:HEADER_SIZE]), data[HEADER_SIZE:]
    assert (header.version, header.body_size, header.crc) == (2, len(body), crc64(body))
    extended = parse_extended(body[:12], header.body_size)
    assert (extended.message_id, extended.content) == (message_id, len(content))
    rest = body[extended.before :]
    assert rest[: extended.content] == content
    index = rest[extended.content :][: extended.index]
    assert parse_metadata(index, rest[extended.content + extended.index :]) == metadata


@given(st.binary(min_size=HEADER_SIZE, max_size=HEADER_SIZE))
def test_any_header_is_read_or_refused(data):
    try:
        header = parse_header(data)
    except FramingError:
        return
    assert header.body_size <= LARGEST_BODY
    assert header.type.isprintable()


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_any_metadata_is_read_or_refused(index, values):
    try:
        found = parse_metadata(index, values)
    except BadInputError:
        return
    assert sum(len(key.encode()) for key in found) <= len(values)


@given(st.binary(min_size=12, max_size=12), st.integers(12, 10**6))
def test_any_extended_header_is_read_or_refused(data, size):
    try:
        extended = parse_extended(data, size)
    except BadInputError:
        return
    assert extended.before + extended.content + extended.index + extended.values == size


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        (0, 0, "header version is 0"),
        (0, 4, "header version is 4"),
        (1, b"\xff\xfe", "message type is"),
        (1, b"", "message type is"),
        (4, 4 * 2**30, "4294967296 bytes is announced"),
        (4, 2**64 - 1, "bytes is announced"),
    ],
)
def test_what_is_no_openigtlink_is_refused(field, value, says):
    values = [1, b"IMAGE", b"Probe", 0, 100, 0]
    values[field] = value
    data = struct.pack(">H12s20sQQQ", *values)
    with pytest.raises(FramingError, match=says) as caught:
        parse_header(data)
    assert "\n" not in str(caught.value)


def test_a_browser_is_refused():
    with pytest.raises(FramingError, match="header version is 18245"):
        parse_header((b"GET / HTTP/1.1\r\nHost: example\r\n" * 2)[:HEADER_SIZE])


def test_what_follows_the_end_of_a_name_is_not_read():
    data = struct.pack(">H12s20sQQQ", 1, b"IMAGE\0garbage", b"Probe\0\xff\xff", 0, 0, 0)
    assert (parse_header(data).type, parse_header(data).device) == ("IMAGE", "Probe")


def test_time_stamps_have_the_second_in_their_upper_half():
    assert time_stamp(3 * 10**9 + 5 * 10**8) == 3 << 32 | 1 << 31


def test_pyigtl_reads_ours():
    pyigtl = pytest.importorskip("pyigtl")
    data = encode("STRING", "name", struct.pack(">HH", 3, 5) + b"hello", version=2, metadata={"a": "bc"}, message_id=7)
    message = pyigtl.StringMessage()
    message.unpack(pyigtl.messages.MessageBase.parse_header(data[:58]), data[58:])
    assert (message.string, message.device_name, message.metadata, message.message_id) == (
        *("hello", "name"),
        *({"a": "bc"}, 7),
    )


@pytest.mark.parametrize("version", [1, 2])
def test_we_read_pyigtl(version):
    pyigtl = pytest.importorskip("pyigtl")
    message = pyigtl.StringMessage("hello", timestamp=12.5, device_name="name")
    message.header_version, message.metadata = version, {"a": "bc"} if version > 1 else {}
    data = message.pack()
    header = parse_header(data[:58])
    assert (header.type, header.device, header.version, header.crc) == ("STRING", "name", version, crc64(data[58:]))
    assert header.time_stamp == time_stamp(12_500_000_000)
