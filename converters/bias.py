"""Bias correction: rounding shifts the mean of each logit, and the last bias can take that shift back.

The empirical form of Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction", for
the layer whose average the logits are. Nothing is added to the graph and no range changes.
"""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from edge_cns.errors import UnsupportedError
from edge_cns.preprocess import as_float, quantise_into
from edge_cns.runtime.backends.litert import LiteRT

__all__ = ["correct_bias", "mean_shift"]

_CAM = "cam"


def correct_bias(float_model: bytes, int8_model: bytes, images: NDArray[np.uint8]) -> bytes:
    """Make the mean logits of the int8 model those of the float model.

    Args:
        float_model, int8_model: ``.tflite`` contents of one network.
        images: network images ``(N, H, W)`` uint8 of *fit* patients: the ones that set the ranges.

    Returns:
        The int8 model with another bias in the layer of the class activation maps.

    Raises:
        UnsupportedError: that layer is not a convolution with an int32 bias.
    """
    shift = mean_shift(float_model, int8_model, images)
    model = schema.ModelT.InitFromPackedBuf(int8_model, 0)
    (graph,) = model.subgraphs
    (signature,) = model.signatureDefs
    output = next(o.tensorIndex for o in signature.outputs if o.name.decode() == _CAM)
    producer = next(operator for operator in graph.operators if output in operator.outputs)
    bias = graph.tensors[producer.inputs[2]] if len(producer.inputs) > 2 else None
    if bias is None or bias.type != schema.TensorType.INT32:
        raise UnsupportedError("the layer of the class activation maps has no int32 bias; use edge-cns train's head")
    values = np.asarray(model.buffers[bias.buffer].data, np.uint8).view("<i4").astype(np.int64)
    corrected = values - np.rint(shift / np.asarray(bias.quantization.scale, np.float64)).astype(np.int64)
    limits = np.iinfo(np.int32)
    model.buffers[bias.buffer].data = corrected.clip(limits.min, limits.max).astype("<i4").view(np.uint8)
    builder = schema.flatbuffers.Builder(len(int8_model))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def mean_shift(float_model: bytes, int8_model: bytes, images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Mean over images of each logit, int8 minus float: ``(K,)``."""
    exact, quantised = LiteRT(float_model), LiteRT(int8_model)
    scale, zero_point = quantised.quantisation("logits")
    differences = []
    for picture in images:
        exact.input()[:] = as_float(picture[None])
        quantise_into(picture, quantised.input())
        exact.invoke()
        quantised.invoke()
        logits = (quantised.output("logits")[0].astype(np.float64) - zero_point) * scale
        differences.append(logits - exact.output("logits")[0])
    return np.asarray(np.mean(differences, axis=0), np.float64)
