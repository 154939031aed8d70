"""tflite-runtime, LiteRT's predecessor, as old Coral and Raspberry Pi images have it."""

from __future__ import annotations

import importlib
import logging
import platform
from typing import Any

from edge_cns.errors import InitialisationError, brief
from edge_cns.runtime.backends.litert import LiteRT

__all__ = ["TfliteRuntime"]


class TfliteRuntime(LiteRT):
    """A model in tflite-runtime, which needs a numpy below 2, and therefore mostly an environment of its own.

    Args: see `LiteRT`.

    Raises:
        InitialisationError: tflite-runtime is not installed, does not fit the numpy here, or refuses the model.
        UnsupportedError: see `LiteRT`.
    """

    name = "tflite_runtime"
    _title = "tflite-runtime"

    def _library(self) -> Any:
        try:
            package = importlib.import_module("tflite_runtime")
            library = importlib.import_module("tflite_runtime.interpreter")
        except (ImportError, AttributeError) as error:  # the latter where it meets a newer numpy
            raise InitialisationError(
                f"tflite-runtime cannot be loaded ({brief(error)}); run: pip install tflite-runtime 'numpy<2', "
                "in an environment with Python 3.11 or older"
            ) from None
        self.version = str(package.__version__)
        if platform.machine() in ("x86_64", "AMD64"):
            logging.getLogger(__name__).warning("the int8 of tflite-runtime is slow on x86; litert runs the same model")
        return library
