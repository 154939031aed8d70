"""Whether a loaded model is the one that a contract speaks of."""

from __future__ import annotations

import numpy as np

from edge_cns.contract import INPUT_SCALE, INPUT_ZERO_POINT, OUTPUTS, Contract
from edge_cns.errors import UnsupportedError
from edge_cns.runtime.backends.base import Backend

__all__ = ["check_model"]


def check_model(backend: Backend, contract: Contract) -> None:
    """See that input and outputs are what the contract means.

    Args:
        backend: with the bundle's ``model.tflite``.
        contract: of the bundle.

    Raises:
        UnsupportedError: they are not; the text names the tensor.
    """
    spec, classes = contract.input, len(contract.classes)
    shape, dtype = backend.input().shape, backend.dtype("image")
    if dtype != np.int8:
        raise UnsupportedError(f"model.tflite takes {dtype} input; a bundle's model is int8: use edge-cns convert")
    if shape != (1, spec.height, spec.width, 1):
        wanted = (1, spec.height, spec.width, 1)
        raise UnsupportedError(f"model.tflite takes {shape}, the contract says {wanted}; they are not of one bundle")
    scale, zero_point = backend.quantisation("image")
    if abs(scale - INPUT_SCALE) > 1e-7 or zero_point != INPUT_ZERO_POINT:
        raise UnsupportedError(
            f"model.tflite quantises its input by {scale:.6g}, {zero_point}; "
            f"a bundle's model by {INPUT_SCALE:.6g}, {INPUT_ZERO_POINT}: use edge-cns convert"
        )
    shapes = {name: backend.output(name).shape for name in OUTPUTS}
    fits = shapes["logits"] == (1, classes) and len(shapes["cam"]) == 4 and shapes["cam"][3] == classes
    if not fits or len(shapes["embedding"]) != 2:
        raise UnsupportedError(f"model.tflite has outputs {shapes} for {classes} classes; they are not of one bundle")
    for name in OUTPUTS:
        scale, _ = backend.quantisation(name)
        if backend.dtype(name) != np.int8 or not (np.isfinite(scale) and scale > 0):
            raise UnsupportedError(f"model.tflite output {name!r} is not quantised to int8: use edge-cns convert")
