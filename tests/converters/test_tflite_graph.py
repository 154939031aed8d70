"""Reading TFLite files: what is in them is found, and whatever the bytes are, the answer is a graph or one line."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converters.tflite_graph import read_graph
from edge_cns.bundle import read_bundle
from edge_cns.errors import BadInputError
from tests.converters.graphs import Maker


def small() -> bytes:
    maker = Maker()
    source, result = maker.tensor(1, 8, 8, 4), maker.tensor(1, 4, 4, 2)
    weights = maker.tensor(2, 3, 3, 4, data=np.arange(72, dtype=np.int8))
    relu6 = 3
    options = {"kind": "Conv2DOptions", "strideH": 2, "strideW": 2, "fusedActivationFunction": relu6}
    maker.add("CONV_2D", [source, weights, -1], [result], **options)
    maker.add("Decoder", [result], [maker.tensor(dtype="FLOAT32")])
    return maker.model([source], [result])


def test_operators_and_tensors_are_found():
    graph = read_graph(small(), "m")
    conv, decoder = graph.operators
    assert (conv.name, conv.custom) == ("CONV_2D", False)
    assert (decoder.name, decoder.custom) == ("Decoder", True)
    assert conv.options["fusedActivationFunction"] == "RELU6"
    source, weights, bias = conv.inputs
    assert bias is None
    assert source is not None
    assert weights is not None
    assert (source.shape, source.dtype, source.data, source.scales) == ((1, 8, 8, 4), "int8", None, (0.5,))
    assert weights.values().tolist() == list(range(72))
    assert [t.name for t in graph.inputs + graph.outputs] == ["t0", "t1"]
    with pytest.raises(BadInputError, match="'t0' is not a constant"):
        source.values()


def test_a_name_cannot_break_a_line():
    maker = Maker()
    maker.add("evil\n\x1b[2Jname", [maker.tensor(1)], [maker.tensor(1)])
    assert read_graph(maker.model([0], [1]), "m").operators[0].name == "evil??[2Jname"


def test_a_bundles_model_is_read(tiny_bundle):
    graph = read_graph(read_bundle(tiny_bundle).files["model.tflite"], "model.tflite")
    assert [o.name for o in graph.operators] == ["CONV_2D"] * 4 + ["MEAN"] * 2
    assert len(graph.outputs) == 3


@pytest.mark.parametrize(
    "content", [b"", b"TFL3", b"PK\x03\x04" * 9, b"\0\0\0\0TFL3", b"\xff\xff\xff\x7fTFL3" + b"\xff" * 64]
)
def test_what_is_no_model_is_one_line(content):
    with pytest.raises(BadInputError, match=r"^m is not a TFLite model") as caught:
        read_graph(content, "m")
    assert "\n" not in str(caught.value)


@settings(deadline=None, max_examples=150)
@given(st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), min_size=1, max_size=8), st.integers(0, 2000))
def test_damage_is_told_or_makes_another_graph(changes, cut):
    content = bytearray(small())
    for place, value in changes:
        content[place % len(content)] = value
    said = ""
    try:
        read_graph(bytes(content[: len(content) - cut % 400]), "m")
    except BadInputError as error:
        said = str(error)
    assert "\n" not in said
