"""What engines share that run a TFLite interpreter: tensors by name, views of its memory, and its end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_cns.errors import OperationError, brief

__all__ = ["TfliteInterpreter"]


class TfliteInterpreter:
    """Base of the engines. A subclass makes the interpreter and calls `_take`.

    Attributes:
        interpreter: of LiteRT or tflite-runtime; ``None`` once it is closed.
    """

    interpreter: Any
    _title = ""
    """What a line about it calls the engine."""
    _mend = ""
    """What can be done about a run that failed."""

    def _take(self, interpreter: Any, details: Mapping[str, Mapping[str, Any]]) -> None:
        """Use an interpreter whose tensors are allocated.

        Args:
            interpreter: that runs.
            details: what it says of the tensors ``image`` and the outputs, by name.
        """
        self.interpreter = interpreter
        self._details = details
        self._views = {name: interpreter.tensor(detail["index"]) for name, detail in details.items()}

    def input(self) -> NDArray[Any]:
        """See `Backend.input`."""
        return self._views["image"]()  # type: ignore[no-any-return]

    def invoke(self) -> None:
        """See `Backend.invoke`."""
        try:
            self.interpreter.invoke()
        except (RuntimeError, ValueError) as error:
            raise OperationError(f"{self._title} failed to run the model ({brief(error)}){self._mend}") from None

    def output(self, name: str) -> NDArray[Any]:
        """See `Backend.output`."""
        return self._views[name]().copy()  # type: ignore[no-any-return]

    def quantisation(self, name: str) -> tuple[float, int]:
        """See `Backend.quantisation`."""
        scale, zero_point = self._details[name]["quantization"]
        return float(scale), int(zero_point)

    def dtype(self, name: str) -> np.dtype[Any]:
        """See `Backend.dtype`."""
        found: np.dtype[Any] = np.dtype(self._details[name]["dtype"])
        return found

    def close(self) -> None:
        """See `Backend.close`."""
        self._views.clear()
        self.interpreter = None
