"""Only full-integer models with the pinned input leave the converter."""

from __future__ import annotations

import numpy as np
import pytest

from converters.tflite import _convert, check_full_integer, to_float, to_int8
from edge_cns.contract import INPUT_SCALE, INPUT_ZERO_POINT
from edge_cns.errors import UnsupportedError
from edge_cns.runtime.backends.litert import LiteRT
from tests.trained import Trained

pytest.importorskip("tensorflow", reason="needs the train extra")
from ai_edge_litert import schema_py_generated as schema

from edge_cns.training.keras import keras, tf
from edge_cns.training.model import make_classifier


def repacked(root: object) -> bytes:
    builder = schema.flatbuffers.Builder(1 << 16)
    builder.Finish(root.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def parsed(trained: Trained):
    return schema.ModelT.InitFromPackedBuf(trained.bundle.files["model.tflite"], 0)


def test_accepts_what_it_made(trained: Trained) -> None:
    check_full_integer(trained.bundle.files["model.tflite"])


def test_the_input_is_pinned_whatever_the_frames_hold() -> None:
    """Frames between grey levels 90 and 110 alone would give another scale and zero point."""
    image = keras.Input((32, 32, 1), name="image")
    model = make_classifier(keras.Model(image, keras.layers.Conv2D(4, 3, 2, activation="relu")(image)), 2)
    dull = np.random.default_rng(0).integers(90, 110, (4, 32, 32), dtype=np.uint8)
    before = dull.copy()
    engine = LiteRT(to_int8(model, dull))
    scale, zero_point = engine.quantisation("image")
    assert (pytest.approx(INPUT_SCALE, abs=1e-9), INPUT_ZERO_POINT) == (scale, zero_point)
    assert engine.input().shape == (1, 32, 32, 1)
    np.testing.assert_array_equal(dull, before)


def test_refuses_a_float_model(trained: Trained) -> None:
    with pytest.raises(UnsupportedError, match="the input became float32"):
        check_full_integer(trained.bundle.files["float.tflite"])


@pytest.mark.parametrize(("scale", "zero_point"), [(2 / 255, -1), (1 / 255, -127), (1 / 256, -128)])
def test_refuses_another_input_range(trained: Trained, scale: float, zero_point: int) -> None:
    root = parsed(trained)
    quantisation = root.subgraphs[0].tensors[root.subgraphs[0].inputs[0]].quantization
    quantisation.scale, quantisation.zeroPoint = np.float32([scale]), np.int64([zero_point])
    with pytest.raises(UnsupportedError, match=f"scale {scale:.6g} and zero point {zero_point}"):
        check_full_integer(repacked(root))


@pytest.mark.parametrize("name", ["FlexErf", "MyOwn"])
def test_refuses_a_custom_operator_by_name(trained: Trained, name: str) -> None:
    root = parsed(trained)
    code = root.operatorCodes[0]
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
    code.customCode = name
    with pytest.raises(UnsupportedError, match=f"has the operator {name}"):
        check_full_integer(repacked(root))


def test_refuses_float_inside_and_at_the_end() -> None:
    """What the converter gives where it may fall back to float."""
    image = keras.Input((32, 32, 1), name="image")
    normalised = keras.layers.Lambda(tf.nn.local_response_normalization)(keras.layers.Conv2D(4, 3, 2)(image))
    model = make_classifier(keras.Model(image, normalised), 2)

    def with_fallback(converter: object) -> None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: iter([[np.float32([0, 1] * 512).reshape(1, 32, 32, 1)]])
        converter.inference_input_type = tf.int8

    with pytest.raises(UnsupportedError, match=r"DEQUANTIZE|stayed float32"):
        check_full_integer(_convert(model, with_fallback))


def test_an_operation_without_an_integer_form_is_one_typed_error() -> None:
    image = keras.Input((32, 32, 1), name="image")
    odd = keras.layers.Lambda(tf.math.erf)(keras.layers.Conv2D(4, 3, 2)(image))
    model = make_classifier(keras.Model(image, odd), 2)
    with pytest.raises(UnsupportedError) as caught:
        to_int8(model, np.zeros((2, 32, 32), np.uint8))
    assert "\n" not in str(caught.value)


def test_float_model_keeps_batch_1_and_its_names() -> None:
    image = keras.Input((32, 32, 1), name="image")
    model = make_classifier(keras.Model(image, keras.layers.Conv2D(4, 3, 2)(image)), 2)
    engine = LiteRT(to_float(model))
    assert engine.input().shape == (1, 32, 32, 1)
    assert engine.output("cam").shape == (1, 15, 15, 2)
    assert engine.output("logits").shape == (1, 2)
    assert engine.output("embedding").shape == (1, 4)
