"""The Edge TPU without one: a library that is not there, one that finds no device, and a device that goes away."""

from __future__ import annotations

import json
import shutil
import subprocess

import numpy as np
import pytest
from ai_edge_litert import interpreter as litert

from edge_cns.bundle import read_bundle
from edge_cns.contract import OUTPUTS
from edge_cns.errors import BadInputError, InitialisationError, OperationError, UnsupportedError
from edge_cns.preprocess import quantise_into
from edge_cns.runtime.backends import edgetpu
from edge_cns.runtime.backends.edgetpu import MODEL, OPERATOR, PLACES, VARIABLE, EdgeTPU
from edge_cns.runtime.backends.litert import LiteRT
from edge_cns.runtime.backends.packed import pack

NO_DEVICE = """
#include <stddef.h>
void *tflite_plugin_create_delegate(char **keys, char **values, size_t count, void (*report)(const char *)) {
  report(count && values[0][0] == 'u' ? "no usb device" : "no device");
  return NULL;
}
void tflite_plugin_destroy_delegate(void *delegate) {}
"""


@pytest.fixture(scope="module")
def model(tiny_bundle) -> bytes:
    return read_bundle(tiny_bundle).files["model.tflite"]


@pytest.fixture
def order(model) -> dict[str, int]:
    """Where the outputs are in the graph, whatever their names."""
    engine = litert.Interpreter(model_content=model)
    runner = engine.get_signature_runner("serving_default").get_output_details()
    places = [detail["index"] for detail in engine.get_output_details()]
    return {name: places.index(runner[name]["index"]) for name in OUTPUTS}


@pytest.fixture
def files(model, order) -> bytes:
    return pack({MODEL: model + OPERATOR.encode(), PLACES: json.dumps(order).encode()})


@pytest.fixture
def plain_engine(model):
    """Opened before `device` takes LiteRT's place."""
    engine = LiteRT(model)
    yield engine
    engine.close()


@pytest.fixture
def no_device(tmp_path, monkeypatch):
    if shutil.which("gcc") is None:
        pytest.skip("no C compiler on this machine")
    (tmp_path / "edgetpu.c").write_text(NO_DEVICE)
    library = tmp_path / "libedgetpu.so"
    subprocess.run(["gcc", "-shared", "-fPIC", str(tmp_path / "edgetpu.c"), "-o", str(library)], check=True)
    monkeypatch.setattr(edgetpu, "_LIBRARY", str(library))


@pytest.fixture
def device(model, monkeypatch):
    """Instead of a device and its library, the model as it was before the compiler, on the processor."""
    asked = []

    def load(library: str, options: dict[str, str]) -> object:
        asked.append(options)
        return object()

    real = litert.Interpreter
    monkeypatch.setattr(edgetpu, "_LIBRARY", "libc.so.6")
    monkeypatch.setattr(litert, "load_delegate", load)
    monkeypatch.setattr(
        litert,
        "Interpreter",
        lambda model_content, num_threads, experimental_delegates: real(model_content=model, num_threads=num_threads),
    )
    return asked


def test_without_the_library_it_is_told_where_to_get_it(files, monkeypatch):
    monkeypatch.setattr(edgetpu, "_LIBRARY", "libedgetpu-absent.so.1")
    with pytest.raises(InitialisationError, match=r"cannot be loaded .* install Google's libedgetpu1-std") as caught:
        EdgeTPU(files)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("chosen", ["", "usb:0"])
def test_without_a_device_it_is_told_what_to_do(files, no_device, monkeypatch, chosen):
    monkeypatch.setenv(VARIABLE, chosen)
    with pytest.raises(InitialisationError, match="plug it in, or choose another with EDGE_CNS_EDGETPU") as caught:
        EdgeTPU(files)
    assert ("usb:0 could be started" if chosen else "of any kind could be started") in str(caught.value)
    assert ("no usb device" if chosen else "no device") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_outputs_are_found_without_a_signature(plain_engine, files, device, monkeypatch):
    monkeypatch.setenv(VARIABLE, "pci:1")
    plain, engine = plain_engine, EdgeTPU(files)
    picture = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    for one in (engine, plain):
        quantise_into(picture, one.input())
        one.invoke()
    assert all(np.array_equal(engine.output(name), plain.output(name)) for name in OUTPUTS)
    assert all(engine.quantisation(name) == plain.quantisation(name) for name in ("image", *OUTPUTS))
    assert engine.dtype("image") == np.int8
    assert device == [{"device": "pci:1"}]
    engine.close()
    engine.close()


def test_a_device_that_goes_away_is_an_operation_that_failed(files, device, monkeypatch):
    engine = EdgeTPU(files)

    def gone() -> None:
        raise RuntimeError("Failed to execute request.\nUSB transfer error 5")

    monkeypatch.setattr(engine.interpreter, "invoke", gone)
    with pytest.raises(OperationError, match=r"the Edge TPU failed to run the model .* plug it in again") as caught:
        engine.invoke()
    assert "\n" not in str(caught.value)
    assert device == [{}]


@pytest.mark.parametrize("chosen", ["gpu", "usb:", "usb:a", ":", "usb:0;", "pci:123"])
def test_another_name_of_a_device_is_refused(files, device, monkeypatch, chosen):
    monkeypatch.setenv(VARIABLE, chosen)
    with pytest.raises(BadInputError, match="give usb, pci, usb:N, pci:N or :N"):
        EdgeTPU(files)


def test_a_model_that_was_not_compiled_is_refused(model, order, device):
    with pytest.raises(UnsupportedError, match="was not compiled for the Edge TPU"):
        EdgeTPU(pack({MODEL: model, PLACES: json.dumps(order).encode()}))
    with pytest.raises(InitialisationError, match="make one with edge-cns convert-to"):
        EdgeTPU(model)
    with pytest.raises(InitialisationError, match=f"has no {MODEL}"):
        EdgeTPU(pack({"model.onnx": b""}))


@pytest.mark.parametrize(
    "places",
    [
        b"",
        b"[]",
        b'{"logits": 0}',
        b'{"logits": 0, "cam": "x", "embedding": 1}',
        b'{"logits": 0, "cam": -1, "embedding": 1}',
    ],
)
def test_places_that_do_not_tell_the_outputs_are_refused(model, places, device):
    with pytest.raises(InitialisationError, match="does not tell the outputs"):
        EdgeTPU(pack({MODEL: model + OPERATOR.encode(), PLACES: places}))


def test_a_model_that_the_library_refuses_is_one_line(files, device, monkeypatch):
    def refuse(**_: object) -> None:
        raise ValueError("Package requires runtime version (14),\nwhich is newer than this runtime version (13).")

    monkeypatch.setattr(litert, "Interpreter", refuse)
    with pytest.raises(InitialisationError, match=r"cannot be loaded on the Edge TPU .* compile it again") as caught:
        EdgeTPU(files)
    assert "\n" not in str(caught.value)
