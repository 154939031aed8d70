"""The Edge TPU checker: against what Google's compiler made of real models, and limit by limit."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converters.edgetpu_check import check_file, check_model, left_outside
from converters.edgetpu_rules import obstacle
from converters.targets import check_target
from converters.tflite_graph import Operator, Tensor, read_graph
from edge_cns.errors import BadInputError
from tests.converters.graphs import Maker

CORAL = Path(os.environ.get("EDGE_CNS_CORAL_DIR", "/nonexistent"))
PAIRS = sorted(p for p in CORAL.glob("*.tflite") if p.with_name(f"{p.stem}_edgetpu.tflite").exists())
needs_pairs = pytest.mark.skipif(not PAIRS, reason="EDGE_CNS_CORAL_DIR has no models with their compiled ones")


@needs_pairs
@pytest.mark.parametrize("path", PAIRS, ids=lambda path: path.stem)
def test_what_is_predicted_is_what_googles_compiler_did(path):
    rows = check_file(path).rows
    operators = read_graph(path.read_bytes(), "m").operators
    predicted = [
        (operator.name, tuple(t.name for t in operator.outputs))
        for operator, row in zip(operators, rows, strict=True)
        if not row.mapped
    ]
    compiled = path.with_name(f"{path.stem}_edgetpu.tflite")
    assert sorted(predicted) == sorted(left_outside(compiled.read_bytes(), "m"))
    assert [row.name for row in rows] == [operator.name for operator in operators]


@needs_pairs
def test_a_compiled_model_is_refused_with_the_mend(cli):
    outcome = cli("convert-to", "edgetpu", CORAL / f"{PAIRS[0].stem}_edgetpu.tflite", "--check")
    assert (outcome.status, outcome.err.count("\n")) == (2, 1)
    assert "was compiled for the Edge TPU already; give the model that was compiled" in outcome.err


# One operator


def tensor(*shape: int, dtype: str = "int8", values: Any = None, scales: int = 1, variable: bool = False) -> Tensor:
    data = None if values is None else np.array(values, dtype).tobytes()
    return Tensor(0, "t", shape, dtype, data, (0.5,) * scales, (3,) * scales, variable)


def numbers(*values: int) -> Tensor:
    return tensor(len(values), dtype="int32", values=values, scales=0)


def reason(name: str, inputs: list[Tensor | None], output: Tensor, **options: Any) -> str | None:
    return obstacle(Operator(name, False, tuple(inputs), (output,), options))


PICTURE = tensor(1, 8, 8, 4)
WEIGHTS = tensor(4, 3, 3, 4, values=np.zeros(144), scales=4)
BIAS = tensor(4, dtype="int32", values=[0] * 4)


@pytest.mark.parametrize(
    ("name", "inputs", "output", "options"),
    [
        ("CONV_2D", [PICTURE, WEIGHTS, BIAS], PICTURE, {"dilationWFactor": 2, "dilationHFactor": 2}),
        ("CONV_2D", [tensor(1, 8, 8, 4, dtype="uint8"), WEIGHTS, None], PICTURE, {"fusedActivationFunction": "RELU6"}),
        ("ADD", [PICTURE, PICTURE], PICTURE, {"fusedActivationFunction": "RELU"}),
        ("CONCATENATION", [PICTURE] * 3, tensor(1, 8, 8, 12), {}),
        ("CONCATENATION", [PICTURE, tensor(1, 8, 8, 4, values=[3] * 256)], tensor(1, 8, 8, 8), {}),
        ("FULLY_CONNECTED", [tensor(1, 1, 1, 4), WEIGHTS, BIAS], tensor(1, 4), {"weightsFormat": 0}),
        ("MEAN", [PICTURE, numbers(1, 2)], tensor(1, 4), {}),
        ("MEAN", [PICTURE, numbers(-1)], tensor(1, 8, 8), {}),
        ("PAD", [PICTURE, tensor(4, 2, dtype="int32", values=[0, 0, 1, 1, 1, 1, 0, 0])], tensor(1, 10, 10, 4), {}),
        ("PRELU", [PICTURE, tensor(1, 1, 4, values=[1] * 4)], PICTURE, {}),
        ("QUANTIZE", [tensor(1, 8, dtype="uint8")], tensor(1, 8), {}),
        ("RESIZE_BILINEAR", [PICTURE, numbers(16, 16)], tensor(1, 16, 16, 4), {}),
        ("SOFTMAX", [tensor(1, 16000)], tensor(1, 16000), {}),
        ("SPLIT", [numbers(3), PICTURE], tensor(1, 8, 8, 2), {}),
        ("SQUEEZE", [tensor(1, 1, 10)], tensor(10), {}),
        ("SQUEEZE", [tensor(1, 5, 10)], tensor(5, 10), {}),
        ("STRIDED_SLICE", [PICTURE, numbers(0), numbers(1), numbers(1)], PICTURE, {"shrinkAxisMask": 1}),
        ("TRANSPOSE_CONV", [numbers(1, 16, 16, 4), WEIGHTS, PICTURE], tensor(1, 16, 16, 4), {}),
        ("PACK", [tensor(1, 8, 4)] * 2, tensor(1, 2, 8, 4), {"axis": 1}),
        ("RESHAPE", [PICTURE, numbers(1, 256)], tensor(1, 256), {}),
        (
            "UNIDIRECTIONAL_SEQUENCE_LSTM",
            [tensor(1, 5, 4), WEIGHTS, None, tensor(1, 4, variable=True), tensor(1, 4, dtype="int16", variable=True)],
            tensor(1, 5, 4),
            {"fusedActivationFunction": "TANH"},
        ),
    ],
)
def test_what_is_within_the_limits_runs(name, inputs, output, options):
    assert reason(name, inputs, output, **options) is None


@pytest.mark.parametrize(
    ("name", "inputs", "output", "options", "text"),
    [
        ("HARD_SWISH", [PICTURE], PICTURE, {}, "operation not supported"),
        ("SPLIT_V", [PICTURE, numbers(2, 2), numbers(3)], PICTURE, {}, "operation not supported"),
        ("QUANTIZE", [tensor(1, 8, dtype="float32", scales=0)], tensor(1, 8), {}, "works on float32"),
        ("QUANTIZE", [tensor(1, 8)], tensor(1, 8, dtype="int16"), {}, "works on int16"),
        ("ADD", [PICTURE, tensor(1, dtype="float32", values=[1.0])], PICTURE, {}, "a constant is float32"),
        ("ADD", [tensor(1, 8, scales=2), PICTURE], PICTURE, {}, "has 2 scales, it needs one"),
        ("ADD", [tensor(-1, 8)], PICTURE, {}, r"size of a tensor is not fixed \(-1x8\)"),
        ("ADD", [tensor(2, 8, 8, 4)] * 2, PICTURE, {}, "more than the 3 innermost dimensions"),
        ("CONV_2D", [PICTURE, tensor(4, 3, 3, 4)], PICTURE, {}, "parameters are not constants"),
        ("CONV_2D", [PICTURE, WEIGHTS], PICTURE, {"dilationWFactor": 2, "dilationHFactor": 1}, "dilation 2 in x and 1"),
        ("MAX_POOL_2D", [PICTURE], PICTURE, {"fusedActivationFunction": "RELU"}, "fused activation RELU: only without"),
        ("CONCATENATION", [PICTURE, PICTURE, tensor(1, 8, 8, 4, values=[3] * 256)], PICTURE, {}, "there must be 2"),
        ("CONCATENATION", [PICTURE, tensor(1, 8, 8, 4, values=[1] * 256)], PICTURE, {}, "is not all zeros"),
        ("FULLY_CONNECTED", [tensor(1, 4), WEIGHTS], tensor(1, 4), {"weightsFormat": 1}, "not in the default format"),
        ("FULLY_CONNECTED", [tensor(7, 4), WEIGHTS], tensor(7, 4), {}, r"output is not one-dimensional \(7x4\)"),
        ("MEAN", [PICTURE, numbers(0, 1)], tensor(8, 4), {}, "reduces the batch dimension"),
        ("MEAN", [tensor(1, 8, 8, 6), numbers(3)], tensor(1, 8, 8), {}, "of which 6 is not a multiple of 4"),
        ("MEAN", [tensor(1, 256, 128, 3), numbers(1, 2)], tensor(1, 3), {}, r"a mean of 32768 values.*\(estimate\)"),
        ("REDUCE_MAX", [PICTURE, numbers(-4)], tensor(8, 8, 4), {}, "reduces the batch dimension"),
        ("PAD", [PICTURE, tensor(4, 2, dtype="int32", values=[0, 1] + [0] * 6)], PICTURE, {}, "pads the batch"),
        ("PRELU", [PICTURE, tensor(8, 8, 4, values=[1] * 256)], PICTURE, {}, "alpha is not one-dimensional"),
        ("RESIZE_BILINEAR", [tensor(1, 1, 1, 4), numbers(33, 33)], tensor(1, 33, 33, 4), {}, "resizes 33 times"),
        ("RESIZE_BILINEAR", [tensor(1, 256, 256, 32), numbers(512, 512)], tensor(1, 512, 512, 32), {}, "has 8.0 MiB"),
        ("RESIZE_NEAREST_NEIGHBOR", [PICTURE, tensor(2, dtype="int32")], PICTURE, {}, "parameters are not constants"),
        ("SOFTMAX", [tensor(1, 16001)], tensor(1, 16001), {}, "at most 16000"),
        ("SOFTMAX", [tensor(1, 8, 4)], tensor(1, 8, 4), {}, "input is not one-dimensional"),
        ("SPLIT", [numbers(0), PICTURE], PICTURE, {}, "splits the batch"),
        ("SQUEEZE", [tensor(5, 1, 10)], tensor(5, 10), {}, "not a leading one"),
        ("STRIDED_SLICE", [PICTURE, numbers(0), numbers(8), numbers(2)], PICTURE, {}, r"strides are \[2\]"),
        ("STRIDED_SLICE", [PICTURE, numbers(0)] * 2, PICTURE, {"newAxisMask": 1}, "parameters are not constants"),
        ("STRIDED_SLICE", [PICTURE, numbers(0), numbers(1), numbers(1)], PICTURE, {"newAxisMask": 1}, "newAxisMask is"),
        ("TRANSPOSE_CONV", [tensor(4, dtype="int32"), WEIGHTS, PICTURE], PICTURE, {}, "are not constants"),
        ("PACK", [tensor(8, 8, 4)] * 2, tensor(2, 8, 8, 4), {"axis": 0}, "more than the 3 innermost"),
        ("PACK", [tensor(8)] * 2, tensor(2, 8), {"axis": 0}, "packs in the batch"),
        ("UNIDIRECTIONAL_SEQUENCE_LSTM", [tensor(1, 5, 4), tensor(4, 4)], tensor(1, 5, 4), {}, "are not constants"),
    ],
)
def test_each_limit_is_told(name, inputs, output, options, text):
    found = reason(name, inputs, output, **options)
    assert found is not None
    assert re.search(text, found), found


# A whole graph


def chain(*names: str) -> bytes:
    """Operators one behind the other, each of one input and one output, all ``(1, 8)``; the first takes ``float32``."""
    maker = Maker()
    first = last = maker.tensor(1, 8, dtype="FLOAT32")
    for name in names:
        result = maker.tensor(1, 8)
        maker.add(name, [last], [result])
        last = result
    return maker.model([first], [last])


def mapped(model: bytes) -> list[bool]:
    return [row.mapped for row in check_model(model, "m").rows]


def test_mapping_begins_behind_a_float_input():
    assert mapped(chain("QUANTIZE", "RELU", "RELU6", "TANH")) == [False, True, True, True]


def test_what_is_behind_the_first_obstacle_stays_and_says_so():
    check = check_model(chain("QUANTIZE", "RELU", "ABS", "RELU6", "TANH"), "m")
    assert [row.mapped for row in check.rows] == [False, True, False, False, False]
    assert check.rows[3].reason == check.rows[4].reason == "could run, but comes behind operator 2 (ABS)"
    assert check.mapped == 1


def test_a_branch_beside_the_obstacle_is_mapped():
    maker = Maker()
    source, left, right, both = (maker.tensor(1, 8) for _ in range(4))
    maker.add("ABS", [source], [left])
    maker.add("RELU", [source], [right])
    maker.add("ADD", [left, right], [both])
    model = maker.model([source], [both])
    assert mapped(model) == [False, True, True], "the compiler begins behind what stays at the start"
    maker = Maker()
    source, before, left, right, both = (maker.tensor(1, 8) for _ in range(5))
    maker.add("RELU", [source], [before])
    maker.add("Custom", [before], [left])
    maker.add("RELU", [before], [right])
    maker.add("ADD", [left, right], [both])
    check = check_model(maker.model([source], [both]), "m")
    assert [row.mapped for row in check.rows] == [True, False, True, False]
    assert check.rows[1].reason == "custom operator Custom: not supported"


def test_a_graph_that_waits_for_nothing_ends():
    maker = Maker()
    one, two = maker.tensor(1, 8), maker.tensor(1, 8)
    maker.add("RELU", [one], [two])
    maker.add("RELU", [two], [one])
    check = check_model(maker.model([], [two]), "m")
    assert check.mapped == 0
    assert {row.reason for row in check.rows} == {"could run, but only one part of a graph is mapped"}


def test_a_damaged_operator_is_named():
    maker = Maker()
    source, result = maker.tensor(1, 8), maker.tensor(1, 8)
    maker.add("MEAN", [source], [result])
    with pytest.raises(BadInputError, match=r"^m: operator 0 \(MEAN\) is damaged .*; fetch or convert the model again"):
        check_model(maker.model([source], [result]), "m")


def many() -> bytes:
    """Operators whose limits look into constants and options."""
    maker = Maker()
    source, padded, larger, mean = (maker.tensor(1, *shape) for shape in ((4, 4, 4), (6, 6, 4), (12, 12, 4), (4,)))
    both, part, flat = maker.tensor(1, 8), maker.tensor(1, 4), maker.tensor(4)
    pads = maker.tensor(4, 2, dtype="INT32", data=np.array([[0, 0], [1, 1], [1, 1], [0, 0]], np.int32))
    zeros = maker.tensor(1, 4, data=np.zeros(4, np.int8))
    bounds = [maker.constant(0, 0), maker.constant(1, 4), maker.constant(1, 1)]
    maker.add("PAD", [source, pads], [padded])
    maker.add("RESIZE_BILINEAR", [padded, maker.constant(12, 12)], [larger])
    maker.add("MEAN", [larger, maker.constant(1, 2)], [mean])
    maker.add("CONCATENATION", [mean, zeros], [both], kind="ConcatenationOptions", axis=1)
    maker.add("STRIDED_SLICE", [both, *bounds], [part], kind="StridedSliceOptions")
    maker.add("SQUEEZE", [part], [flat], kind="SqueezeOptions", squeezeDims=[0])
    return maker.model([source], [flat])


def test_limits_that_look_into_constants_are_met():
    assert mapped(many()) == [True] * 6


@settings(deadline=None, max_examples=150)
@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=6))
def test_damage_is_told_or_makes_another_prediction(changes):
    content = bytearray(many())
    for place, value in changes:
        content[place % len(content)] = value
    said = ""
    try:
        rows = check_model(bytes(content), "m").rows
        assert all(row.reason for row in rows)
    except BadInputError as error:
        said = str(error)
    assert "\n" not in said


# The command


def test_a_bundle_and_its_model_are_mapped_whole(cli, tiny_bundle):
    outcome = cli("convert-to", "edgetpu", tiny_bundle, "--check")
    assert (outcome.status, outcome.err) == (0, "")
    whole = "tiny.cns/model.tflite: 6 of 6 operators will run on the Edge TPU (4 CONV_2D, 2 MEAN)\n"
    assert outcome.out == whole
    found = cli("convert-to", "edgetpu", tiny_bundle / "model.tflite", "--check", "--json").json
    assert (found["operators"]["mapped"], found["operators"]["unmapped"]) == (6, 0)
    assert found["operators"]["rows"][5] == {
        "index": 5,
        "name": "MEAN",
        "mapped": True,
        "reason": "runs on the Edge TPU",
    }


def test_a_float_model_maps_nothing_and_is_told_why(cli, tiny_bundle):
    outcome = cli("convert-to", "edgetpu", tiny_bundle / "float.tflite", "--check")
    assert (outcome.status, outcome.err) == (0, "")
    assert "0  CONV_2D   works on float32, not on int8 or uint8" in outcome.out
    assert outcome.out.splitlines()[-1].endswith("it is not fully quantised; quantise it with edge-cns convert")
    found = json.loads(cli("convert-to", "edgetpu", tiny_bundle / "float.tflite", "--check", "--json").out)
    assert (found["operators"]["mapped"], found["operators"]["unmapped"]) == (0, 6)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["contract.json", "--check"], "contract.json is not a TFLite model; give a .tflite file or a bundle"),
        (["nothing.tflite", "--check"], "cannot be read (No such file or directory)"),
        (["model.tflite"], "give --out to convert, or --check"),
        (["model.tflite", "--check", "--out", "x"], "give --out to convert, or --check"),
        (["model.tflite", "--out", "x", "--json"], "--json is for --check"),
    ],
)
def test_bad_input_is_one_line(cli, tiny_bundle, arguments, text):
    outcome = cli("convert-to", "edgetpu", tiny_bundle / arguments[0], *arguments[1:])
    assert (outcome.status, outcome.err.count("\n")) == (2, 1)
    assert text in outcome.err


def test_a_target_without_a_check_is_named(tiny_bundle):
    with pytest.raises(BadInputError, match="there is no check for target 'c-array'; there is one for edgetpu"):
        check_target("c-array", tiny_bundle)
