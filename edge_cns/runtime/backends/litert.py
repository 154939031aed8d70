"""LiteRT's interpreter on the CPU, with XNNPACK: the engine that is always there."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_cns.contract import OUTPUTS, SIGNATURE
from edge_cns.errors import InitialisationError, OperationError, UnsupportedError
from edge_cns.quiet import quiet_stderr

__all__ = ["LiteRT"]


class LiteRT:
    """A model in LiteRT.

    Args:
        model: content of a ``.tflite`` file. It is loaded from memory: what was verified is what runs.
        threads: CPU threads.
        xnnpack: use the XNNPACK kernels. Without them the reference kernels run, several times slower.
        preserve_all_tensors: keep every intermediate tensor for inspection; implies no XNNPACK.

    Raises:
        InitialisationError: LiteRT is not installed, or refuses the model.
        UnsupportedError: the model lacks the signature or an output that the contract names.
    """

    name = "litert"
    version = ""
    _title = "LiteRT"

    def __init__(
        self, model: bytes, *, threads: int = 1, xnnpack: bool = True, preserve_all_tensors: bool = False
    ) -> None:
        library = self._library()
        resolvers = library.OpResolverType
        plain = preserve_all_tensors or not xnnpack
        resolver = resolvers.BUILTIN_WITHOUT_DEFAULT_DELEGATES if plain else resolvers.AUTO
        try:
            with quiet_stderr():
                self.interpreter = library.Interpreter(
                    model_content=model,
                    num_threads=threads,
                    experimental_op_resolver_type=resolver,
                    experimental_preserve_all_tensors=preserve_all_tensors,
                )
                self.interpreter.allocate_tensors()
            runner = self.interpreter.get_signature_runner(SIGNATURE)
            inputs, outputs = runner.get_input_details(), runner.get_output_details()
        except (ValueError, RuntimeError, TypeError) as error:
            reason = " ".join(str(error).split())[:200]
            what = f"{self._title} {self.version}"
            raise InitialisationError(f"model.tflite cannot be loaded by {what} ({reason})") from None
        if len(inputs) != 1 or not set(OUTPUTS) <= set(outputs):
            raise UnsupportedError(
                f"model.tflite has inputs {sorted(inputs)} and outputs {sorted(outputs)}; "
                f"a bundle's model has one input and the outputs {', '.join(OUTPUTS)}: convert it with edge-cns convert"
            )
        self._details: dict[str, Any] = {"image": next(iter(inputs.values()))} | {n: outputs[n] for n in OUTPUTS}
        self._views = {name: self.interpreter.tensor(d["index"]) for name, d in self._details.items()}

    def _library(self) -> Any:
        """The module of the interpreter; sets `version`."""
        try:
            package = importlib.import_module("ai_edge_litert")
            library = importlib.import_module("ai_edge_litert.interpreter")
        except ImportError as error:
            raise InitialisationError(f"LiteRT cannot be loaded ({error}); run: pip install ai-edge-litert") from None
        self.version = str(package.__version__)
        return library

    def input(self) -> NDArray[Any]:
        """See `Backend.input`."""
        return self._views["image"]()  # type: ignore[no-any-return]

    def invoke(self) -> None:
        """See `Backend.invoke`."""
        try:
            self.interpreter.invoke()
        except (RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise OperationError(f"{self._title} failed to run the model ({reason})") from None

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
