"""LiteRT's interpreter on the CPU, with XNNPACK: the engine that is always there."""

from __future__ import annotations

import importlib
from typing import Any

from edge_cns.contract import OUTPUTS, SIGNATURE
from edge_cns.errors import InitialisationError, UnsupportedError, brief
from edge_cns.quiet import quiet_stderr
from edge_cns.runtime.backends.interpreter import TfliteInterpreter

__all__ = ["LiteRT"]


class LiteRT(TfliteInterpreter):
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
                interpreter = library.Interpreter(
                    model_content=model,
                    num_threads=threads,
                    experimental_op_resolver_type=resolver,
                    experimental_preserve_all_tensors=preserve_all_tensors,
                )
                interpreter.allocate_tensors()
            runner = interpreter.get_signature_runner(SIGNATURE)
            inputs, outputs = runner.get_input_details(), runner.get_output_details()
        except (ValueError, RuntimeError, TypeError) as error:
            what = f"{self._title} {self.version}"
            raise InitialisationError(f"model.tflite cannot be loaded by {what} ({brief(error)})") from None
        if len(inputs) != 1 or not set(OUTPUTS) <= set(outputs):
            raise UnsupportedError(
                f"model.tflite has inputs {sorted(inputs)} and outputs {sorted(outputs)}; "
                f"a bundle's model has one input and the outputs {', '.join(OUTPUTS)}: convert it with edge-cns convert"
            )
        self._take(interpreter, {"image": next(iter(inputs.values()))} | {name: outputs[name] for name in OUTPUTS})

    def _library(self) -> Any:
        """The module of the interpreter; sets `version`."""
        try:
            package = importlib.import_module("ai_edge_litert")
            library = importlib.import_module("ai_edge_litert.interpreter")
        except ImportError as error:
            raise InitialisationError(f"LiteRT cannot be loaded ({error}); run: pip install ai-edge-litert") from None
        self.version = str(package.__version__)
        return library
