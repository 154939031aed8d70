"""Memory and outputs of a model in TensorFlow Lite Micro's reference interpreter.

The interpreter ends the whole process at some models, and where the arena is too small, so each try is a process of its
own: ``python -m converters.micro_arena FOLDER ARENA OUTPUTS``, with the model and the images in the folder.
"""

from __future__ import annotations

import contextlib
import importlib.util
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_cns.errors import MissingExtraError, OperationError, UnsupportedError
from edge_cns.extras import require

__all__ = ["MicroRun", "run_micro"]

_DISTRIBUTION = "tflite-micro"
_LIBRARY, _EXTRA = "tflite_micro", "micro"
_ALIGNMENT = 16  # bytes, as the interpreter aligns what lies in its arena
_TIMEOUT_SECONDS = 600
_GENEROUS = 16 * 2**20  # bytes beyond what the model's own size suggests
_LARGEST = 2**30
_TOTAL = re.compile(r"Arena allocation total (\d+) bytes")


@dataclass(frozen=True, slots=True, eq=False)
class MicroRun:
    """A model run on some images.

    Attributes:
        arena: the least bytes in which it runs, a multiple of 16. Measured on 64 bits: a microcontroller's pointers
            are half as long, but its optimised kernels may take memory that the reference kernels do not.
        outputs: ``(N, ...)`` int8, in the order of the model's outputs.
        version: of tflite-micro.
    """

    arena: int
    outputs: tuple[NDArray[np.int8], ...]
    version: str


def run_micro(model: bytes, images: NDArray[np.uint8], count: int) -> MicroRun:
    """Find the arena's size and run images in an arena of that size.

    Args:
        model: content of an int8 ``.tflite`` file.
        images: the network's images, ``(N, height, width)`` uint8.
        count: number of the model's outputs.

    Raises:
        MissingExtraError: tflite-micro is not installed.
        UnsupportedError: the interpreter refuses the model or dies at it.
        OperationError: it takes longer than ten minutes.
    """
    if importlib.util.find_spec(_LIBRARY) is None:
        raise MissingExtraError(_LIBRARY, _EXTRA)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "model.tflite").write_bytes(model)
        np.save(folder / "images.npy", images[:1])
        said = _try(folder, min(_LARGEST, 10 * len(model) + _GENEROUS), count)
        found = _TOTAL.search(said)
        if found is None:
            raise UnsupportedError(f"tflite-micro did not say how large the arena is ({_last_line(said)})")
        np.save(folder / "images.npy", images)
        arena = -(-int(found[1]) // _ALIGNMENT) * _ALIGNMENT
        _try(folder, arena, count)
        outputs = tuple(np.load(folder / f"output{index}.npy", allow_pickle=False) for index in range(count))
        return MicroRun(arena, outputs, version(_DISTRIBUTION))


def _try(folder: Path, arena: int, count: int) -> str:
    """Run in a child; what it said."""
    command = [sys.executable, "-m", "converters.micro_arena", str(folder), str(arena), str(count)]
    try:
        done = subprocess.run(  # noqa: S603 - ourselves
            command, capture_output=True, text=True, errors="replace", timeout=_TIMEOUT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise OperationError(f"tflite-micro took longer than {_TIMEOUT_SECONDS} s; give it a smaller model") from None
    if done.returncode != 0:
        how = f"died by signal {-done.returncode} at" if done.returncode < 0 else "refuses"
        why = _last_line(done.stderr)
        raise UnsupportedError(f"tflite-micro {how} this model with an arena of {arena} bytes ({why})")
    return done.stderr


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else "it said nothing"


def _child(folder: Path, arena: int, count: int) -> None:
    runtime = require("tflite_micro.python.tflite_micro.runtime", _EXTRA)
    model, images = (folder / "model.tflite").read_bytes(), np.load(folder / "images.npy", allow_pickle=False)
    with contextlib.redirect_stdout(sys.stderr):
        interpreter = runtime.Interpreter.from_bytes(model, arena_size=arena)
    rows: list[list[NDArray[np.int8]]] = [[] for _ in range(count)]
    for image in images:
        interpreter.set_input((image[None, ..., None] ^ 0x80).view(np.int8), 0)
        interpreter.invoke()
        for index, row in enumerate(rows):
            row.append(interpreter.get_output(index))
    interpreter.print_allocations()
    for index, row in enumerate(rows):
        np.save(folder / f"output{index}.npy", np.concatenate(row))


if __name__ == "__main__":
    _child(Path(sys.argv[1]), *map(int, sys.argv[2:]))
