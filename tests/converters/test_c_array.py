"""A bundle as C: it compiles without a warning, holds the network to the byte, and says what is true of it."""

from __future__ import annotations

import ctypes
import dataclasses
import importlib.util
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from converters import c_array, micro_arena
from converters.c_array import to_c_array
from converters.c_source import array, comment, real, string
from converters.micro_arena import MicroRun, run_micro
from converters.micro_model import read_model
from converters.micro_parts import PARTS, shortages
from edge_cns.bundle import Bundle, read_arrays, read_bundle, write_arrays
from edge_cns.contract import OUTPUTS, ClassDefinition
from edge_cns.errors import (
    BadInputError,
    EdgeCnsError,
    GoldenMismatchError,
    MissingExtraError,
    OperationError,
    UnsupportedError,
)
from edge_cns.frames import Region
from edge_cns.runtime.backends.litert import LiteRT

needs_micro = pytest.mark.skipif(importlib.util.find_spec("tflite_micro") is None, reason="needs the extra micro")
needs_compiler = pytest.mark.skipif(shutil.which("gcc") is None, reason="no C compiler on this machine")
STRICT = ("-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic")


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Path) -> Bundle:
    return read_bundle(tiny_bundle)


@pytest.fixture(scope="module")
def folder(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if importlib.util.find_spec("tflite_micro") is None:
        pytest.skip("needs the extra micro")
    out = tmp_path_factory.mktemp("c") / "tiny_c"
    to_c_array(bundle, out, frame=(640, 480))
    return out


@pytest.fixture
def instant(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> MicroRun:
    """tflite-micro's part, answered from the golden vectors."""
    golden = read_arrays(bundle.files["golden.npz"], "golden.npz")
    facts = read_model(bundle.files["model.tflite"])
    outputs = {tensor.index: golden[tensor.name] for tensor in facts.outputs}
    run = MicroRun(20000, tuple(outputs[index] for index in sorted(outputs)), "0")
    monkeypatch.setattr(c_array, "run_micro", lambda *_: run)
    return run


def compiled(folder: Path, out: Path, *flags: str) -> ctypes.CDLL:
    command = ["gcc", *STRICT, *flags, "-shared", "-fPIC", *map(str, sorted(folder.glob("*.c"))), "-o", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return ctypes.CDLL(str(out))


# What is written


@needs_compiler
def test_the_folder_compiles_and_holds_the_network(bundle, folder, tmp_path):
    library = compiled(folder, tmp_path / "model.so")
    model = bundle.files["model.tflite"]
    held = (ctypes.c_ubyte * len(model)).in_dll(library, "edge_cns_model")
    assert bytes(held) == model
    assert ctypes.addressof(held) % 16 == 0
    names = (ctypes.c_char_p * len(bundle.contract.classes)).in_dll(library, "edge_cns_class_names")
    assert [name.decode() for name in names] == list(bundle.contract.class_names)
    golden = read_arrays(bundle.files["golden.npz"], "golden.npz")
    image = (ctypes.c_int8 * golden["image"][0].size).in_dll(library, "edge_cns_golden_input")
    assert np.array_equal(np.array(image).view(np.uint8) ^ 0x80, golden["image"][0].ravel())
    logits = (ctypes.c_int8 * golden["logits"][0].size).in_dll(library, "edge_cns_golden_logits")
    assert list(logits) == golden["logits"][0].tolist()


@needs_compiler
def test_the_header_is_also_cpp_and_says_what_the_model_says(bundle, folder, tmp_path):
    facts = read_model(bundle.files["model.tflite"])
    asserts = [
        f"EDGE_CNS_MODEL_BYTES == {len(bundle.files['model.tflite'])}",
        f"EDGE_CNS_OPERATOR_COUNT == {len(facts.operators)}",
        "EDGE_CNS_INPUT_WIDTH == 64 && EDGE_CNS_INPUT_HEIGHT == 64 && EDGE_CNS_INPUT_ZERO_POINT == -128",
        "EDGE_CNS_INPUT_SCALE == 1.0f / 255.0f",
        "EDGE_CNS_FRAME_WIDTH == 640 && EDGE_CNS_REGION_HEIGHT == 480",
        "EDGE_CNS_PICTURE_TOP == 8 && EDGE_CNS_PICTURE_HEIGHT == 48",
        "EDGE_CNS_LOGITS_CHANNELS == 3 && EDGE_CNS_CLASS_COUNT == 3",
        "EDGE_CNS_ARENA_BYTES > EDGE_CNS_ARENA_MEASURED",
        "sizeof(edge_cns_model) == EDGE_CNS_MODEL_BYTES",
    ]
    engine = LiteRT(bundle.files["model.tflite"])
    for name in OUTPUTS:
        scale, zero_point = engine.quantisation(name)
        asserts.append(f"EDGE_CNS_{name.upper()}_ZERO_POINT == {zero_point}")
        asserts.append(f"EDGE_CNS_{name.upper()}_SCALE == {real(scale)}")
    engine.close()
    lines = "".join(f'static_assert({text}, "");\n' for text in asserts)
    count = '#define ONE(name) +1\nstatic_assert(0 EDGE_CNS_OPERATORS(ONE) == EDGE_CNS_OPERATOR_COUNT, "");\n'
    source = tmp_path / "check.cpp"
    source.write_text(f'#include "edge_cns_model.h"\n{lines}{count}')
    command = ["g++", "-std=c++14", "-Wall", "-Wextra", "-Werror", "-pedantic", "-fsyntax-only", f"-I{folder}"]
    done = subprocess.run([*command, str(source)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@needs_compiler
def test_cmake_builds_it(folder, tmp_path):
    if shutil.which("cmake") is None:
        pytest.skip("no cmake on this machine")
    for command in (["cmake", "-S", str(folder), "-B", str(tmp_path)], ["cmake", "--build", str(tmp_path)]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "libedge_cns_model.a").exists()


def test_a_person_is_told_what_it_is(folder):
    text = (folder / "README.md").read_text()
    assert "Research use only. Not a medical device." in text
    assert "Trained on simulated frames" in text
    assert "$" not in text
    assert "$" not in (folder / "edge_cns_model.h").read_text()
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


@needs_compiler
def test_hostile_names_stay_text(bundle, tmp_path, instant):
    names = ('??/"; int x = 1; //', "*/ #error", "0\\", "frontal \u00f6dema", "z%s")
    classes = tuple(ClassDefinition(name) for name in sorted(names)[:3])
    use = dataclasses.replace(bundle.contract.intended_use, statement="*/ #error no \n comment /* ends ??/ here")
    contract = dataclasses.replace(bundle.contract, classes=classes, intended_use=use)
    to_c_array(dataclasses.replace(bundle, contract=contract), tmp_path / "c", frame=(640, 480))
    library = compiled(tmp_path / "c", tmp_path / "model.so", "-trigraphs")
    held = (ctypes.c_char_p * 3).in_dll(library, "edge_cns_class_names")
    assert [name.decode() for name in held] == list(contract.class_names)


@needs_compiler
def test_a_calibrated_contract_brings_its_rules(bundle, tmp_path, instant):
    from edge_cns.contract import Aggregation, ConformalRule, Decision, ExamRule, NoveltyRule

    decision = Decision(
        calibrated=True,
        temperature=1.25,
        model_sha256="0" * 64,
        conformal=ConformalRule(0.9, (0.25, 0.5, 1.0)),
        novelty=NoveltyRule(0.125, 0.05),
        exam=ExamRule(Aggregation(), (0.5, 0.75, 0.0), 0.95, negative="normal"),
    )
    contract = dataclasses.replace(bundle.contract, decision=decision)
    to_c_array(dataclasses.replace(bundle, contract=contract), tmp_path / "c", frame=(640, 480))
    library = compiled(tmp_path / "c", tmp_path / "model.so")
    assert list((ctypes.c_float * 3).in_dll(library, "edge_cns_conformal_thresholds")) == [0.25, 0.5, 1.0]
    assert list((ctypes.c_float * 3).in_dll(library, "edge_cns_exam_thresholds")) == [0.5, 0.75, 0.0]
    header = (tmp_path / "c" / "edge_cns_model.h").read_text()
    assert "#define EDGE_CNS_TEMPERATURE 1.25f" in header
    assert "#define EDGE_CNS_CALIBRATED 1" in header
    assert "#define EDGE_CNS_NOVELTY_THRESHOLD 0.125f" in header


def test_literals():
    assert string('a"\\?\u00e9') == '"a\\042\\134\\077\\303\\251"'
    assert comment("a */ b\n/* c") == "a * / b / * c"
    assert [real(value) for value in (1.0, 0.1, 1e-9, 100.0, 1 / 255)] == [
        *("1.0f", "0.1f", "1e-09f", "100.0f", "0.00392156863f")
    ]
    assert array(["1", "2"]) == "{\n    1, 2,\n}"
    assert max(map(len, array("255" for _ in range(1000)).splitlines())) <= 120


# tflite-micro, in a process of its own


@needs_micro
def test_the_reference_kernels_agree_with_the_golden_vectors(bundle):
    golden = read_arrays(bundle.files["golden.npz"], "golden.npz")
    facts = read_model(bundle.files["model.tflite"])
    run = run_micro(bundle.files["model.tflite"], golden["image"], len(facts.outputs))
    assert run.arena % 16 == 0
    assert 64 * 64 < run.arena < 2**20
    tolerance = bundle.quantisation["golden"]["tolerance_steps"]
    for tensor in facts.outputs:
        difference = np.abs(run.outputs[tensor.index].astype(int) - golden[tensor.name].astype(int))
        assert difference.max() <= tolerance[tensor.name]


@needs_micro
def test_a_model_that_it_cannot_read_is_one_line(bundle):
    model = bytearray(bundle.files["model.tflite"])
    model[8:200] = bytes(192)
    with pytest.raises(UnsupportedError, match="tflite-micro") as refused:
        run_micro(bytes(model), np.zeros((1, 64, 64), np.uint8), 3)
    assert "\n" not in str(refused.value)


@needs_micro
def test_a_smaller_arena_is_an_error_and_never_this_process(bundle, tmp_path):
    (tmp_path / "model.tflite").write_bytes(bundle.files["model.tflite"])
    np.save(tmp_path / "images.npy", np.zeros((1, 64, 64), np.uint8))
    least = run_micro(bundle.files["model.tflite"], np.zeros((1, 64, 64), np.uint8), 3).arena
    for arena in (0, 16, 1024, least - 16):
        with pytest.raises(UnsupportedError, match=f"an arena of {arena} bytes"):
            micro_arena._try(tmp_path, arena, 3)


def test_one_that_hangs_is_ended(bundle, monkeypatch):
    if importlib.util.find_spec("tflite_micro") is None:
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: True)
    monkeypatch.setattr(micro_arena, "_TIMEOUT_SECONDS", 0.01)
    with pytest.raises(OperationError, match=r"longer than 0\.01 s"):
        run_micro(bundle.files["model.tflite"], np.zeros((1, 64, 64), np.uint8), 3)


def test_without_the_extra_it_says_which(bundle, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"edge-cns\[micro\]"):
        run_micro(bundle.files["model.tflite"], np.zeros((1, 64, 64), np.uint8), 3)


# What is refused, and what is warned of


def test_outputs_that_differ_are_refused(bundle, tmp_path, monkeypatch, instant):
    outputs = [np.clip(values.astype(int) + 9, -128, 127).astype(np.int8) for values in instant.outputs]
    monkeypatch.setattr(c_array, "run_micro", lambda *_: dataclasses.replace(instant, outputs=tuple(outputs)))
    with pytest.raises(GoldenMismatchError, match="steps"):
        to_c_array(bundle, tmp_path / "c", frame=(640, 480))
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("model", [b"", bytes(1000), b"\x1c\0\0\0TFL3" + b"\xff" * 200])
def test_a_model_that_is_none_is_one_line(bundle, tmp_path, model):
    other = dataclasses.replace(bundle, files={**bundle.files, "model.tflite": model})
    with pytest.raises(EdgeCnsError, match=r"model\.tflite") as refused:
        to_c_array(other, tmp_path / "c", frame=(640, 480))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("image", [None, np.zeros((0, 64, 64), np.uint8), np.zeros((1, 32, 64), np.uint8)], ids=str)
def test_golden_vectors_of_another_contract_are_refused(bundle, tmp_path, image):
    golden = read_arrays(bundle.files["golden.npz"], "golden.npz") | {"image": image}
    content = write_arrays({name: array for name, array in golden.items() if array is not None})
    other = dataclasses.replace(bundle, files={**bundle.files, "golden.npz": content})
    with pytest.raises(BadInputError, match=r"golden\.npz does not fit"):
        to_c_array(other, tmp_path / "c", frame=(640, 480))


def test_preprocessing_that_differs_is_refused(bundle, tmp_path, monkeypatch, instant):
    monkeypatch.setattr(c_array, "render", lambda plan, frame: np.zeros((64, 64), np.uint8))
    with pytest.raises(GoldenMismatchError, match="grey levels"):
        to_c_array(bundle, tmp_path / "c", frame=(640, 480))
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize(
    ("kind", "fixed", "region", "text"),
    [
        ("whole", None, Region(0, 0, 320, 240), "the contract says whole"),
        ("fixed", Region(1, 2, 300, 200), Region(0, 0, 320, 240), "the contract says fixed"),
        ("fixed", Region(600, 2, 300, 200), None, "does not fit a frame of 640x480"),
    ],
)
def test_the_contracts_region_is_obeyed(bundle, tmp_path, instant, kind, fixed, region, text):
    spec = dataclasses.replace(bundle.contract.input, region=kind, fixed_region=fixed)
    other = dataclasses.replace(bundle, contract=dataclasses.replace(bundle.contract, input=spec))
    with pytest.raises(BadInputError, match=text):
        to_c_array(other, tmp_path / "c", frame=(640, 480), region=region)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--frame", "640"], "'640' is not WIDTHxHEIGHT"),
        (["--frame", "640x-3"], "is not WIDTHxHEIGHT"),
        (["--frame", "63x480"], "both sides must be 64 to 8192"),
        (["--frame", "99999x480"], "both sides must be 64 to 8192"),
        (["--frame", "640x480", "--region", "1,2,3"], "'1,2,3' is not X,Y,W,H"),
        (["--frame", "640x480", "--region", "1,2,0,3"], "give x, y >= 0 and width, height >= 1"),
        (["--frame", "640x480", "--region", "600,0,100,100"], "does not fit a frame of 640x480"),
        (["--frame", "100x100"], "give a --region of, for instance, "),
        (["--frame", "640x480", "--part", "z80"], "there is no part 'z80'; --part knows mps3-an547"),
    ],
)
def test_bad_options_are_one_line(cli, tiny_bundle, tmp_path, arguments, text):
    outcome = cli("convert-to", "c-array", tiny_bundle, "--out", tmp_path / "c", *arguments)
    assert outcome.status == 2
    assert text in outcome.err
    assert outcome.err.count("\n") == 1
    assert not (tmp_path / "c").exists()


def test_the_command(cli, tiny_bundle, tmp_path, instant):
    out = tmp_path / "c"
    outcome = cli("convert-to", "c-array", tiny_bundle, "--frame", "640x480", "--out", out, "--part", "stm32u575zi")
    assert (outcome.status, outcome.err) == (0, "")
    assert f"{out}: written" in outcome.out
    assert "equal to Python's" in outcome.out
    assert "note: the contract finds the region in each frame" in outcome.out
    again = cli("convert-to", "c-array", tiny_bundle, "--frame", "640x480", "--out", out)
    assert again.status == 2
    assert "exists already; remove it or choose another --out" in again.err


def test_without_a_size_frames_are_those_of_the_network(cli, tiny_bundle, tmp_path, instant):
    outcome = cli("convert-to", "c-array", tiny_bundle, "--out", tmp_path / "c")
    assert (outcome.status, outcome.err) == (0, "")
    assert "tables of preprocessing 0" in outcome.out
    assert "give the camera's with --frame WIDTHxHEIGHT" in outcome.out


def test_help_of_the_group_and_of_the_target(cli):
    assert "c-array" in cli("convert-to", "--help").out
    text = cli("convert-to", "c-array", "--help").out
    assert "  edge-cns convert-to c-array brain.cns --frame 640x480 --out brain_c" in text
    unknown = cli("convert-to", "fpga", "a.cns", "--out", "b")
    assert unknown.status == 2
    assert "fpga" in unknown.err


def test_what_does_not_fit_a_part_is_warned_of():
    part = PARTS["stm32h743zi"]
    assert shortages("stm32h743zi", flash=part.flash, ram=part.ram) == []
    flash, ram = shortages("stm32h743zi", flash=part.flash + 1, ram=part.ram + 1)
    assert flash == "warning: stm32h743zi has 2097152 bytes of flash, and this alone needs 2097153: it does not fit"
    assert "524288 bytes of memory" in ram


def test_a_warning_reaches_the_person(cli, tiny_bundle, tmp_path, instant, monkeypatch):
    monkeypatch.setattr(c_array, "run_micro", lambda *_: dataclasses.replace(instant, arena=2**20))
    arguments = ("--frame", "640x480", "--out", tmp_path / "c", "--part", "stm32u575zi")
    outcome = cli("convert-to", "c-array", tiny_bundle, *arguments)
    assert outcome.status == 0
    assert outcome.err.startswith("warning: stm32u575zi has 786432 bytes of memory")
