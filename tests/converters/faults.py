"""Breaking a quantisation on purpose."""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema

__all__ = ["widen_range"]


def widen_range(model: bytes, layer: str, factor: float) -> bytes:
    """Multiply the quantisation range of one layer's output, and nothing else.

    The zero point stays, so that real zero is still a level. Whoever consumes the output has its bias, whose scale is
    that of the input times that of the weights, written anew: the model means the same, only coarser.

    Args:
        model: int8 ``.tflite``.
        layer: name of a Keras layer whose output is an operator's.
        factor: of the range.
    """
    root = schema.ModelT.InitFromPackedBuf(model, 0)
    graph = root.subgraphs[0]
    names = {int(o): _layer(graph.tensors[o].name) for operator in graph.operators for o in operator.outputs}
    names |= {output.tensorIndex: output.name.decode() for output in root.signatureDefs[0].outputs}
    (changed,) = (index for index, name in names.items() if name == layer)
    quantisation = graph.tensors[changed].quantization
    quantisation.scale = np.asarray(quantisation.scale, np.float32) * np.float32(factor)
    for operator in graph.operators:
        if int(operator.inputs[0]) == changed and len(operator.inputs) == 3:  # a convolution
            bias = graph.tensors[operator.inputs[2]]
            bias.quantization.scale = np.asarray(bias.quantization.scale, np.float32) * np.float32(factor)
            values = np.frombuffer(bytes(root.buffers[bias.buffer].data), np.int32)
            rescaled = np.round(values / factor).astype(np.int32)
            root.buffers[bias.buffer].data = np.frombuffer(rescaled.tobytes(), np.uint8)
    builder = schema.flatbuffers.Builder(len(model))
    builder.Finish(root.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _layer(tensor: bytes) -> str:
    """``net/relu/Relu6;net/Conv1/Conv2D`` comes from ``Conv1``."""
    parts = tensor.decode().rsplit(";", maxsplit=1)[-1].split("/")
    return parts[-2] if len(parts) > 1 else parts[0]
