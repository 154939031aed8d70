"""What every engine offers the runtime."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["Backend"]


class Backend(Protocol):
    """One loaded model on one engine. Not thread-safe: one thread at a time.

    Raises (on construction): `InitialisationError` if the engine cannot be had, `UnsupportedError` if the model is
    not one it runs.
    """

    name: str
    """Name in the table."""
    version: str
    """Version of the engine, as its distribution states it."""

    def input(self) -> NDArray[Any]:
        """The engine's own input memory, ``(1, H, W, 1)``. Drop the view before `invoke`."""

    def invoke(self) -> None:
        """Run the model once.

        Raises:
            OperationError: the engine failed.
        """

    def output(self, name: str) -> NDArray[Any]:
        """A copy of an output by its signature name: ``logits (1, K)``, ``cam (1, h, w, K)``, ``embedding (1, C)``."""

    def quantisation(self, name: str) -> tuple[float, int]:
        """Scale and zero point of ``image`` (the input) or of an output; (0, 0) for a float tensor."""

    def dtype(self, name: str) -> np.dtype[Any]:
        """dtype of ``image`` (the input) or of an output."""

    def close(self) -> None:
        """Release the engine. May be called twice."""
