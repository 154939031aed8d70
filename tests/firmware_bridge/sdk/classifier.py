"""``edge_cns_classify.h`` through ctypes."""

from __future__ import annotations

import ctypes as c
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from edge_cns.frames import Frame
from tests.firmware_bridge.sdk import abi

UNUSABLE, TAMPERED, UNSUPPORTED, MISMATCH, ENGINE = -7, -8, -9, -10, -11
STATES = ("no_signal", "class", "indeterminate", "not_supported_view", "frozen")


class Options(c.Structure):
    _fields_: ClassVar = [
        ("size", c.c_size_t),
        ("litert_library", c.c_char_p),
        *((name, c.c_uint32) for name in ("threads", "max_width", "max_height", "require_proof")),
    ]


class Tensor(c.Structure):
    _fields_: ClassVar = [
        ("values", c.POINTER(c.c_int8)),
        ("count", c.c_uint32),
        ("axes", c.c_uint32),
        ("shape", c.c_uint32 * 4),
        ("scale", c.c_float),
        ("zero_point", c.c_int32),
    ]


def litert_library() -> Path:
    """The shared library of the installed wheel."""
    found = find_spec("ai_edge_litert")
    library = Path(str(found.origin)).with_name("libLiteRt.so") if found else None
    if library is None or not library.exists():
        pytest.skip("no libLiteRt.so on this machine")
    return library


class Classifier:
    """A classifier as a C program would hold it."""

    def __init__(self, sdk: c.CDLL, bundle: Path, library: Path | None = None, **changes) -> None:
        self.sdk = sdk
        for name in ("class_name", "remarks"):
            getattr(sdk, f"edge_cns_classifier_{name}").restype = c.c_char_p
        sdk.edge_cns_error.restype = c.c_char_p
        self.options = Options(c.sizeof(Options), str(library or litert_library()).encode(), 1, 1920, 1080, 0)
        for name, value in changes.items():
            setattr(self.options, name, value)
        self.handle = c.c_void_p()
        self.status = sdk.edge_cns_classifier_open(str(bundle).encode(), c.byref(self.options), c.byref(self.handle))
        assert (self.status == 0) == bool(self.handle)

    def __enter__(self) -> Classifier:
        assert self.status == 0, self.error
        return self

    def __exit__(self, *_: object) -> None:
        self.sdk.edge_cns_classifier_close(self.handle)

    @property
    def error(self) -> str:
        return self.sdk.edge_cns_error().decode()

    def classify(self, frame: Frame, **fields) -> abi.Result:
        pixels, result = frame.pixels, abi.Result()
        height, width = pixels.shape[:2]
        kind = 3 if pixels.ndim == 3 else pixels.itemsize
        given = abi.Frame(kind, width, height, pixels.strides[0], frame.bits_stored or 0)
        if frame.region is not None:
            given.region[:] = (frame.region.x, frame.region.y, frame.region.width, frame.region.height)
        given.captured_ns = frame.captured_ns
        for name, value in fields.items():
            setattr(given, name, value)
        address = c.c_void_p(pixels.ctypes.data)
        self.status = self.sdk.edge_cns_classify(self.handle, address, c.byref(given), c.byref(result))
        return result

    def tensor(self, name: str) -> np.ndarray:
        found = Tensor()
        assert self.sdk.edge_cns_classifier_tensor(self.handle, name.encode(), c.byref(found)) == 0, self.error
        flat = np.ctypeslib.as_array(found.values, (found.count,)).copy()
        return flat.reshape(tuple(found.shape[: found.axes]))

    def name(self, index: int) -> str:
        return self.sdk.edge_cns_classifier_class_name(self.handle, index).decode()
