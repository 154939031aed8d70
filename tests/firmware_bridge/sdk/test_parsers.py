"""What C reads of a bundle it reads as Python does: digests, packed arrays, JSON, and the contract."""

from __future__ import annotations

import copy
import ctypes as c
import hashlib
import json
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_cns.bundle import write_arrays
from edge_cns.contract import Contract
from edge_cns.errors import BadInputError, UnsupportedError
from edge_cns.strict_json import load_json
from tests.firmware_bridge.sdk.classifier import UNSUPPORTED, UNUSABLE
from tests.firmware_bridge.sdk.native import CLASSIFY, RING, compile_shared

MANY = settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
TRAPS = ("-O1", "-g", "-fsanitize=undefined", "-fsanitize-undefined-trap-on-error")


class Array(c.Structure):
    _fields_ = (
        ("memory", c.c_void_p),
        ("values", c.c_void_p),
        ("type", c.c_int),
        ("axes", c.c_int),
        ("shape", c.c_size_t * 4),
        ("count", c.c_size_t),
    )


@pytest.fixture(scope="module")
def inside(tmp_path_factory: pytest.TempPathFactory) -> c.CDLL:
    library = compile_shared(tmp_path_factory.mktemp("parsers"), *CLASSIFY, *RING, options=TRAPS)
    library.ec_inflate_raw.restype = library.ec_array_read.restype = c.c_bool
    library.ec_json_parse.restype = library.edge_cns_error.restype = c.c_char_p
    return library


# Digests


@MANY
@given(st.binary(max_size=400), st.integers(0, 400))
def test_sha256(inside, content, cut):
    state, text = (c.c_uint8 * 256)(), c.create_string_buffer(65)
    inside.ec_sha256_begin(state)
    for part in (content[:cut], content[cut:]):
        inside.ec_sha256_add(state, part, c.c_size_t(len(part)))
    inside.ec_sha256_hex(state, text)
    assert text.value.decode() == hashlib.sha256(content).hexdigest()


def test_sha256_of_much(inside):
    content = np.random.default_rng(0).bytes(1_000_003)
    state, text = (c.c_uint8 * 256)(), c.create_string_buffer(65)
    inside.ec_sha256_begin(state)
    inside.ec_sha256_add(state, content, c.c_size_t(len(content)))
    inside.ec_sha256_hex(state, text)
    assert text.value.decode() == hashlib.sha256(content).hexdigest()


# Packed arrays


def unpack(inside: c.CDLL, packed: bytes, size: int) -> bytes | None:
    out = c.create_string_buffer(size + 8)
    out.raw = b"\xa5" * (size + 8)
    whole = inside.ec_inflate_raw(packed, c.c_size_t(len(packed)), out, c.c_size_t(size))
    assert out.raw[size:] == b"\xa5" * 8, "it wrote behind the end"
    return out.raw[:size] if whole else None


def deflate(content: bytes, level: int, strategy: int) -> bytes:
    packer = zlib.compressobj(level, zlib.DEFLATED, -15, 9, strategy)
    return packer.compress(content) + packer.flush()


@MANY
@given(
    st.one_of(st.binary(max_size=3000), st.text("ab", max_size=3000).map(str.encode)),
    st.integers(0, 9),
    st.sampled_from([zlib.Z_DEFAULT_STRATEGY, zlib.Z_FIXED, zlib.Z_HUFFMAN_ONLY, zlib.Z_RLE]),
)
def test_inflate(inside, content, level, strategy):
    packed = deflate(content, level, strategy)
    assert unpack(inside, packed, len(content)) == content
    assert unpack(inside, packed, len(content) + 1) is None
    assert unpack(inside, packed + b"\0", len(content)) is None
    if content:
        assert unpack(inside, packed, len(content) - 1) is None
        assert unpack(inside, packed[:-1], len(content)) is None


