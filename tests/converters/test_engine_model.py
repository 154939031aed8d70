from __future__ import annotations

import importlib.util
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import converters.engine_model as module
from converters.engine_model import LEAST_AGREEMENT, Made, signature_names, write_engine_model
from edge_cns.bundle import read_arrays, read_bundle, strip
from edge_cns.contract import OUTPUTS
from edge_cns.errors import BadInputError, InitialisationError, UnsupportedError
from edge_cns.runtime.backends.litert import LiteRT
from edge_cns.runtime.backends.packed import pack, unpack
from edge_cns.runtime.backends.table import open_backend
from edge_cns.runtime.target import choose


def need(*libraries: str) -> None:
    for library in libraries:
        if importlib.util.find_spec(library) is None:
            pytest.skip(f"needs {library}")


class Stub(LiteRT):
    """The bundle's own model under another name."""

    name = "openvino"
    turn = 0

    def output(self, name):
        values = super().output(name)
        return np.roll(values, self.turn, axis=-1) if name == "logits" else values


@pytest.fixture
def write(monkeypatch, bundle_copy):
    """Write a model that is the bundle's own, or turned by so many classes."""
    bundle = read_bundle(bundle_copy)

    def call(out: Path, turn: int = 0) -> list[str]:
        monkeypatch.setattr(Stub, "turn", turn)
        monkeypatch.setattr(module, "open_backend", lambda name, model: Stub(unpack(model)["model.xml"]))
        made = Made("openvino", {"model.xml": bundle.files["model.tflite"]}, {"maker": "1.0"}, {"option": True})
        return write_engine_model(bundle, out, made)

    return call


def test_what_is_written_is_found_with_its_proof(write, bundle_copy):
    out = bundle_copy.with_name("copy.openvino")
    lines = write(out)
    assert lines[-1] == "used by --backend openvino"
    record = json.loads((out / "target.json").read_text())
    assert (record["versions"], record["options"]) == ({"maker": "1.0"}, {"option": True})
    proof = record["proof"]
    assert (proof["frames"], proof["agreement"], proof["least_agreement"]) == (8, 1.0, LEAST_AGREEMENT)
    assert proof["model_tflite"]["agreement"] == 1.0
    assert proof["max_abs_difference"] == proof["model_tflite"]["max_abs_difference"]
    chosen = choose(read_bundle(bundle_copy), "openvino")
    golden = read_arrays(chosen.bundle.files["golden.npz"], "golden.npz")
    theirs = read_arrays((bundle_copy / "golden.npz").read_bytes(), "golden.npz")
    assert all(np.array_equal(golden[name], theirs[name]) for name in ("frames", "image", *OUTPUTS))


def test_elsewhere_it_says_where_it_would_be_found(write, tmp_path):
    assert write(tmp_path / "somewhere")[-1] == (
        "note: --backend openvino looks for it at copy.openvino beside copy.cns"
    )


def test_what_says_something_else_is_not_written(write, tmp_path):
    with pytest.raises(
        UnsupportedError, match=r"agrees with the float model on 0\.\d+ of 8 frames, 0\.99 is the least"
    ):
        write(tmp_path / "turned", turn=1)
    assert not (tmp_path / "turned").exists()


def test_names_of_tensors(tiny_bundle):
    names = signature_names((tiny_bundle / "float.tflite").read_bytes())
    assert set(names.values()) == {"image", *OUTPUTS}


@pytest.mark.parametrize("target", ["onnx", "openvino"])
def test_a_stripped_bundle_says_so(cli, bundle_copy, tmp_path, target):
    need(*{"onnx": ("onnxruntime", "onnx", "tf2onnx"), "openvino": ("openvino", "nncf")}[target])
    strip(bundle_copy)
    status, out, err = cli("convert-to", target, bundle_copy, "--out", tmp_path / "x")
    assert (status, out) == (2, "")
    assert "was stripped; convert the bundle before that" in err
    assert not (tmp_path / "x").exists()


