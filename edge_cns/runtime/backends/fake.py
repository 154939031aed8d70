"""A rehearsal engine: LiteRT with a fault that is asked for, so that faults can be tried without a broken machine.

The environment variable ``EDGE_CNS_FAULT`` names the fault, and after how many seconds it begins: ``garbage@2``,
``slow@2``, ``hang@2``, ``crash@2``, ``leak@2``; without ``@``, on SIGUSR1 to the engine's process. ``missing`` and
``differs`` are there from the start. Empty: no fault.
"""

from __future__ import annotations

import math
import os
import signal
import time
from types import FrameType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_cns.errors import BadInputError, InitialisationError
from edge_cns.runtime.backends.litert import LiteRT

__all__ = ["FAULTS", "VARIABLE", "Fake"]

VARIABLE = "EDGE_CNS_FAULT"
FAULTS = ("garbage", "slow", "hang", "crash", "leak", "missing", "differs")

_SLOWER = 10
_LEAK = 16 * 2**20  # bytes a run


class Fake(LiteRT):
    """`LiteRT` until its fault begins.

    Raises:
        BadInputError: the variable names no fault.
        InitialisationError: the fault is ``missing``.
    """

    name = "fake"

    def __init__(self, model: bytes, *, threads: int = 1) -> None:
        self._fault, _, after = os.environ.get(VARIABLE, "").partition("@")
        if self._fault and not (self._fault in FAULTS and (after or "0").replace(".", "", 1).isdigit()):
            raise BadInputError(f"{VARIABLE} is {self._fault}@{after}; give one of {', '.join(FAULTS)}, e.g. hang@2")
        if self._fault == "missing":
            raise InitialisationError("the fake engine is missing, as it was asked to be")
        super().__init__(model, threads=threads)
        self._begins = time.monotonic() + float(after) if after else math.inf
        if self._fault and not after:
            signal.signal(signal.SIGUSR1, self._begin)
        self._leaked: list[NDArray[Any]] = []

    def invoke(self) -> None:
        """See `Backend.invoke`, and the fault."""
        if not self._faulty():
            super().invoke()
            return
        if self._fault == "hang":
            time.sleep(1e6)
        if self._fault == "crash":
            os.abort()
        if self._fault == "leak":
            self._leaked.append(np.ones(_LEAK, np.uint8))
        for _ in range(_SLOWER if self._fault == "slow" else 1):
            super().invoke()

    def output(self, name: str) -> NDArray[Any]:
        """See `Backend.output`."""
        values = super().output(name)
        if self._fault == "differs" or (self._fault == "garbage" and self._faulty()):
            return np.random.default_rng(time.monotonic_ns()).integers(-128, 128, values.shape, np.int8)
        return values

    def _begin(self, number: int, frame: FrameType | None) -> None:
        self._begins = time.monotonic()

    def _faulty(self) -> bool:
        return bool(self._fault) and time.monotonic() >= self._begins