@MANY
@given(st.binary(min_size=1, max_size=600), st.integers(0, 9), st.data())
def test_a_damaged_stream_is_what_zlib_says_of_it(inside, content, level, data):
    packed = bytearray(deflate(content, level, zlib.Z_DEFAULT_STRATEGY))
    for _ in range(data.draw(st.integers(1, 3))):
        packed[data.draw(st.integers(0, len(packed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    unpacker = zlib.decompressobj(-15)
    try:
        expected = unpacker.decompress(bytes(packed), 2000)
        whole = unpacker.eof and not unpacker.unused_data
    except zlib.error:
        whole = False
    if whole:
        assert unpack(inside, bytes(packed), len(expected)) == expected
    else:
        assert unpack(inside, bytes(packed), len(content)) is None


def test_arrays(inside):
    rng = np.random.default_rng(2)
    arrays = {
        "directions": rng.normal(size=(3, 5, 64)).astype(np.float32),
        "frames": rng.integers(0, 256, (2, 70, 90), dtype=np.uint8),
        "logits": rng.integers(-128, 128, (6, 3), dtype=np.int8),
        "flat": np.arange(5, dtype=np.float32),
    }
    archive = write_arrays(arrays)
    for name, expected in arrays.items():
        found = Array()
        assert inside.ec_array_read(archive, c.c_size_t(len(archive)), name.encode(), c.byref(found))
        assert tuple(found.shape[: found.axes]) == expected.shape
        assert c.string_at(found.values, expected.nbytes) == expected.tobytes()
        inside.ec_array_free(c.byref(found))
    for name in ("direction", "directionss", "", "frames.npy"):
        assert not inside.ec_array_read(archive, c.c_size_t(len(archive)), name.encode(), c.byref(Array()))


@pytest.mark.parametrize(
    "array",
    [np.zeros((2, 2)), np.zeros((1, 1, 1, 1, 1), np.float32), np.asfortranarray(np.zeros((3, 2), np.float32))],
    ids=["float64", "five axes", "another order"],
)
def test_arrays_of_another_kind(inside, array):
    import io
    import zipfile

    member, archive = io.BytesIO(), io.BytesIO()
    np.lib.format.write_array(member, array)
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a.npy", member.getvalue())
    content = archive.getvalue()
    assert not inside.ec_array_read(content, c.c_size_t(len(content)), b"a", c.byref(Array()))


@MANY
@given(st.data())
def test_a_damaged_archive_is_read_or_refused(inside, data):
    archive = bytearray(write_arrays({"a": np.arange(300, dtype=np.float32), "b": np.zeros((3, 4), np.uint8)}))
    for _ in range(data.draw(st.integers(1, 4))):
        archive[data.draw(st.integers(0, len(archive) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(archive[: data.draw(st.integers(0, len(archive)))]) if data.draw(st.booleans()) else bytes(archive)
    for name in (b"a", b"b"):
        found = Array()
        if inside.ec_array_read(cut, c.c_size_t(len(cut)), name, c.byref(found)):
            c.string_at(found.values, found.count)
            inside.ec_array_free(c.byref(found))


# JSON


def c_accepts(inside: c.CDLL, content: bytes) -> bool:
    document = (c.c_void_p * 2)()
    error = inside.ec_json_parse(content, c.c_size_t(len(content)), document)
    if error is None:
        inside.ec_json_free(document)
    return error is None


def python_accepts(content: bytes) -> bool:
    try:
        load_json(content, "x")
    except BadInputError:
        return False
    return True


def stricter(content: bytes) -> bool:
    """What C refuses on purpose and Python takes: NUL and halves of surrogate pairs in text, huge numbers, depth."""
    text = content.decode("utf-8", "replace")
    return "\\u" in text or any(len(run) > 15 for run in numbers(text)) or "e" in text.lower() or text.count("[") > 20


def numbers(text: str) -> list[str]:
    return "".join(letter if letter.isdigit() else " " for letter in text).split()


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text('abü"\\/\n', max_size=4), inner, max_size=4),
    max_leaves=12,
)


@MANY
@given(VALUES, st.booleans(), st.sampled_from([None, 1, "\t"]))
def test_json_that_python_writes(inside, value, ascii_only, indent):
    assert c_accepts(inside, json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode())


@MANY
@given(VALUES, st.data())
def test_json_with_damage_is_judged_alike(inside, value, data):
    content = bytearray(json.dumps(value, ensure_ascii=False).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(content)))
        content[place : place + data.draw(st.integers(0, 2))] = data.draw(
            st.sampled_from(
                [b"", b'"', b",", b"[", b"}", b"{", b"\\", b"0", b"-", b".", b"e", b"\xc3", b"\xed\xa0\x80", b"\x01"]
            )
        )
    content = bytes(content)
    if c_accepts(inside, content):
        assert python_accepts(content)
    elif not stricter(content):
        assert not python_accepts(content)


@pytest.mark.parametrize(
    "content",
    [
        b"", b" ", b"nul", b"NaN", b"Infinity", b"-", b"01", b"1.", b".5", b"1e", b"+1", b"[1,]", b"[", b"{", b'{"a"}',
        b'{"a":1,}', b'{"a":1,"a":2}', b'{"a":1,"\\u0061":2}', b"1 2", b'"\x01"', b'"', b'"\\x"', b'"\\u12"',
        b'"\\ud800"', b'"\\udc00"', b'"\\u0000"', b'"\xff"', b'"\xc0\x80"', b"\xef\xbb\xbf1", b"1e999",
        b"[" * 33 + b"]" * 33, b"'a'", b"9007199254740992", b"1" * 65,
    ],
)  # fmt: skip
def test_json_that_is_none(inside, content):
    assert not c_accepts(inside, content)


@pytest.mark.parametrize(
    "content",
    [
        b"0",
        b"-0",
        b"-0.5e-3",
        b' {"a" : [ ] , "b":{} }\n',
        b'"\\ud83d\\ude00\\"\\\\\\/\\b\\f\\n\\r\\t"',
        b"true",
        b'"\xc3\xbc"',
    ],
)
def test_json_that_is_some(inside, content):
    assert c_accepts(inside, content)
    assert python_accepts(content)


# The contract


def read_contract(inside: c.CDLL, value: object) -> int:
    content = json.dumps(value).encode()
    memory = c.create_string_buffer(65536)
    status = inside.ec_contract_read(content, c.c_size_t(len(content)), memory)
    if status == 0:
        inside.ec_contract_free(memory)
    return status


FULL = {
    "classes": [
        {"name": "Normal", "definition": ""},
        {"name": "a", "definition": "x"},
        {"name": "b", "definition": ""},
    ],
    "input": {
        "height": 64,
        "width": 96,
        "region": "fixed",
        "letterbox": True,
        "fixed_region": {"x": 0, "y": 1, "width": 2, "height": 3},
    },
    "intended_use": {
        "statement": "s",
        "planes": ["p"],
        "gestational_age_weeks": [12, 20.5],
        "modes": ["B"],
        "mm_per_pixel": None,
        "phantom": True,
    },
    "decision": {
        "calibrated": True,
        "temperature": 1.5,
        "model_sha256": "ab" * 32,
        "conformal": {"coverage": 0.9, "thresholds": [0.1, 0, 1], "pooled": ["a"]},
        "novelty": {"threshold": 0.2, "false_alarm": 0.05},
        "views": {"names": ["p", "q"], "threshold": 0.7},
        "exam": {
            "aggregation": {
                "rule": "log_odds",
                "frames": 2,
                "window_seconds": 3.0,
                "correlation_seconds": 1.0,
                "correlation": 0.2,
            },
            "thresholds": [0.5, 0.5, 0.5],
            "target_sensitivity": 0.95,
            "negative": "Normal",
            "required_views": [],
            "clear_abstention": 0.3,
            "clear_novelty": None,
        },
    },
    "schema_version": 1,
}
OTHERS = (
    None, True, False, 0, 1, -1, 2, 31, 32, 1024, 1025, 1e9, 0.5, 1.0, 1.5, 1e-3, -0.0, 99999, "", " ", "a", "b", "\n",
    "auto", "whole", "fixed", "mean_softmax", "0" * 64, "A" * 64, "zz", [], {}, [1], ["a", "b"], ["b", "a"],
    [0.1, 0.2], [0.1, 0.2, 0.3], [2, 1], [1, 2], [0, 1], ["a"], [None], [[]], {"x": 0},
)  # fmt: skip


def places(value: object, path: tuple = ()) -> list[tuple]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in inner for place in places(item, (*path, key)))]


def judged_alike(inside: c.CDLL, value: object) -> None:
    try:
        Contract.from_json(value)
        expected = (0,)
    except UnsupportedError:
        expected = (UNSUPPORTED,)
    except BadInputError:
        expected = (UNUSABLE, UNSUPPORTED)  # C looks at the version first
    assert read_contract(inside, value) in expected, value


def test_contract_as_it_should_be(inside):
    Contract.from_json(FULL)
    assert read_contract(inside, FULL) == 0


@pytest.mark.parametrize("place", places(FULL)[1:], ids=lambda place: ".".join(map(str, place)))
def test_every_value_of_a_contract_is_judged_as_python_judges_it(inside, place):
    for other in (*OTHERS, KeyError, "more"):
        value = copy.deepcopy(FULL)
        holder = value
        for key in place[:-1]:
            holder = holder[key]
        if other is KeyError:
            del holder[place[-1]]
        elif other == "more" and isinstance(holder, dict):
            holder["more"] = 1
        else:
            holder[place[-1]] = copy.deepcopy(other)
        judged_alike(inside, value)


@MANY
@given(st.lists(st.tuples(st.integers(0, 10**6), st.sampled_from(OTHERS)), min_size=1, max_size=3))
def test_several_values_changed(inside, changes):
    value = copy.deepcopy(FULL)
    for number, other in changes:
        known = places(value)[1:]
        if not known:
            break
        place = known[number % len(known)]
        holder = value
        for key in place[:-1]:
            holder = holder[key]
        holder[place[-1]] = copy.deepcopy(other)
    judged_alike(inside, value)
