"""A converted bundle on a Cortex-M55: it compiles strictly, and the emulated board prepares frames as Python does."""

from __future__ import annotations

import importlib.util
import subprocess

import cv2
import numpy as np
import pytest

from benchmarks.micro import M55, build_program, missing_tools, run_program, section_bytes
from converters.c_array import to_c_array
from edge_cns.bundle import read_bundle
from edge_cns.data.phantom import CLASSES, draw_patient, render
from edge_cns.frames import Frame, Region
from edge_cns.preprocess import image

pytestmark = [
    pytest.mark.skipif(bool(missing_tools()), reason=f"not installed: {', '.join(missing_tools())}"),
    pytest.mark.skipif(importlib.util.find_spec("tflite_micro") is None, reason="needs the extra micro"),
]


@pytest.fixture(scope="module")
def frames() -> list[np.ndarray]:
    return [render(draw_patient(name, seed=i), "transthalamic", view=i).pixels for i, name in enumerate(CLASSES)]


@pytest.mark.parametrize(
    ("size", "region"),
    [
        ((640, 480), None),  # by 7.5
        ((320, 240), (16, 8, 200, 190)),  # by 3.1
        ((1920, 1080), None),  # by 17: halved first
        ((64, 64), None),  # as it is
    ],
)
def test_the_board_prepares_frames_as_python_does(tiny_bundle, tmp_path, frames, size, region):
    bundle = read_bundle(tiny_bundle)
    spec, part = bundle.contract.input, Region(*(region or (0, 0, *size)))
    to_c_array(bundle, tmp_path / "source", frame=size, region=part)
    pixels = np.stack([cv2.resize(frame, size, interpolation=cv2.INTER_CUBIC) for frame in frames])
    program = build_program(tmp_path / "source", tmp_path / "build")
    tensors, model = run_program(program, pixels, (spec.height, spec.width))
    expected = np.stack([image(Frame(frame, region=part), spec) for frame in pixels])
    assert np.array_equal(tensors, expected)
    assert model == bundle.files["model.tflite"]


@pytest.mark.parametrize("abi", ["soft", "hard"])
def test_preprocessing_is_small_keeps_nothing_and_calls_no_floating_point(tiny_bundle, tmp_path, abi):
    to_c_array(read_bundle(tiny_bundle), tmp_path / "source", frame=(640, 480))
    flags = tuple(f"-mfloat-abi={abi}" if flag.startswith("-mfloat-abi") else flag for flag in M55)
    build_program(tmp_path / "source", tmp_path / "build", flags)
    engine = tmp_path / "build" / "edge_cns_micro.o"
    assert section_bytes(engine, ".text") < 4096
    assert section_bytes(engine, ".bss") == section_bytes(engine, ".data") == 0
    done = subprocess.run(["arm-none-eabi-nm", "-u", str(engine)], capture_output=True, text=True, check=True)
    assert {line.split()[-1] for line in done.stdout.splitlines()} <= {"memset", "memcpy"}
