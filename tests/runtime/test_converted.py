from __future__ import annotations

import json

import numpy as np
import pytest

from edge_cns.contract import INPUT_SCALE, INPUT_ZERO_POINT, OUTPUTS
from edge_cns.errors import InitialisationError, OperationError, UnsupportedError
from edge_cns.preprocess import as_float, quantise_into
from edge_cns.runtime.backends.converted import TENSORS, ConvertedModel
from edge_cns.runtime.backends.packed import pack, unpack

SHAPES = {"image": (1, 4, 5, 1), "logits": (1, 3), "cam": (1, 2, 2, 3), "embedding": (1, 6)}
FACTS = {
    "image": {"shape": [1, 4, 5, 1], "scale": INPUT_SCALE, "zero_point": INPUT_ZERO_POINT},
    "logits": {"shape": [1, 3], "scale": 0.5, "zero_point": 10},
    "cam": {"shape": [1, 2, 2, 3], "scale": 1.0, "zero_point": 0},
    "embedding": {"shape": [1, 6], "scale": 0.25, "zero_point": -128},
    "shift": [0.0, 0.0, 0.0],
}


class Engine(ConvertedModel):
    """Keeps its image, and says what it is told to."""

    name = "told"

    def __init__(self, facts=FACTS, shapes=SHAPES) -> None:
        super().__init__({TENSORS: json.dumps(facts).encode()}, shapes)
        self.says = {name: np.zeros(SHAPES[name], np.float32) for name in OUTPUTS}

    def run(self, image):
        self.image = image
        return self.says


def test_a_picture_reaches_the_engine_as_training_saw_it():
    engine = Engine()
    picture = np.arange(20, dtype=np.uint8).reshape(4, 5) * 13
    quantise_into(picture, engine.input())
    engine.invoke()
    assert np.array_equal(engine.image, as_float(picture[None]))


def test_outputs_are_rounded_to_the_bundles_own_steps_and_end_where_int8_ends():
    engine = Engine()
    engine.says["logits"][0] = [0.74, -1e9, 1e9]
    engine.invoke()
    assert engine.output("logits").tolist() == [[11, -128, 127]]
    assert engine.output("embedding").tolist() == [[-128] * 6]
    assert engine.quantisation("logits") == (0.5, 10)


def test_a_shift_of_the_logits_is_taken_off_them_and_off_the_maps():
    engine = Engine(FACTS | {"shift": [1.0, -2.0, 0.0]})
    engine.says = {name: np.full(SHAPES[name], 4, np.float32) for name in OUTPUTS}
    engine.invoke()
    assert engine.output("logits").tolist() == [[16, 22, 18]]
    assert engine.output("cam")[0, 1, 1].tolist() == [3, 6, 4]
    assert engine.output("embedding").tolist() == [[-112] * 6]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_is_a_failure_and_no_class(value):
    engine = Engine()
    engine.says["embedding"][0, 2] = value
    with pytest.raises(OperationError, match="told gave embedding that are no numbers"):
        engine.invoke()


def test_an_engine_that_fails_is_one_line(monkeypatch):
    def fail(image):
        raise RuntimeError("kernel 3:\n  out of memory")

    engine = Engine()
    monkeypatch.setattr(engine, "run", fail)
    with pytest.raises(OperationError, match=r"told failed to run the model \(kernel 3: out of memory\)"):
        engine.invoke()


@pytest.mark.parametrize(
    ("facts", "shapes", "error", "text"),
    [
        ({}, SHAPES, InitialisationError, "not valid .*convert it again"),
        (FACTS | {"more": 1}, SHAPES, InitialisationError, "unknown field 'more'"),
        (FACTS | {"cam": FACTS["cam"] | {"scale": 0.0}}, SHAPES, InitialisationError, "scale 0.0 for 'cam'"),
        (FACTS | {"shift": [0.0]}, SHAPES, InitialisationError, "has 1 shifts of logits"),
        (FACTS, SHAPES | {"logits": (1, 4)}, UnsupportedError, r"'logits' of shape \(1, 4\), the bundle of \(1, 3\)"),
        (FACTS, {"image": SHAPES["image"]}, UnsupportedError, "'logits' of shape None"),
    ],
)
def test_a_model_that_is_not_the_bundles(facts, shapes, error, text):
    with pytest.raises(error, match=text):
        Engine(facts, shapes)


def test_files_are_packed_and_found_again():
    files = {"model.xml": b"<net/>", "model.bin": bytes(range(256)) * 9, "empty": b""}
    assert unpack(pack(files)) == files
    assert pack(files) == pack(files)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"TFL3" * 99])
def test_what_was_never_packed(content):
    with pytest.raises(InitialisationError, match=r"no converted model .*edge-cns convert-to"):
        unpack(content)


def test_a_packed_file_that_was_damaged():
    packed = bytearray(pack({"model.onnx": b"weights" * 20}))
    packed[60] ^= 1
    with pytest.raises(InitialisationError, match="no converted model"):
        unpack(bytes(packed))


def test_a_model_of_another_engine():
    with pytest.raises(InitialisationError, match=r"has no model\.xml; it is for another engine"):
        ConvertedModel.member(pack({"model.onnx": b""}), "model.xml")
