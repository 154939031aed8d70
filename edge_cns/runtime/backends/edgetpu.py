"""Google's Edge TPU (Coral), through LiteRT and the library that drives the device.

The environment variable ``EDGE_CNS_EDGETPU`` chooses among several devices, as libedgetpu names them: ``usb``, ``pci``,
``usb:1``, ``pci:0``, or ``:1`` for the second of any kind. Without it the first device is used.
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
from typing import Any

from edge_cns.contract import OUTPUTS
from edge_cns.errors import BadInputError, InitialisationError, UnsupportedError, brief
from edge_cns.quiet import quiet_stderr
from edge_cns.runtime.backends.interpreter import TfliteInterpreter
from edge_cns.runtime.backends.packed import unpack
from edge_cns.strict_json import load_json

__all__ = ["MODEL", "OPERATOR", "PLACES", "VARIABLE", "EdgeTPU"]

MODEL, PLACES = "model_edgetpu.tflite", "outputs.json"
"""Files of the converted model: as the compiler made it, and where the outputs are among its own, by name."""
OPERATOR = "edgetpu-custom-op"
"""What the compiler makes of all that runs on the Edge TPU."""
VARIABLE = "EDGE_CNS_EDGETPU"

_LIBRARY = "libedgetpu.so.1"
_DEVICE = re.compile(r"(usb|pci)?(:\d{1,2})?")


class EdgeTPU(TfliteInterpreter):
    """A compiled model on an Edge TPU.

    Args:
        model: what `edge_cns.runtime.backends.packed.pack` made of `MODEL` and `PLACES`.
        threads: CPU threads, for operators that stay on the processor.

    Raises:
        BadInputError: the variable names no device.
        InitialisationError: the device, its library or LiteRT cannot be had, or the model cannot be loaded.
        UnsupportedError: not Linux, or nothing of the model was compiled for the Edge TPU.
    """

    name = "edgetpu"
    _title = "the Edge TPU"
    _mend = "; if the device is gone, plug it in again"

    def __init__(self, model: bytes, *, threads: int = 1) -> None:
        if sys.platform != "linux":
            raise UnsupportedError("the Edge TPU is driven on Linux only; use the backend litert here")
        files = unpack(model)
        if not {MODEL, PLACES} <= set(files):
            raise InitialisationError(f"the converted model has no {MODEL}; make it with edge-cns convert-to edgetpu")
        if OPERATOR.encode() not in files[MODEL]:
            raise UnsupportedError(
                f"{MODEL} was not compiled for the Edge TPU; convert it with edge-cns convert-to edgetpu"
            )
        places = _places(files[PLACES])
        try:
            from ai_edge_litert import __version__
            from ai_edge_litert.interpreter import Interpreter, load_delegate
        except ImportError as error:
            raise InitialisationError(f"LiteRT cannot be loaded ({error}); run: pip install ai-edge-litert") from None
        self.version = str(__version__)
        self._delegate = _open(load_delegate, _device())
        try:
            with quiet_stderr():
                interpreter = Interpreter(
                    model_content=files[MODEL], num_threads=threads, experimental_delegates=[self._delegate]
                )
                interpreter.allocate_tensors()
            inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
            details = {"image": inputs[0]} | {name: outputs[places[name]] for name in OUTPUTS}
        except (ValueError, RuntimeError, TypeError, IndexError) as error:
            raise InitialisationError(
                f"{MODEL} cannot be loaded on the Edge TPU ({brief(error)}); compile it again with a compiler that is "
                f"not newer than {_LIBRARY}, or plug the device in again"
            ) from None
        self._take(interpreter, details)

    def close(self) -> None:
        """See `Backend.close`."""
        super().close()
        self._delegate = None  # after the interpreter, which uses it


def _device() -> str:
    device = os.environ.get(VARIABLE, "")
    if not _DEVICE.fullmatch(device):
        raise BadInputError(f"{VARIABLE} is {device!r}; give usb, pci, usb:N, pci:N or :N, where N is 0 for the first")
    return device


def _open(load_delegate: Any, device: str) -> Any:
    """Start the device.

    Raises:
        InitialisationError: the library is not installed, or finds no device.
    """
    try:
        ctypes.CDLL(_LIBRARY)  # LiteRT's own attempt would, where it fails, also write of what it cannot destroy
        with quiet_stderr():
            return load_delegate(_LIBRARY, {"device": device} if device else {})
    except OSError as error:
        raise InitialisationError(
            f"{_LIBRARY} cannot be loaded ({brief(error)}); install Google's libedgetpu1-std: "
            "https://coral.ai/docs/accelerator/get-started/"
        ) from None
    except (ValueError, RuntimeError) as error:
        raise InitialisationError(
            f"no Edge TPU {device or 'of any kind'} could be started ({brief(error)}); plug it in, or choose another "
            f"with {VARIABLE}"
        ) from None


def _places(content: bytes) -> dict[str, int]:
    """Where the outputs are among the compiled model's, which has no signature."""
    try:
        places = load_json(content, PLACES)
        found = {name: int(places[name]) for name in OUTPUTS}
        if any(place < 0 for place in found.values()):
            raise ValueError(f"{found}")
        return found
    except (BadInputError, KeyError, TypeError, ValueError) as error:
        raise InitialisationError(
            f"{PLACES} does not tell the outputs ({brief(error)}); convert the bundle again"
        ) from None
