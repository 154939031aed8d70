"""For ONNX Runtime: the float model by tf2onnx, quantised by ONNX Runtime's own tools to QDQ.

Activations are uint8 and weights int8 by channel, the combination that its kernels for x86 are fastest with.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.engine_model import Made, float_model, network_images, signature_names, write_engine_model
from edge_cns.bundle import Bundle
from edge_cns.errors import UnsupportedError
from edge_cns.extras import require
from edge_cns.preprocess import as_float
from edge_cns.quiet import quiet_stderr
from edge_cns.runtime.backends.onnx import MODEL

__all__ = ["to_onnx"]

_OPSET = 17  # what the ONNX Runtime and TensorRT of older Jetson images read as well


def to_onnx(bundle: Bundle, out: Path, *, reduce_range: bool = False) -> list[str]:
    """Write the folder that ``--backend onnxruntime`` reads.

    Args:
        bundle: verified, with the float model.
        out: the folder; must not exist.
        reduce_range: weights of 7 bits, for x86 processors without VNNI, whose sums of 8-bit products saturate.

    Returns:
        Lines for a person.

    Raises:
        BadInputError: the bundle was stripped.
        UnsupportedError: the network cannot be converted, or the result does not agree with the float model.
        MissingExtraError: ONNX Runtime, onnx, tf2onnx or TensorFlow is not installed.
    """
    versions = {name: str(require(name, "onnx").__version__) for name in ("onnxruntime", "onnx")}
    require("edge_cns.training.keras", "train")  # tf2onnx imports TensorFlow, which is quiet if it comes from there
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of TensorFlow's own deprecations
        versions["tf2onnx"] = str(require("tf2onnx", "onnx").__version__)
        model = _quantise(_to_float_onnx(float_model(bundle)), network_images(bundle), reduce_range)
    options = {"opset": _OPSET, "reduce_range": reduce_range}
    return write_engine_model(bundle, out, Made("onnxruntime", {MODEL: model}, versions, options))


def _to_float_onnx(model: bytes) -> Any:
    """``float.tflite`` as an ONNX model whose input is ``image`` and whose outputs have the signature's names."""
    convert = require("tf2onnx.convert", "onnx")
    names = signature_names(model)
    try:
        with tempfile.TemporaryDirectory() as folder, quiet_stderr():
            path = Path(folder) / "float.tflite"
            path.write_bytes(model)
            level = logging.root.manager.disable
            logging.disable(logging.CRITICAL)
            try:
                network, _ = convert.from_tflite(str(path), opset=_OPSET)
            finally:
                logging.disable(level)
    except Exception as error:  # tf2onnx raises whatever an unknown operator leads to
        reason = " ".join(str(error).split())[:200]
        raise UnsupportedError(f"tf2onnx cannot convert this network ({reason}); use another backbone") from None
    _rename(network.graph, names)
    return network


def _rename(graph: Any, names: dict[str, str]) -> None:
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for tensor in (*graph.input, *graph.output, *graph.value_info):
        tensor.name = names.get(tensor.name, tensor.name)


def _quantise(network: Any, images: NDArray[np.uint8], reduce_range: bool) -> bytes:
    tools = require("onnxruntime.quantization", "onnx")

    shape = require("onnxruntime.quantization.shape_inference", "onnx")
    with tempfile.TemporaryDirectory() as folder, quiet_stderr():
        whole, prepared, path = (Path(folder) / name for name in ("float.onnx", "prepared.onnx", MODEL))
        whole.write_bytes(network.SerializeToString())
        shape.quant_pre_process(str(whole), str(prepared), skip_symbolic_shape=True)  # all shapes are fixed
        tools.quantize_static(
            str(prepared),
            str(path),
            _Frames(images),
            quant_format=tools.QuantFormat.QDQ,
            activation_type=tools.QuantType.QUInt8,
            weight_type=tools.QuantType.QInt8,
            per_channel=True,
            reduce_range=reduce_range,
        )
        return path.read_bytes()


class _Frames:
    """The calibration frames, one at a time: what ONNX Runtime calls a calibration data reader."""

    def __init__(self, images: NDArray[np.uint8]) -> None:
        self._images = iter(images)

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        picture = next(self._images, None)
        return None if picture is None else {"image": as_float(picture[None])}
