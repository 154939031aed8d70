"""Contents of the small messages: STRING, STATUS, NDARRAY, CAPABILITY, as bytes and back.

Protocol documents: string.md, status.md, ndarray.md and capability.md of
https://github.com/openigtlink/OpenIGTLink/tree/master/Documents/Protocol.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_cns.errors import BadInputError
from firmware_bridge.igtl.wire import ENCODINGS, Buffer

__all__ = [
    "LONGEST_STRING",
    "DeviceStatus",
    "decode_array",
    "decode_capability",
    "decode_status",
    "decode_string",
    "encode_array",
    "encode_capability",
    "encode_status",
    "encode_string",
]

LONGEST_STRING = 65535
"""Bytes of a STRING."""

_STRING = struct.Struct(">HH")
_STATUS = struct.Struct(">Hq20s")
_NAME = 19  # characters of a status name: the C++ library keeps the twentieth byte for the end
_ASCII, _UTF8 = 3, 106
_SCALARS: dict[int, str] = {2: "i1", 3: "u1", 4: "i2", 5: "u2", 6: "i4", 7: "u4", 10: "f4", 11: "f8", 13: "c16"}
_MOST_SIDES = 32
_TYPE_NAME = 12  # bytes


@dataclass(frozen=True, slots=True)
class DeviceStatus:
    """A STATUS.

    Attributes:
        code: 1 is OK, 13 not ready, 19 shutting down; status.md lists the others.
        name: a word for programs, up to 19 characters.
        text: a line for people.
        subcode: of the device's own making.
    """

    code: int
    name: str
    text: str
    subcode: int = 0


def encode_string(text: str) -> bytes:
    """A STRING: ASCII where that is enough, otherwise UTF-8.

    Raises:
        BadInputError: longer than 65535 bytes.
    """
    data = text.encode("utf-8", "backslashreplace")
    if len(data) > LONGEST_STRING:
        raise BadInputError(f"a STRING of {len(data)} bytes; it holds {LONGEST_STRING}")
    return _STRING.pack(_ASCII if data.isascii() else _UTF8, len(data)) + data


def decode_string(content: Buffer) -> str:
    """The text of a STRING.

    Raises:
        BadInputError: shorter than it says, or no text of its encoding (ASCII, Latin-1 or UTF-8).
    """
    if len(content) < _STRING.size:
        raise BadInputError(f"a STRING of {len(content)} bytes has no length; mend the sender")
    encoding, size = _STRING.unpack_from(content)
    data = bytes(content[_STRING.size : _STRING.size + size])
    if len(data) < size:
        raise BadInputError(f"a STRING says {size} bytes, {len(data)} came; mend the sender")
    try:
        return data.decode(ENCODINGS[encoding])
    except (KeyError, UnicodeDecodeError):
        raise BadInputError(f"a STRING is no text of encoding {encoding}; send UTF-8 ({_UTF8})") from None


def encode_status(status: DeviceStatus) -> bytes:
    """A STATUS; its text ends with a zero byte, which the C++ library insists on."""
    name = status.name.encode("ascii", "replace")[:_NAME]
    return _STATUS.pack(status.code, status.subcode, name) + status.text.encode("utf-8", "backslashreplace") + b"\0"


def decode_status(content: Buffer) -> DeviceStatus:
    """Read a STATUS.

    Raises:
        BadInputError: shorter than 30 bytes.
    """
    if len(content) < _STATUS.size:
        raise BadInputError(f"a STATUS of {len(content)} bytes; it has {_STATUS.size} or more: mend the sender")
    code, subcode, name = _STATUS.unpack_from(content)
    return DeviceStatus(code, _before_zero(name), _before_zero(bytes(content[_STATUS.size :])), subcode)


def _before_zero(data: bytes) -> str:
    return data.partition(b"\0")[0].decode("utf-8", "replace")


def encode_array(array: NDArray[Any]) -> bytes:
    """An NDARRAY: up to 32 sides of 1 to 65535; integers of 8 to 32 bits, float32, float64, complex128.

    Raises:
        BadInputError: another dtype or shape.
    """
    code = next((code for code, name in _SCALARS.items() if np.dtype(name) == array.dtype.newbyteorder("=")), None)
    if code is None or array.ndim > _MOST_SIDES or array.size == 0 or max(array.shape, default=1) > 65535:
        raise BadInputError(f"no NDARRAY has dtype {array.dtype} and shape {array.shape}; convert it to float32")
    sizes = struct.pack(f">BB{array.ndim}H", code, array.ndim, *array.shape)
    return sizes + array.astype(array.dtype.newbyteorder(">"), copy=False).tobytes()


def decode_array(content: Buffer) -> NDArray[Any]:
    """Read an NDARRAY, in this machine's byte order.

    Raises:
        BadInputError: an unknown type, no element, or another number of bytes than its sizes say.
    """
    kind, sides = bytes(content[:2]).ljust(2, b"\0")
    before = 2 + 2 * sides
    if kind not in _SCALARS or sides > _MOST_SIDES or len(content) < before:
        raise BadInputError(f"an NDARRAY of type {kind} with {sides} sides in {len(content)} bytes; mend the sender")
    shape = struct.unpack_from(f">{sides}H", content, 2)
    dtype = np.dtype(_SCALARS[kind]).newbyteorder(">")
    size = math.prod(shape) * dtype.itemsize
    if size == 0 or len(content) - before != size:
        raise BadInputError(f"an NDARRAY of shape {shape} has {len(content) - before} bytes; mend the sender")
    return np.frombuffer(content, dtype, offset=before).reshape(shape).astype(dtype.newbyteorder("="))


def encode_capability(names: Sequence[str]) -> bytes:
    """A CAPABILITY: names of message types, up to 12 ASCII characters each."""
    return b"".join(name.encode("ascii").ljust(_TYPE_NAME, b"\0") for name in names)


def decode_capability(content: Buffer) -> list[str]:
    """Read a CAPABILITY."""
    data = bytes(content)
    parts = (data[at : at + _TYPE_NAME] for at in range(0, len(data), _TYPE_NAME))
    return [part.partition(b"\0")[0].decode("ascii", "replace") for part in parts]
