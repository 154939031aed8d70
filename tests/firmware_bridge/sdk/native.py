"""Functions that the C library keeps to itself, compiled from its sources and called through ctypes."""

from __future__ import annotations

import ctypes as c
import os
import shutil
import subprocess
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from edge_cns.contract import InputSpec
from edge_cns.frames import Frame, Region
from edge_cns.preprocess import Prepared
from tests.firmware_bridge.sdk.conftest import SDK

STRICT = ("-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic", "-ffp-contract=off")
PREPROCESS = tuple(
    f"preprocess/{name}"
    for name in ("grey", "resize_linear", "resize_taps", "resize_area", "outline", "region", "mode", "preprocess")
)
CLASSIFY = (
    *PREPROCESS,
    *(f"classify/{name}" for name in ("sha256", "inflate", "arrays", "json", "schema", "contract", "sealed", "bundle")),
    *(f"classify/{name}" for name in ("engine_library", "engine", "evidence", "reading", "golden", "classify")),
)
RING = ("failure", *(f"ring/{name}" for name in ("wire", "door", "channel", "memory", "results", "told")))
GUARD = 64
UNREADABLE = ("", "colour over the image", "two images side by side")


class CRegion(c.Structure):
    _fields_: ClassVar = [(name, c.c_int) for name in ("x", "y", "width", "height")]

    def region(self) -> Region:
        return Region(self.x, self.y, self.width, self.height)


class Picture(c.Structure):
    _fields_: ClassVar = [
        ("pixels", c.c_void_p),
        ("stride", c.c_size_t),
        ("width", c.c_int),
        ("height", c.c_int),
        ("format", c.c_int),
        ("bits_stored", c.c_int),
    ]


class Plane(c.Structure):
    _fields_: ClassVar = [("pixels", c.c_void_p), ("stride", c.c_size_t), ("width", c.c_int), ("height", c.c_int)]


class Input(c.Structure):
    _fields_: ClassVar = [
        ("width", c.c_int),
        ("height", c.c_int),
        ("rule", c.c_int),
        ("fixed", CRegion),
        ("letterbox", c.c_bool),
    ]


class CPrepared(c.Structure):
    _fields_: ClassVar = [("region", CRegion), ("unreadable", c.c_int)]


