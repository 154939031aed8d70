"""The C of `firmware_bridge/micro`, compiled for this machine and called with plans made in Python."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from converters.micro_plan import Plan

__all__ = ["Engine", "build_engine"]

STRICT = ("-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic", "-Wconversion", "-Wshadow", "-Wcast-qual")
TRAPS = ("-fsanitize=undefined", "-fsanitize-undefined-trap-on-error", "-fno-omit-frame-pointer", "-g")
GUARD = 64  # elements behind an array that must stay as they were

Reader = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint32)


class Step(ctypes.Structure):
    _fields_ = (
        ("columns", ctypes.c_void_p),
        ("rows", ctypes.c_void_p),
        *((name, ctypes.c_uint16) for name in ("width", "height", "mean", "memory")),
    )


NUMBERS = (
    *("frame_width", "frame_height", "region_x", "region_y", "region_width", "region_height"),
    *("tensor_width", "tensor_height", "left", "top", "width", "height", "step_count", "row", "scratch_words"),
)


class CPlan(ctypes.Structure):
    _fields_ = (*((name, ctypes.c_uint16) for name in NUMBERS), ("steps", ctypes.POINTER(Step)))


def build_engine(folder: Path) -> Engine:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler on this machine")
    micro, library = Path(str(files("firmware_bridge") / "micro")), folder / "micro.so"
    source = [f"-I{micro / 'include'}", str(micro / "src" / "edge_cns_micro.c")]
    command = [compiler, *STRICT, *TRAPS, "-O1", "-shared", "-fPIC", *source, "-o", str(library)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return Engine(ctypes.CDLL(str(library)))


class Engine:
    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library

    def prepare(self, plan: Plan, frame: np.ndarray) -> np.ndarray:
        """The network's image from a frame in memory."""
        tensor, scratch = self._memory(plan)
        self._library.edge_cns_micro_preprocess(
            ctypes.byref(self._plan(plan)),
            ctypes.c_void_p(frame.ctypes.data),
            ctypes.c_size_t(frame.strides[0]),
            ctypes.c_void_p(tensor.ctypes.data),
            ctypes.c_void_p(scratch.ctypes.data),
        )
        return self._image(plan, tensor, scratch)

    def prepare_rows(self, plan: Plan, frame: np.ndarray, rows: int) -> tuple[int, np.ndarray, list[int]]:
        """The same row by row, from a camera that fails at row ``rows``: status, image, and rows asked for."""
        tensor, scratch = self._memory(plan)
        line, asked = np.empty(frame.shape[1], np.uint8), []

        def read(_: int, y: int) -> int | None:
            asked.append(y)
            line[:] = frame[y]  # the row before is gone
            return line.ctypes.data if y < rows else None

        status = self._library.edge_cns_micro_preprocess_rows(
            ctypes.byref(self._plan(plan)),
            Reader(read),
            None,
            ctypes.c_void_p(tensor.ctypes.data),
            ctypes.c_void_p(scratch.ctypes.data),
        )
        return status, self._image(plan, tensor, scratch), asked

    def _plan(self, plan: Plan) -> CPlan:
        self._tables = [np.ascontiguousarray(t) for step in plan.steps for t in (step.columns, step.rows)]
        pointers = [table.ctypes.data if len(table) else None for table in self._tables]
        self._steps = (Step * max(1, len(plan.steps)))(
            *(
                Step(pointers[2 * i], pointers[2 * i + 1], step.width, step.height, step.mean, plan.memory[i])
                for i, step in enumerate(plan.steps)
            )
        )
        region = plan.region
        numbers = (*plan.frame, region.x, region.y, region.width, region.height, *plan.tensor, *plan.place)
        return CPlan(*numbers, len(plan.steps), plan.memory[-1], plan.scratch_words, self._steps)

    @staticmethod
    def _memory(plan: Plan) -> tuple[np.ndarray, np.ndarray]:
        tensor = np.full(plan.tensor[0] * plan.tensor[1] + GUARD, 0x55, np.int8)
        return tensor, np.full(plan.scratch_words + GUARD, 0xA5A5, np.uint16)

    @staticmethod
    def _image(plan: Plan, tensor: np.ndarray, scratch: np.ndarray) -> np.ndarray:
        assert np.all(tensor[-GUARD:] == 0x55), "it wrote behind the tensor"
        assert np.all(scratch[-GUARD:] == 0xA5A5), "it wrote behind the scratch"
        return (tensor[:-GUARD].view(np.uint8) ^ 0x80).reshape(plan.tensor[::-1])
