"""Read tensors from a PyTorch checkpoint without PyTorch, and without running anything that the file asks for.

The format is that of ``torch.save`` before version 1.6, which PyTorch still writes on request: five pickles (a
magic number, the format's version, facts about the machine, the state, the order of the storages), then each
storage as an 8-byte count and its raw elements. A pickle can name any function to be called while it is
read; here only the five names that a dictionary of tensors needs are known, and none of them does more than
collect its arguments.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
import struct
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_cns.errors import BadInputError

__all__ = ["read"]

_MAGIC = 0x1950A86A20F9469CFC6C
_VERSION = 1001
_ZIP_SIGNATURE = b"PK\x03\x04"
_MAX_PICKLE = 16 << 20
_MAX_DIMENSIONS = 8
_MAX_SIDE = 1 << 40
_UNPICKLING_ERRORS = (
    pickle.UnpicklingError,
    ArithmeticError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
)


class _Storage(NamedTuple):
    """A flat run of elements, by name; the elements come later in the file."""

    key: str
    dtype: str
    elements: int


class _View(NamedTuple):
    """A tensor: part of a storage, with a shape. Element counts, not bytes."""

    storage: Any
    offset: Any
    shape: Any
    strides: Any


class _State(dict[Any, Any]):
    """Stands for an ordered dictionary. The attributes that PyTorch hangs on one are dropped."""

    __slots__ = ()

    def __setstate__(self, attributes: Any) -> None:
        pass


class _Rebuild:
    """Stands for PyTorch's function that makes a tensor. It has no attributes for a pickle to change."""

    __slots__ = ()

    def __call__(self, storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> _View:
        return _View(storage, offset, shape, strides)


_KNOWN_NAMES: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): _State,
    ("torch._utils", "_rebuild_tensor_v2"): _Rebuild(),
    ("torch", "FloatStorage"): "<f4",
    ("torch", "HalfStorage"): "<f2",
    ("torch", "LongStorage"): "<i8",
}
_DTYPES = ("<f4", "<f2", "<i8")


class _TensorUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _KNOWN_NAMES[module, name]
        except KeyError:
            wanted = f"{module}.{name}"[:80]
            raise _RefusedError(f"it asks for {wanted!r}, which no dictionary of tensors needs") from None

    def persistent_load(self, reference: Any) -> _Storage:
        kind, dtype, key, _, count, view = reference
        if (
            kind != "storage"
            or dtype not in _DTYPES
            or not isinstance(key, str)
            or type(count) is not int
            or view is not None
        ):
            raise _RefusedError("a storage is described in an unknown way")
        return _Storage(key, dtype, count)


class _RefusedError(Exception):
    """Why the content cannot be read; becomes a `BadInputError` that names the file."""


def read(content: bytes, *, source: str) -> dict[str, NDArray[np.generic]]:
    """Read every tensor of a state dictionary.

    Args:
        content: the file.
        source: what to call it in an error.

    Returns:
        Tensor name -> array that owns its memory: float32, float16 or int64, PyTorch's shape and layout.

    Raises:
        BadInputError: not such a file, cut short, damaged, or asking for more than tensors.
    """
    if content.startswith(_ZIP_SIGNATURE):
        raise BadInputError(
            f"{source} is a zip checkpoint; save it with torch.save(..., _use_new_zipfile_serialization=False)"
        )
    try:
        return _read(content)
    except _RefusedError as refusal:
        raise BadInputError(f"{source} cannot be read as a PyTorch checkpoint: {refusal}") from refusal


def _read(content: bytes) -> dict[str, NDArray[np.generic]]:
    stream = io.BytesIO(content)
    if _unpickle(stream) != _MAGIC or _unpickle(stream) != _VERSION:
        raise _RefusedError("it does not begin as one")
    machine, state, keys = _unpickle(stream), _unpickle(stream), _unpickle(stream)
    if not isinstance(machine, dict) or machine.get("little_endian") is not True:
        raise _RefusedError("it was not written on a little-endian machine")
    if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
        raise _RefusedError("it holds no dictionary of tensors")
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise _RefusedError("its list of storages is damaged")
    views = {name: _checked_view(name, value) for name, value in state.items()}
    storages = _read_storages(content, stream.tell(), keys, {view.storage for view in views.values()})
    needed = sum(math.prod(view.shape) * np.dtype(view.storage.dtype).itemsize for view in views.values())
    if needed > len(content):  # many names for one storage could ask for any amount of memory
        raise _RefusedError("its tensors overlap")
    return {name: _tensor(name, view, storages) for name, view in views.items()}


def _unpickle(stream: io.BytesIO) -> Any:
    """Read one pickle and leave the stream behind it."""
    start = stream.tell()
    try:
        for number, (opcode, argument, position) in enumerate(pickletools.genops(stream)):
            # Python keeps a slot for every number up to the largest one that a file calls a value by.
            if opcode.name.endswith("PUT") and isinstance(argument, int) and argument > number:
                raise _RefusedError("its numbering of values is damaged")
            if (position or 0) - start > _MAX_PICKLE:
                raise _RefusedError("its description of tensors is too long")
        stream.seek(start)
        return _TensorUnpickler(stream).load()
    except _UNPICKLING_ERRORS as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise _RefusedError(f"cut short or damaged ({reason[:120]})") from error


def _read_storages(
    content: bytes, position: int, keys: list[str], declared: set[_Storage]
) -> dict[_Storage, NDArray[np.generic]]:
    by_key = {storage.key: storage for storage in declared}
    storages: dict[_Storage, NDArray[np.generic]] = {}
    for key in keys:
        storage = by_key.get(key)
        if storage is None:
            raise _RefusedError(f"no tensor uses storage {key[:40]!r}, so its type is unknown")
        if position + 8 > len(content):
            raise _RefusedError("cut short")
        (count,) = struct.unpack_from("<q", content, position)
        size = np.dtype(storage.dtype).itemsize * storage.elements
        if count != storage.elements or count < 0 or position + 8 + size > len(content):
            raise _RefusedError(f"storage {key[:40]!r} of {storage.elements} elements is cut short or damaged")
        storages[storage] = np.frombuffer(content, storage.dtype, storage.elements, position + 8)
        position += 8 + size
    return storages


def _checked_view(name: str, value: Any) -> _View:
    if not isinstance(value, _View) or not isinstance(value.storage, _Storage):
        raise _RefusedError(f"{name[:80]!r} is no tensor")
    shape, strides = value.shape, value.strides
    if not (
        isinstance(shape, tuple)
        and isinstance(strides, tuple)
        and len(shape) == len(strides) <= _MAX_DIMENSIONS
        and all(type(side) is int and 1 <= side < _MAX_SIDE for side in shape)
        and all(type(step) is int and 0 <= step < _MAX_SIDE for step in (value.offset, *strides))
    ):
        raise _RefusedError(f"tensor {name[:80]!r} has a damaged shape")
    return value


def _tensor(name: str, view: _View, storages: dict[_Storage, NDArray[np.generic]]) -> NDArray[np.generic]:
    storage = storages.get(view.storage)
    last = view.offset + sum((side - 1) * stride for side, stride in zip(view.shape, view.strides, strict=True))
    if storage is None or last >= storage.size or math.prod(view.shape) > storage.size:
        raise _RefusedError(f"tensor {name[:80]!r} reaches beyond its storage")
    byte_strides = [stride * storage.itemsize for stride in view.strides]
    return np.lib.stride_tricks.as_strided(storage[view.offset :], view.shape, byte_strides).copy(order="C")
