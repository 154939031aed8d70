"""What every engine keeps, whatever it runs: the tensors of the bundle's own model, the same answer each time."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import edge_cns
from edge_cns.atomic import json_bytes
from edge_cns.bundle import read_arrays, read_bundle, update_bundle
from edge_cns.contract import OUTPUTS
from edge_cns.errors import EdgeCnsError, InitialisationError
from edge_cns.preprocess import quantise_into
from edge_cns.runtime.backends.litert import LiteRT
from edge_cns.runtime.backends.packed import pack
from edge_cns.runtime.backends.table import BACKENDS, CONVERTED, open_backend
from edge_cns.runtime.engine.process import EngineProcess
from edge_cns.runtime.target import choose, target_path

LIBRARY = {
    "litert": "ai_edge_litert",
    "fake": "ai_edge_litert",
    "tflite_runtime": "tflite_runtime",
    "onnxruntime": "onnxruntime",
    "openvino": "openvino",
}
ALSO = {"onnxruntime": ("onnx", "tf2onnx", "tensorflow"), "openvino": ("nncf",)}
CLOSE = 24  # steps of int8 by which another quantisation of this network may differ
ROOT = Path(edge_cns.__file__).parents[1]


@pytest.fixture(scope="module")
def bundle_path(tiny_bundle, tmp_path_factory):
    """A copy that converted models can lie beside; its gate lets pass what random weights lead to."""
    path = Path(shutil.copytree(tiny_bundle, tmp_path_factory.mktemp("backends") / "tiny.cns"))
    quantisation = json.loads((path / "quantisation.json").read_text()) | {"margin": 0.5}
    update_bundle(path, {"quantisation.json": json_bytes(quantisation)})
    return path


CONVERT = r"""
import sys
from pathlib import Path
import converters.engine_model
from converters.targets import convert_to
converters.engine_model.LEAST_AGREEMENT = 0.5
print(*convert_to(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])), sep="\n")
"""


def saturates() -> bool:
    """Whether this is an x86 processor that adds 8-bit products in 16 bits (see `converters.onnx`)."""
    known = Path("/proc/cpuinfo").read_text()
    return platform.machine() == "x86_64" and "vnni" not in known


@pytest.fixture(scope="module", params=sorted(BACKENDS))
def chosen(request, bundle_path):
    """What each engine loads; converted once, by the command that makes it."""
    name = request.param
    if name not in LIBRARY:
        pytest.skip("needs a device")
    for library in (LIBRARY[name], *ALSO.get(name, ())):
        if importlib.util.find_spec(library) is None:
            pytest.skip(f"needs {library}")
    if name == "onnxruntime" and saturates():
        pytest.skip("x86 without VNNI: sums of 8-bit products saturate, and nobody should convert here")
    if name in CONVERTED:
        command = [sys.executable, "-c", CONVERT, CONVERTED[name], bundle_path, target_path(bundle_path, name)]
        made = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
        assert (made.returncode, made.stderr) == (0, ""), made.stderr
        assert made.stdout.splitlines()[-1] == f"used by --backend {name}"
    return choose(read_bundle(bundle_path), name)


@pytest.fixture
def engine(chosen):
    opened = open_backend(chosen.backend, chosen.model)
    yield opened
    opened.close()


def run(engine, seed: int) -> dict[str, np.ndarray]:
    picture = np.random.default_rng(seed).integers(0, 256, (64, 64), dtype=np.uint8)
    quantise_into(picture, engine.input())
    engine.invoke()
    return {name: engine.output(name) for name in OUTPUTS}


def same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return all(np.array_equal(one[name], other[name]) for name in OUTPUTS)


def test_its_tensors_are_those_of_the_bundles_model(chosen, engine):
    original = LiteRT(chosen.bundle.files["model.tflite"])
    assert engine.name == chosen.backend
    assert engine.version[0].isdigit()
    assert engine.input().shape == original.input().shape
    for name in ("image", *OUTPUTS):
        assert engine.dtype(name) == np.int8
        assert engine.quantisation(name) == pytest.approx(original.quantisation(name))
    for name in OUTPUTS:
        assert engine.output(name).shape == original.output(name).shape
        assert engine.output(name).dtype == np.int8


def test_it_says_the_same_each_time_and_on_each_number_of_threads(chosen, engine):
    first = run(engine, 0)
    kept = {name: value.copy() for name, value in first.items()}
    other = run(engine, 1)
    assert same(first, kept), "an output is a copy"
    assert not same(first, other)
    assert same(first, run(engine, 0))
    more = open_backend(chosen.backend, chosen.model, threads=2)
    assert same(first, run(more, 0))
    more.close()


def test_it_is_near_the_bundles_model(chosen, engine):
    original = LiteRT(chosen.bundle.files["model.tflite"])
    for picture in read_arrays(chosen.bundle.files["calibration.npz"], "calibration.npz")["images"]:
        for each in (engine, original):
            quantise_into(picture, each.input())
            each.invoke()
        for name in OUTPUTS:
            assert np.abs(engine.output(name).astype(int) - original.output(name)).max() <= CLOSE


def test_a_process_of_its_own_says_what_is_said_here(chosen, engine):
    process = EngineProcess(chosen.model, chosen.backend)
    try:
        assert process.connect()
        assert same(run(process, 3), run(engine, 3))
        assert (process.name, process.version) == (engine.name, engine.version)
    finally:
        process.close()


def test_a_bundle_is_loaded_with_it(bundle_path, chosen, phantom_pixels):
    with edge_cns.load(bundle_path, backend=chosen.backend) as classifier:
        verdict = classifier.classify(phantom_pixels)
    assert sum(verdict.probabilities.values()) == pytest.approx(1)


def test_close_twice(chosen):
    engine = open_backend(chosen.backend, chosen.model)
    engine.close()
    engine.close()


@pytest.mark.parametrize("content", [b"", b"TFL3", b"garbage " * 50, bytes(1000)], ids=range(4))
def test_what_is_no_model_is_one_quiet_line(chosen, content, capfd):
    with pytest.raises(InitialisationError) as caught:
        open_backend(chosen.backend, content)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


def test_a_model_for_another_engine_is_refused(chosen, bundle_path):
    own = read_bundle(bundle_path).files["model.tflite"]
    foreign = own if chosen.backend in CONVERTED else pack({"model.onnx": own})
    with pytest.raises(EdgeCnsError):
        open_backend(chosen.backend, foreign)


@pytest.mark.parametrize("name", sorted(LIBRARY))
def test_a_library_that_is_missing_is_named_with_its_mend(name, monkeypatch):
    library = LIBRARY[name]
    for module in [library, *(m for m in sys.modules if m.startswith(f"{library}."))]:
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InitialisationError, match="pip install"):
        open_backend(name, b"")


TFLITE_PYTHON = "EDGE_CNS_TFLITE_PYTHON"

ELSEWHERE = """
import sys, numpy as np
from edge_cns.bundle import read_arrays, read_bundle
from edge_cns.contract import OUTPUTS
from edge_cns.preprocess import quantise_into
from edge_cns.runtime.classifier import load
from pathlib import Path
path = Path(sys.argv[1])
with load(path, backend="tflite_runtime") as classifier:
    engine = classifier.backend
    for picture in read_arrays(read_bundle(path).files["calibration.npz"], "calibration.npz")["images"]:
        quantise_into(picture, engine.input())
        engine.invoke()
    np.savez(sys.argv[2], **{name: engine.output(name) for name in OUTPUTS})
    print(engine.name, engine.version, np.__version__)
"""


def test_tflite_runtime_in_an_environment_of_its_own(tiny_bundle, tmp_path):
    """It needs a numpy below 2."""
    python = os.environ.get(TFLITE_PYTHON)
    if not python:
        pytest.skip(f"{TFLITE_PYTHON} names no Python with tflite-runtime, numpy below 2, OpenCV and click")
    done = subprocess.run(
        [python, "-c", ELSEWHERE, str(tiny_bundle), str(tmp_path / "said.npz")],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    name, _, numpy_version = done.stdout.split()
    assert (name, numpy_version.split(".")[0]) == ("tflite_runtime", "1")
    original = LiteRT(read_bundle(tiny_bundle).files["model.tflite"])
    pictures = read_arrays(read_bundle(tiny_bundle).files["calibration.npz"], "calibration.npz")["images"]
    quantise_into(pictures[-1], original.input())
    original.invoke()
    with np.load(tmp_path / "said.npz") as said:
        for output in OUTPUTS:
            assert np.abs(said[output].astype(int) - original.output(output)).max() <= 3
