from __future__ import annotations

import sys
from importlib.metadata import EntryPoint

import numpy as np
import pytest

from edge_cns.bundle import read_arrays, read_bundle
from edge_cns.contract import INPUT_SCALE, INPUT_ZERO_POINT, OUTPUTS
from edge_cns.errors import BadInputError, InitialisationError, UnsupportedError
from edge_cns.preprocess import quantise_into
from edge_cns.runtime.backends import table
from edge_cns.runtime.backends.litert import LiteRT
from edge_cns.runtime.backends.table import BACKENDS, open_backend


@pytest.fixture(scope="module")
def files(tiny_bundle):
    return read_bundle(tiny_bundle).files


@pytest.fixture
def engine(files):
    opened = LiteRT(files["model.tflite"])
    yield opened
    opened.close()


def picture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (64, 64), dtype=np.uint8)


def run(engine: LiteRT, seed: int = 0) -> dict[str, np.ndarray]:
    quantise_into(picture(seed), engine.input())
    engine.invoke()
    return {name: engine.output(name) for name in OUTPUTS}


def test_tensors_are_found_by_name(engine):
    assert engine.input().shape == (1, 64, 64, 1)
    assert engine.dtype("image") == np.int8
    scale, zero_point = engine.quantisation("image")
    assert scale == pytest.approx(INPUT_SCALE, abs=1e-9)
    assert zero_point == INPUT_ZERO_POINT
    outputs = run(engine)
    assert {name: array.shape for name, array in outputs.items()} == {
        "logits": (1, 3),
        "cam": (1, 8, 8, 3),
        "embedding": (1, 32),
    }
    assert {array.dtype for array in outputs.values()} == {np.dtype(np.int8)}
    assert (engine.name, engine.version.count(".")) == ("litert", 2)


def test_logits_are_the_averages_of_the_maps(engine, files):
    quantise_into(read_arrays(files["golden.npz"], "golden.npz")["image"][0], engine.input())
    engine.invoke()
    outputs = {name: engine.output(name) for name in OUTPUTS}

    def real(name: str) -> np.ndarray:
        scale, zero_point = engine.quantisation(name)
        return (outputs[name].astype(float) - zero_point) * scale

    steps = np.abs(real("cam").mean(axis=(1, 2)) - real("logits")) / engine.quantisation("logits")[0]
    assert steps.max() < 2.5


def test_an_output_is_a_copy(engine):
    first = run(engine, 0)
    kept = {name: array.copy() for name, array in first.items()}
    run(engine, 1)
    assert all(np.array_equal(first[name], kept[name]) for name in OUTPUTS)
    assert not np.array_equal(engine.output("cam"), first["cam"]), "the frames differ"


def test_threads_and_runs_do_not_change_the_outputs(files, engine):
    other = LiteRT(files["model.tflite"], threads=4)
    for seed in range(3):
        assert all(np.array_equal(run(engine, seed)[name], run(other, seed)[name]) for name in OUTPUTS)


def test_the_reference_kernels_are_near(files, engine):
    plain = LiteRT(files["model.tflite"], xnnpack=False)
    for seed in range(3):
        here, there = run(engine, seed), run(plain, seed)
        assert all(np.abs(here[name].astype(int) - there[name]).max() <= 3 for name in OUTPUTS)


def test_a_float_model_can_be_opened_for_reference(files):
    reference = LiteRT(files["float.tflite"])
    assert reference.dtype("image") == np.float32
    assert reference.quantisation("image") == (0, 0)


@pytest.mark.parametrize("content", [b"", b"TFL3", b"garbage " * 50, bytes(1000)], ids=range(4))
def test_what_is_no_model_is_one_quiet_line(content, capfd):
    with pytest.raises(InitialisationError, match=r"model\.tflite cannot be loaded by LiteRT \d") as caught:
        LiteRT(content)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


def test_close_twice(files):
    engine = LiteRT(files["model.tflite"])
    engine.close()
    engine.close()


def test_litert_that_is_missing(monkeypatch, files):
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(InitialisationError, match="pip install ai-edge-litert"):
        LiteRT(files["model.tflite"])


def test_backends_by_name(files):
    assert isinstance(open_backend("litert", files["model.tflite"], threads=2), LiteRT)
    with pytest.raises(BadInputError, match="no backend 'litret'; choose one of edgetpu, fake, litert"):
        open_backend("litret", b"")


class Elsewhere:
    def __init__(self, model: bytes, *, threads: int) -> None:
        self.got = (model, threads)


def test_an_installed_package_adds_a_backend_but_takes_none(monkeypatch, files):
    points = [
        EntryPoint("elsewhere", "elsewhere_engine:Elsewhere", table.ENTRY_POINT_GROUP),
        EntryPoint("litert", "elsewhere_engine:Elsewhere", table.ENTRY_POINT_GROUP),
    ]
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: points if group == "edge_cns.backends" else [])
    monkeypatch.setitem(sys.modules, "elsewhere_engine", sys.modules[__name__])
    assert open_backend("elsewhere", b"model", threads=3).got == (b"model", 3)
    assert isinstance(open_backend("litert", files["model.tflite"]), LiteRT)


def test_every_row_of_the_table_is_there():
    import importlib

    for module, attribute in BACKENDS.values():
        assert hasattr(importlib.import_module(module), attribute)


def test_a_model_of_another_kind_is_unsupported(tiny_bundle):
    with pytest.raises(UnsupportedError, match=r"inputs \['x'\] and outputs \['y'\].*edge-cns convert"):
        LiteRT(tiny_bundle.with_name("another.tflite").read_bytes())