def compile_shared(folder: Path, *sources: str, options: tuple[str, ...] = ("-O2",)) -> c.CDLL:
    compiler = os.environ.get("CC") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler on this machine: tests/peers/install.sh installs one")
    library = folder / "insides.so"
    files = [str(SDK / "src" / f"{name}.c") for name in sources]
    command = [
        compiler,
        *STRICT,
        *options,
        "-shared",
        "-fPIC",
        f"-I{SDK / 'include'}",
        f"-I{SDK / 'src'}",
        *files,
        "-o",
        str(library),
    ]
    done = subprocess.run([*command, "-lm", "-ldl"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return c.CDLL(str(library))


def picture_of(frame: Frame) -> Picture:
    """The frame's own memory; rows may be apart, pixels of a row may not."""
    pixels = frame.pixels
    assert pixels.strides[1:] == ((3, 1) if pixels.ndim == 3 else (pixels.itemsize,))
    kind = 3 if pixels.ndim == 3 else pixels.itemsize
    height, width = pixels.shape[:2]
    return Picture(pixels.ctypes.data, pixels.strides[0], width, height, kind, frame.bits_stored or 16)


class Preprocessing:
    """``preprocess.h``, with memory of exactly the stated size around which nothing may be written."""

    def __init__(self, library: c.CDLL) -> None:
        self.library = library
        library.ec_prepare_scratch.restype = c.c_size_t
        library.ec_resize_scratch.restype = c.c_size_t
        library.ec_unreadable_text.restype = c.c_char_p
        library.ec_prepare.restype = c.c_bool
        library.ec_is_coloured.restype = library.ec_is_dual.restype = c.c_bool
        library.ec_fit_within.restype = library.ec_enclosing.restype = CRegion

    def prepare(self, frame: Frame, spec: InputSpec, most: tuple[int, int] | None = None) -> Prepared | None:
        height, width = frame.pixels.shape[:2]
        given = self.input(spec)
        size = self.library.ec_prepare_scratch(c.byref(given), *(most or (width, height)))
        scratch, image = _memory(size), np.full(spec.height * spec.width + GUARD, 0x55, np.uint8)
        known = None if frame.region is None else c.byref(_region(frame.region))
        made, picture = CPrepared(), picture_of(frame)
        fits = self.library.ec_prepare(
            *(c.byref(picture), known, c.byref(given)),
            *(c.c_void_p(image.ctypes.data), c.c_void_p(scratch.ctypes.data), c.byref(made)),
        )
        assert np.all(image[-GUARD:] == 0x55), "it wrote behind the image"
        assert np.all(scratch[-GUARD:] == 0xA5), "it wrote behind the scratch"
        if not fits:
            return None
        why = self.library.ec_unreadable_text(made.unreadable).decode()
        return Prepared(image[:-GUARD].reshape(spec.height, spec.width), made.region.region(), why)

    def resize(self, grey: np.ndarray, width: int, height: int) -> np.ndarray:
        size = self.library.ec_resize_scratch(grey.shape[1], grey.shape[0], width, height)
        scratch, out = _memory(size), np.full((height, width + 5), 0x55, np.uint8)
        picture = Picture(grey.ctypes.data, grey.strides[0], grey.shape[1], grey.shape[0], 1, 8)
        plane = Plane(out.ctypes.data, out.strides[0], width, height)
        self.library.ec_resize(c.byref(picture), c.byref(plane), c.c_void_p(scratch.ctypes.data))
        assert np.all(out[:, width:] == 0x55), "it wrote behind a row"
        assert np.all(scratch[-GUARD:] == 0xA5), "it wrote behind the scratch"
        return out[:, :width]

    def parts(self, frame: Frame) -> list[Region]:
        height, width = frame.pixels.shape[:2]
        self.library.ec_parts_scratch.restype = c.c_size_t
        scratch = _memory(self.library.ec_parts_scratch(width, height))
        found, picture = (CRegion * 50)(), picture_of(frame)
        count = self.library.ec_find_parts(c.byref(picture), found, c.c_void_p(scratch.ctypes.data))
        assert np.all(scratch[-GUARD:] == 0xA5), "it wrote behind the scratch"
        return [found[i].region() for i in range(count)]

    def fit_within(self, width: int, height: int, spec: InputSpec) -> tuple[int, int, int, int]:
        r = self.library.ec_fit_within(width, height, c.byref(self.input(spec)))
        return r.x, r.y, r.width, r.height

    def is_coloured(self, pixels: np.ndarray) -> bool:
        scratch, picture = _memory(16 * 2 * 256 * 2), picture_of(Frame(pixels))
        return bool(self.library.ec_is_coloured(c.byref(picture), c.c_void_p(scratch.ctypes.data)))

    def is_dual(self, parts: list[Region], width: int, height: int) -> bool:
        given = (CRegion * max(1, len(parts)))(*map(_region, parts))
        return bool(self.library.ec_is_dual(given, len(parts), width, height))

    @staticmethod
    def input(spec: InputSpec) -> Input:
        rule = ("auto", "whole", "fixed").index(spec.region)
        fixed = _region(spec.fixed_region) if spec.fixed_region else CRegion()
        return Input(spec.width, spec.height, rule, fixed, spec.letterbox)


def _region(region: Region) -> CRegion:
    return CRegion(region.x, region.y, region.width, region.height)


def _memory(size: int) -> np.ndarray:
    memory = np.full(size + GUARD + 64, 0xA5, np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start : start + size + GUARD]
