"""Keras to TFLite: the float model, and the full-integer int8 model in two ways.

Both have batch 1, one input ``image`` and the outputs ``logits``, ``cam`` and ``embedding`` by signature name.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from edge_cns.contract import INPUT_SCALE, INPUT_ZERO_POINT, OUTPUTS, SIGNATURE
from edge_cns.errors import UnsupportedError
from edge_cns.preprocess import as_float
from edge_cns.quiet import quiet_stderr
from edge_cns.runtime.backends.litert import LiteRT
from edge_cns.training.keras import tf

__all__ = ["check_full_integer", "to_float", "to_int8"]


def to_float(model: Any) -> bytes:
    """Convert to a float32 ``.tflite``.

    Args:
        model: classifier from `edge_cns.training.model.make_classifier`.
    """
    return _convert(model, lambda converter: None)


def to_int8(model: Any, calibration: NDArray[np.uint8]) -> bytes:
    """Convert to full-integer int8 by post-training quantisation, or by the ranges a QAT model has learned.

    Args:
        model: classifier, plain or quantisation-aware.
        calibration: network images ``(N, H, W)`` uint8 that set the ranges of activations (a QAT model has its own).

    Raises:
        UnsupportedError: the result is not full-integer or its input is not pinned; see `check_full_integer`.
    """

    def representative() -> Iterator[list[NDArray[np.float32]]]:
        # Black and white in one picture pin the input's range to [0, 1], whatever the frames hold.
        pinned = calibration[:1].copy()
        pinned[0, 0, 0], pinned[0, 0, 1] = 0, 255
        for picture in (*pinned, *calibration):
            yield [as_float(picture[None])]

    def full_integer(converter: Any) -> None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = representative
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.int8
        converter.inference_output_type = tf.int8

    content = _convert(model, full_integer)
    check_full_integer(content)
    return content


def check_full_integer(model: bytes) -> None:
    """Refuse a model with a float, Flex or custom operator, or an input other than ``p - 128`` at scale 1/255.

    Raises:
        UnsupportedError: names the operator or the tensor.
    """
    for code in schema.ModelT.InitFromPackedBuf(model, 0).operatorCodes:
        if code.customCode is not None:  # Flex operators are custom ones; no engine of ours would load them
            name = code.customCode.decode()
            raise UnsupportedError(f"the int8 model has the operator {name}; the network cannot be quantised in full")
    engine = LiteRT(model, xnnpack=False)
    scale, zero_point = engine.quantisation("image")
    if engine.dtype("image") != np.int8 or abs(scale - INPUT_SCALE) > 1e-7 or zero_point != INPUT_ZERO_POINT:
        raise UnsupportedError(
            f"the input became {engine.dtype('image')} with scale {scale:.6g} and zero point {zero_point}; "
            f"it must be int8 with {INPUT_SCALE:.6g} and {INPUT_ZERO_POINT}"
        )
    tensors = {t["index"]: t for t in engine.interpreter.get_tensor_details()}
    for operator in engine.interpreter._get_ops_details():
        name = operator["op_name"]
        if name in ("QUANTIZE", "DEQUANTIZE"):
            raise UnsupportedError(f"the int8 model has the operator {name}; the network cannot be quantised in full")
        for index in (*operator["inputs"], *operator["outputs"]):
            if index >= 0 and np.issubdtype(tensors[index]["dtype"], np.floating):
                kind = np.dtype(tensors[index]["dtype"])
                raise UnsupportedError(f"tensor {tensors[index]['name']!r} of operator {name} stayed {kind}")
    engine.close()


def _convert(model: Any, configure: Any) -> bytes:
    from tensorflow.lite.python.convert_phase import ConverterError

    height, width = model.input.shape[1:3]

    @tf.function(input_signature=[tf.TensorSpec((1, height, width, 1), tf.float32, name="image")])
    def serve(image: Any) -> dict[str, Any]:
        outputs = model(image, training=False)
        return {name: tf.identity(outputs[name], name=name) for name in OUTPUTS}

    module = tf.Module()
    module.held, module.serve = model.variables, serve  # holding the Keras model would trace every layer of it
    with tempfile.TemporaryDirectory() as folder, quiet_stderr():
        tf.saved_model.save(module, folder, signatures={SIGNATURE: serve})
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[SIGNATURE])
        configure(converter)
        try:
            return bytes(converter.convert())
        except ConverterError as error:
            reason = " ".join(str(error).split())[:300]
            raise UnsupportedError(f"TensorFlow cannot convert this network ({reason}); use another backbone") from None
