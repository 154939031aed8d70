"""Where quantisation error enters: signal to quantisation noise, operator by operator.

Both models run with every intermediate tensor kept. Noise that has gathered says little about where it came from: a
bad range early on is amplified by all that follows, one late on drowns in what has gathered before. So each operator
is also measured alone: the float operator is given the very inputs that the int8 operator had.
"""

from __future__ import annotations

import copy
import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from edge_cns.contract import SIGNATURE
from edge_cns.preprocess import as_float, quantise_into
from edge_cns.runtime.backends.litert import LiteRT

__all__ = ["LayerNoise", "layer_noise"]

_EXACT_DB = 60.0  # beyond what 8 bits hold
_Key = tuple[str, str, int]


@dataclass(frozen=True, slots=True)
class LayerNoise:
    """Quantisation noise at one operator.

    Attributes:
        layer: name of the Keras layer.
        operator: TFLite operator.
        sqnr_db: signal to all the quantisation noise that has gathered in its output, dB, at most 60.
        own_db: signal to the noise that this operator adds by itself (weights, rounding, range), dB, at most 60.
    """

    layer: str
    operator: str
    sqnr_db: float
    own_db: float


def layer_noise(float_model: bytes, int8_model: bytes, images: NDArray[np.uint8]) -> tuple[LayerNoise, ...]:
    """Compare the two models tensor by tensor.

    Args:
        float_model, int8_model: ``.tflite`` contents of the same network. Operators are paired by the layer they
            come from, so that a quantisation-aware network, whose graph may be ordered otherwise, can be compared.
        images: network images ``(N, H, W)`` uint8; a handful is enough.

    Returns:
        One row an operator that both have, the one that adds most noise by itself first.
    """
    reference, quantised = (LiteRT(model, preserve_all_tensors=True) for model in (float_model, int8_model))
    alone = LiteRT(_cut(float_model), preserve_all_tensors=True)
    exact, int8, cut = _operators(reference), _operators(quantised), _operators(alone)
    powers = {key: np.zeros(4) for key in exact if key in int8}  # signal and noise, gathered and own
    for picture in images:
        reference.input()[:] = as_float(picture[None])
        quantise_into(picture, quantised.input())
        reference.invoke()
        quantised.invoke()
        for key in powers:
            _feed(alone, cut[key], quantised, int8[key])
        alone.invoke()
        for key, power in powers.items():
            index = exact[key]["outputs"][0]
            output = _real(quantised, int8[key]["outputs"][0])
            for at, engine in ((0, reference), (2, alone)):
                expected = engine.interpreter.get_tensor(index).astype(np.float64)
                power[at : at + 2] += (expected**2).sum(), ((expected - output) ** 2).sum()
    rows = [
        LayerNoise(layer, operator, _decibels(power[0], power[1]), _decibels(power[2], power[3]))
        for (layer, operator, _), power in powers.items()
    ]
    return tuple(sorted(rows, key=lambda row: row.own_db))


def _cut(model: bytes) -> bytes:
    """Cut every edge between two operators: what an operator takes from another becomes an input of the graph."""
    root = schema.ModelT.InitFromPackedBuf(model, 0)
    graph = root.subgraphs[0]
    made = {int(i) for operator in graph.operators for i in operator.outputs}
    inputs = [int(i) for i in graph.inputs]
    for operator in graph.operators:
        taken = [int(i) for i in operator.inputs]
        for position, index in enumerate(taken):
            if index in made:
                taken[position] = len(graph.tensors)
                inputs.append(taken[position])
                graph.tensors.append(copy.copy(graph.tensors[index]))
        operator.inputs = taken
    graph.inputs = inputs
    builder = schema.flatbuffers.Builder(len(model))
    builder.Finish(root.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _feed(alone: LiteRT, operator: dict[str, Any], quantised: LiteRT, twin: dict[str, Any]) -> None:
    """Give the float operator what the int8 operator was given: all inputs that are not constants."""
    free = {int(detail["index"]) for detail in alone.interpreter.get_input_details()}
    for index, source in zip(operator["inputs"], twin["inputs"], strict=False):
        if int(index) in free:
            alone.interpreter.set_tensor(int(index), _real(quantised, source).astype(np.float32))


def _operators(engine: LiteRT) -> dict[_Key, dict[str, Any]]:
    """Operators in order, by layer, kind, and which of its kind in the layer it is."""
    names = {t["index"]: t["name"] for t in engine.interpreter.get_tensor_details()}
    outputs = engine.interpreter.get_signature_runner(SIGNATURE).get_output_details()
    names |= {detail["index"]: name for name, detail in outputs.items()}  # the converter names these by number
    count: Counter[tuple[str, str]] = Counter()
    found: dict[_Key, dict[str, Any]] = {}
    for operator in engine.interpreter._get_ops_details():
        kind = (_layer_of(names[operator["outputs"][0]]), operator["op_name"])
        found[(*kind, count[kind])] = operator
        count[kind] += 1
    return found


def _real(engine: LiteRT, index: int) -> NDArray[np.float64]:
    scale, zero_point = engine.interpreter._get_tensor_details(int(index), 0)["quantization"]
    return np.asarray((engine.interpreter.get_tensor(int(index)).astype(np.float64) - zero_point) * scale)


def _decibels(signal: float, noise: float) -> float:
    return round(min(10 * math.log10(max(signal, 1e-30) / max(noise, 1e-30)), _EXACT_DB), 2)


def _layer_of(tensor: str) -> str:
    """The layer's name in a tensor's, which lists what was fused into the operator.

    ``net/relu/Relu6;net/Conv1/Conv2D;net/bn/ReadVariableOp`` is of layer ``Conv1``: what is computed first comes last,
    but for the constants that are read.
    """
    fused = tensor.split(";")
    parts = next((name for name in reversed(fused) if "ReadVariableOp" not in name), fused[-1]).split("/")
    return (parts[-2] if len(parts) > 1 else parts[0]).removeprefix("quant_")
