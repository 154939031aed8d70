"""Where quantisation error enters: signal to quantisation noise, operator by operator.

Both models are run with every intermediate tensor kept. The ratio at an operator holds all the noise so far; what it
lost against its worst input entered there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_cns.preprocess import as_float, quantise_into
from edge_cns.runtime.backends.litert import LiteRT

__all__ = ["LayerNoise", "layer_noise"]

_EXACT_DB = 60.0  # the input is exact; more than this is beyond 8 bits anyway


@dataclass(frozen=True, slots=True)
class LayerNoise:
    """Quantisation noise at one operator.

    Attributes:
        layer: name of the Keras layer.
        operator: TFLite operator.
        sqnr_db: signal to quantisation noise of its output, dB.
        entering_db: by how much that is worse than the worst of its inputs, dB.
    """

    layer: str
    operator: str
    sqnr_db: float
    entering_db: float


def layer_noise(float_model: bytes, int8_model: bytes, images: NDArray[np.uint8]) -> tuple[LayerNoise, ...]:
    """Compare the two models tensor by tensor.

    Args:
        float_model, int8_model: ``.tflite`` contents of the same network.
        images: network images ``(N, H, W)`` uint8; a handful is enough.

    Returns:
        One row an operator, the one at which most noise enters first; empty where the two graphs do not have the same
        operators in the same order, so that tensors cannot be paired.
    """
    reference = LiteRT(float_model, preserve_all_tensors=True)
    quantised = LiteRT(int8_model, preserve_all_tensors=True)
    pairs = list(zip(_operators(reference), _operators(quantised), strict=False))
    if [a["op_name"] for a in _operators(reference)] != [b["op_name"] for b in _operators(quantised)]:
        return ()
    signal, noise = np.zeros(len(pairs)), np.zeros(len(pairs))
    for picture in images:
        reference.input()[:] = as_float(picture[None])
        quantise_into(picture, quantised.input())
        reference.invoke()
        quantised.invoke()
        for i, (a, b) in enumerate(pairs):
            exact = reference.interpreter.get_tensor(a["outputs"][0]).astype(np.float64)
            signal[i] += (exact**2).sum()
            noise[i] += ((exact - _real(quantised, b["outputs"][0])) ** 2).sum()
    sqnr = [10 * math.log10(max(s, 1e-30) / max(n, 1e-30)) for s, n in zip(signal, noise, strict=True)]
    return _ranked(reference, [a for a, _ in pairs], [min(value, _EXACT_DB) for value in sqnr])


def _ranked(engine: LiteRT, operators: Sequence[dict[str, Any]], sqnr: Sequence[float]) -> tuple[LayerNoise, ...]:
    names = {t["index"]: t["name"] for t in engine.interpreter.get_tensor_details()}
    at = {int(o["outputs"][0]): value for o, value in zip(operators, sqnr, strict=True)}
    rows = []
    for operator, value in zip(operators, sqnr, strict=True):
        worst_input = min((at[int(i)] for i in operator["inputs"] if int(i) in at), default=_EXACT_DB)
        layer = _layer_of(names[operator["outputs"][0]])
        rows.append(LayerNoise(layer, operator["op_name"], round(value, 2), round(worst_input - value, 2)))
    return tuple(sorted(rows, key=lambda row: -row.entering_db))


def _operators(engine: LiteRT) -> list[dict[str, Any]]:
    return [o for o in engine.interpreter._get_ops_details() if o["op_name"] != "DELEGATE"]


def _real(engine: LiteRT, index: int) -> NDArray[np.float64]:
    scale, zero_point = engine.interpreter._get_tensor_details(index, 0)["quantization"]
    return np.asarray((engine.interpreter.get_tensor(index).astype(np.float64) - zero_point) * scale)


def _layer_of(tensor: str) -> str:
    """The layer's name in a tensor's: ``net/relu/Relu6;net/Conv1/Conv2D`` is of layer ``Conv1``."""
    parts = tensor.split(";")[-1].split("/")
    return (parts[-2] if len(parts) > 1 else parts[0]).removeprefix("quant_")
