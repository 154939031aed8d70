"""A checkpoint is read to the last element, and can make the reader do nothing but that."""

from __future__ import annotations

import io
import os
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_cns.errors import BadInputError
from edge_cns.training import torch_checkpoint

MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001
MACHINE = {"protocol_version": VERSION, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
STORAGE_NAMES = {"<f4": b"FloatStorage", "<f2": b"HalfStorage", "<i8": b"LongStorage"}


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def number(value: int) -> bytes:
    return pickle.dumps(value, 2)[2:-1]


def numbers(values: tuple[int, ...]) -> bytes:
    return b"(" + b"".join(number(value) for value in values) + b"t"


def tensor(
    key: str, dtype: str, stored: int, shape: tuple[int, ...], strides: tuple[int, ...], offset: int = 0
) -> bytes:
    """The opcodes with which PyTorch describes one tensor."""
    reference = b"(" + text("storage") + b"ctorch\n" + STORAGE_NAMES[dtype] + b"\n" + text(key) + text("cpu")
    reference += number(stored) + b"Nt" + b"Q"
    hooks = b"ccollections\nOrderedDict\n)R"
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n("
        + reference
        + number(offset)
        + numbers(shape)
        + numbers(strides)
        + b"\x89"
        + hooks
        + b"tR"
    )


def state(tensors: Mapping[str, bytes]) -> bytes:
    items = b"".join(text(name) + value for name, value in tensors.items())
    metadata = b"}" + text("_metadata") + b"}s"  # PyTorch hangs an attribute on the dictionary
    return b"\x80\x02ccollections\nOrderedDict\n)R(" + items + b"u" + metadata + b"b."


def checkpoint(pickled_state: bytes, storages: Mapping[str, np.ndarray], machine: object = MACHINE) -> bytes:
    head = pickle.dumps(MAGIC, 2) + pickle.dumps(VERSION, 2) + pickle.dumps(machine, 2)
    raw = b"".join(struct.pack("<q", array.size) + array.tobytes() for array in storages.values())
    return head + pickled_state + pickle.dumps(list(storages), 2) + raw


FLAT = np.arange(24, dtype="<f4")
GOOD = checkpoint(
    state(
        {
            "rows": tensor("a", "<f4", 24, (2, 3, 4), (12, 4, 1)),
            "columns": tensor("b", "<f2", 6, (2, 3), (1, 2)),
            "part": tensor("c", "<i8", 5, (2,), (1,), offset=3),
            "scalar": tensor("d", "<i8", 1, (), ()),
        }
    ),
    {"a": FLAT, "b": np.arange(6, dtype="<f2"), "c": np.arange(5, dtype="<i8"), "d": np.array([7], "<i8")},
)


def test_reads_every_layout_and_type() -> None:
    tensors = torch_checkpoint.read(GOOD, source="file")
    assert list(tensors) == ["rows", "columns", "part", "scalar"]
    np.testing.assert_array_equal(tensors["rows"], FLAT.reshape(2, 3, 4))
    np.testing.assert_array_equal(tensors["columns"], np.arange(6).reshape(3, 2).T)
    np.testing.assert_array_equal(tensors["part"], [3, 4])
    assert tensors["scalar"] == 7
    assert [array.dtype.str for array in tensors.values()] == ["<f4", "<f2", "<i8", "<i8"]
    assert all(array.flags.owndata and array.flags.writeable for array in tensors.values())


@pytest.mark.parametrize("protocol", range(5))
def test_a_file_cannot_call_anything(protocol: int, tmp_path) -> None:
    target = tmp_path / "made"

    class Hostile:
        def __reduce__(self):
            return os.system, (f"touch {target}",)

    for pickled in (pickle.dumps(OrderedDict(weight=Hostile()), protocol), pickle.dumps(Hostile(), protocol)):
        with pytest.raises(BadInputError, match=r"asks for '(posix\.system|copy_?reg\.\w+)'") as caught:
            torch_checkpoint.read(checkpoint(pickled, {}), source="hostile.pth")
        assert "\n" not in str(caught.value)
        assert str(caught.value).startswith("hostile.pth ")
    assert not target.exists()


@pytest.mark.parametrize(
    "opcodes",
    [
        b"cbuiltins\neval\n(" + text("1") + b"tR.",
        b"\x80\x04" + b"\x8c\x05numpy" + b"\x8c\x04load" + b"\x93.",
        b"\x80\x04" + b"\x8c\x05two\nl" + b"\x8c\x04ines" + b"\x93.",
        b"(S'x'\nios\nsystem\n.",
        b"cedge_cns.training.torch_checkpoint\n_read\n.",
        b"\x82\x01.",
    ],
    ids=["global", "stack global", "line break", "inst", "own function", "extension"],
)
def test_no_opcode_reaches_another_name(opcodes: bytes) -> None:
    with pytest.raises(BadInputError) as caught:
        torch_checkpoint.read(checkpoint(opcodes, {}), source="file")
    assert "\n" not in str(caught.value)


def test_a_file_cannot_change_the_reader() -> None:
    attributes = b"}" + text("__call__") + text("x") + b"s"
    for name in (b"ctorch._utils\n_rebuild_tensor_v2\n", b"ccollections\nOrderedDict\n", b"ctorch\nFloatStorage\n"):
        for change in (b"N" + attributes + b"\x86b.", attributes + b"b."):
            with pytest.raises(BadInputError):
                torch_checkpoint.read(checkpoint(name + change, {}), source="file")
    assert len(torch_checkpoint.read(GOOD, source="file")) == 4


@pytest.mark.parametrize(
    ("described", "reason"),
    [
        (tensor("a", "<f4", 24, (5, 5), (5, 1)), "beyond its storage"),
        (tensor("a", "<f4", 24, (2, 2), (23, 1)), "beyond its storage"),
        (tensor("a", "<f4", 24, (2,), (1,), offset=23), "beyond its storage"),
        (tensor("a", "<f4", 24, (100, 100), (0, 0)), "overlap"),
        (tensor("a", "<f4", 24, (-1,), (1,)), "damaged shape"),
        (tensor("a", "<f4", 24, (0, 1 << 50), (1, 1)), "damaged shape"),
        (tensor("a", "<f4", 24, (2, 2), (1,)), "damaged shape"),
        (tensor("a", "<f4", 24, (1,) * 40, (1,) * 40), "damaged shape"),
        (tensor("a", "<f4", 24, (2,), (1,), offset=-1), "damaged shape"),
        (tensor("a", "<f4", 25, (2,), (1,)), "of 25 elements"),
        (tensor("a", "<f4", -24, (2,), (1,)), "of -24 elements"),
        (tensor("a", "<i8", 24, (2,), (1,)), "cut short"),
        (tensor("missing", "<f4", 24, (2,), (1,)), "no tensor uses storage 'a'"),
        (text("weights"), "is no tensor"),
        (number(1), "is no tensor"),
    ],
)
def test_a_tensor_must_lie_inside_its_storage(described: bytes, reason: str) -> None:
    with pytest.raises(BadInputError, match=reason):
        torch_checkpoint.read(checkpoint(state({"weight": described}), {"a": FLAT}), source="file")


def test_many_names_for_one_storage_cannot_fill_the_memory() -> None:
    whole = tensor("a", "<f4", 24, (24,), (1,))
    content = checkpoint(state({f"t{i}": whole for i in range(3)}), {"a": FLAT})
    assert len(torch_checkpoint.read(content, source="file")) == 3
    big = np.zeros(100_000, "<f4")
    whole = tensor("a", "<f4", big.size, (big.size,), (1,))
    with pytest.raises(BadInputError, match="overlap"):
        torch_checkpoint.read(checkpoint(state({"t1": whole, "t2": whole}), {"a": big}), source="file")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "cut short"),
        (b"not a pickle", "cut short or damaged"),
        (pickle.dumps(MAGIC, 2) + pickle.dumps(7, 2), "does not begin as one"),
        (checkpoint(state({}), {}, {**MACHINE, "little_endian": False}), "little-endian"),
        (checkpoint(pickle.dumps([1, 2], 2), {}), "no dictionary of tensors"),
        (checkpoint(pickle.dumps({1: 2}, 2), {}), "no dictionary of tensors"),
        (checkpoint(b"\x80\x02Nr\xff\xff\xff\x7f.", {}), "numbering of values"),
        (checkpoint(b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".", {}), "no dictionary of tensors"),
    ],
    ids=["empty", "text", "version", "byte order", "list", "keys", "memo", "nested"],
)
def test_anything_else_is_refused_in_one_line(content: bytes, reason: str) -> None:
    with pytest.raises(BadInputError, match=reason) as caught:
        torch_checkpoint.read(content, source="file.pth")
    assert "\n" not in str(caught.value)


def test_a_zip_checkpoint_is_refused_with_the_mend() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", b"")
    with pytest.raises(BadInputError, match="_use_new_zipfile_serialization=False"):
        torch_checkpoint.read(buffer.getvalue(), source="new.pth")


def test_every_truncation_is_refused() -> None:
    for length in range(len(GOOD)):
        with pytest.raises(BadInputError):
            torch_checkpoint.read(GOOD[:length], source="file")


@pytest.mark.filterwarnings("ignore:invalid escape sequence:DeprecationWarning")  # Python's, on a damaged string
@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(GOOD) - 1), st.binary(min_size=1, max_size=6))
def test_damage_never_ends_in_another_error(position: int, damage: bytes) -> None:
    content = GOOD[:position] + damage + GOOD[position + len(damage) :]
    try:
        tensors = torch_checkpoint.read(content, source="file")
    except BadInputError:
        return
    assert sum(array.nbytes for array in tensors.values()) <= len(content)