@pytest.fixture(scope="module")
def onnx_model(tiny_bundle, tmp_path_factory):
    """A bundle with a converted model beside it, by the 7-bit route."""
    need("onnxruntime", "onnx", "tf2onnx", "tensorflow")
    from converters.onnx import to_onnx

    path = Path(shutil.copytree(tiny_bundle, tmp_path_factory.mktemp("onnx") / "tiny.cns"))
    bundle = read_bundle(path)
    lenient = replace(bundle, quantisation={**bundle.quantisation, "margin": 0.5})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "LEAST_AGREEMENT", 0.5)  # the network's weights are random: its logits lie close together
        to_onnx(lenient, path.with_suffix(".onnxruntime"), reduce_range=True)
    return choose(read_bundle(path), "onnxruntime")


def test_weights_of_seven_bits(onnx_model):
    import onnx
    from onnx import numpy_helper

    graph = onnx.load_from_string(unpack(onnx_model.model)["model.onnx"]).graph
    weights = [numpy_helper.to_array(t) for t in graph.initializer if t.data_type == onnx.TensorProto.INT8]
    weights = [w for w in weights if w.ndim == 4]
    assert len(weights) == 4  # three convolutions and the head
    assert max(np.abs(w.astype(int)).max() for w in weights) <= 64
    kinds = {node.op_type for node in graph.node}
    assert {"QuantizeLinear", "DequantizeLinear", "Conv"} <= kinds
    assert {i.name for i in (*graph.input, *graph.output)} == {"image", *OUTPUTS}


def test_an_opset_from_the_future_is_one_line_with_its_mend(onnx_model):
    import onnx

    files = unpack(onnx_model.model)
    network = onnx.load_from_string(files["model.onnx"])
    network.opset_import[0].version = 99
    with pytest.raises(InitialisationError, match=r"cannot be loaded by ONNX Runtime .*install the version") as caught:
        open_backend("onnxruntime", pack(files | {"model.onnx": network.SerializeToString()}))
    assert "\n" not in str(caught.value)


def test_an_operator_that_nobody_knows(tiny_bundle, tmp_path):
    need("openvino", "nncf", "onnxruntime", "onnx", "tf2onnx", "tensorflow")
    from ai_edge_litert import schema_py_generated as schema

    from converters.onnx import to_onnx
    from converters.openvino import to_openvino

    bundle = read_bundle(tiny_bundle)
    model = schema.ModelT.InitFromPackedBuf(bundle.files["float.tflite"], 0)
    code = model.operatorCodes[0]
    code.builtinCode, code.deprecatedBuiltinCode, code.customCode = schema.BuiltinOperator.CUSTOM, 32, b"Strange"
    builder = schema.flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), b"TFL3")
    files = {**bundle.files, "float.tflite": bytes(builder.Output())}
    strange = replace(bundle, files=files)
    for convert in (to_onnx, to_openvino):
        with pytest.raises((InitialisationError, UnsupportedError), match="Strange") as caught:
            convert(strange, tmp_path / "x")
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "x").exists()


def test_importing_openvino_reports_to_nobody(tmp_path):
    """As it comes, the mere import writes an identity to the home folder and sends it."""
    need("openvino", "nncf")
    import os
    import subprocess
    import sys

    program = (
        "import sys; from edge_cns.runtime.backends.openvino import load_openvino; load_openvino(); import nncf; "
        "assert sys.modules['openvino_telemetry'] is None"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | {"HOME": str(tmp_path)}, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    assert list(tmp_path.iterdir()) == []


def test_bad_frames_of_calibration(bundle_copy):
    bundle = read_bundle(bundle_copy)
    from edge_cns.bundle import write_arrays

    files = {**bundle.files, "calibration.npz": write_arrays({"images": np.zeros((2, 3, 3), np.uint8)})}
    with pytest.raises(BadInputError, match=r"calibration\.npz does not fit the contract"):
        module.network_images(replace(bundle, files=files))
