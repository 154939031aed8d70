"""ONNX Runtime on the CPU, with a quantised (QDQ) model that ``edge-cns convert-to onnx`` made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_cns.contract import OUTPUTS
from edge_cns.errors import InitialisationError, brief
from edge_cns.extras import require
from edge_cns.runtime.backends.converted import ConvertedModel

__all__ = ["MODEL", "OnnxRuntime"]

MODEL = "model.onnx"
_ERROR = 3  # level of its log: what it has to say of a failure is in the exception


class OnnxRuntime(ConvertedModel):
    """A converted model in ONNX Runtime.

    Args:
        model: what `edge_cns.runtime.backends.packed.pack` made of `MODEL` and its tensors.
        threads: CPU threads.

    Raises:
        MissingExtraError: ONNX Runtime is not installed.
        InitialisationError: it refuses the model, for instance one of a newer opset.
        UnsupportedError: its tensors are not those of the bundle.
    """

    name = "onnxruntime"

    def __init__(self, model: bytes, *, threads: int = 1) -> None:
        ort = require("onnxruntime", "onnx")
        self.version = str(ort.__version__)
        files, content = self.member(model, MODEL)
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = _ERROR + 1
        try:
            # The CPU by name: what is not asked for does not run.
            self._session: Any = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the library has an exception for every stage of loading
            reason = brief(error)
            raise InitialisationError(
                f"{MODEL} cannot be loaded by ONNX Runtime {self.version} ({reason}); install the version that "
                "converted it, or convert the bundle again"
            ) from None
        tensors = (*self._session.get_inputs(), *self._session.get_outputs())
        super().__init__(files, {tensor.name: tuple(tensor.shape) for tensor in tensors})

    def run(self, image: NDArray[np.float32]) -> Mapping[str, NDArray[np.float32]]:
        """See `ConvertedModel.run`."""
        return dict(zip(OUTPUTS, self._session.run(OUTPUTS, {"image": image}), strict=True))

    def close(self) -> None:
        """See `Backend.close`."""
        self._session = None
