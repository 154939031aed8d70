"""Compiling for the Edge TPU, with a compiler that is a script: what is written, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ai_edge_litert import schema_py_generated as schema

from edge_cns.bundle import read_bundle
from edge_cns.runtime.backends.edgetpu import MODEL, OPERATOR, PLACES


def as_compiled(model: bytes, *, keep: int = 0) -> bytes:
    """Put all operators but the last ``keep`` into one, as the compiler does, and drop the signature."""
    root = schema.ModelT.InitFromPackedBuf(model, 0)
    graph = root.subgraphs[0]
    code, moved = schema.OperatorCodeT(), schema.OperatorT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
    code.customCode = OPERATOR
    taken = graph.operators[: len(graph.operators) - keep]
    rest = graph.operators[len(graph.operators) - keep :]
    needed = {int(i) for o in rest for i in o.inputs} | {int(i) for i in graph.outputs}
    moved.inputs = list(graph.inputs)
    moved.outputs = [int(i) for o in taken for i in o.outputs if int(i) in needed]
    moved.opcodeIndex = len(root.operatorCodes)
    root.operatorCodes.append(code)
    graph.operators = [moved, *rest]
    root.signatureDefs = None
    builder = schema.flatbuffers.Builder(len(model))
    builder.Finish(root.Pack(builder), b"TFL3")
    return bytes(builder.Output())


@pytest.fixture
def compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """An ``edgetpu_compiler`` on PATH that writes what it is told to, and says so as Google's does."""
    folder = tmp_path / "bin"
    folder.mkdir()
    script = folder / "edgetpu_compiler"
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def make(model: bytes, *, status: int = 0, version: str = "Edge TPU Compiler version 16.0.384591198") -> None:
        (folder / "made.tflite").write_bytes(model)
        copy = f'test "$2" = -o && cp {folder}/made.tflite "$3/model_edgetpu.tflite"'
        script.write_text(f"#!/bin/sh\necho '{version}'\n{copy}\necho 'Compilation ended' >&2\nexit {status}\n")
        script.chmod(0o755)

    return make


@pytest.fixture(scope="module")
def model(tiny_bundle) -> bytes:
    return read_bundle(tiny_bundle).files["model.tflite"]


def test_the_folder_tells_what_was_made(cli, tiny_bundle, tmp_path, model, compiler):
    compiler(as_compiled(model))
    out = tmp_path / "tiny.edgetpu"
    outcome = cli("convert-to", "edgetpu", tiny_bundle, "--out", out)
    assert (outcome.status, outcome.err) == (0, "")
    assert "6 of 6 run on the Edge TPU, 0 on the processor" in outcome.out
    assert "edgetpu_compiler 16.0.384591198" in outcome.out
    assert (out / MODEL).read_bytes() == as_compiled(model)
    told = json.loads((out / "target.json").read_text())
    assert told["operators"] == {"mapped": 6, "unmapped": 0}
    assert (told["predicted"]["mapped"], len(told["predicted"]["rows"])) == (6, 6)
    assert told["versions"] == {"edgetpu_compiler": "16.0.384591198"}
    assert told["golden"] == read_bundle(tiny_bundle).quantisation["golden"]
    assert set(told["files"]) == {MODEL, PLACES, "golden.npz"}
    assert sorted(json.loads((out / PLACES).read_text()).values()) == [0, 1, 2]


def test_a_prediction_that_failed_is_warned_of(cli, tiny_bundle, tmp_path, model, compiler):
    compiler(as_compiled(model, keep=2))
    outcome = cli("convert-to", "edgetpu", tiny_bundle, "--out", tmp_path / "made")
    assert outcome.status == 0
    assert "4 of 6 run on the Edge TPU, 2 on the processor" in outcome.out
    assert outcome.err == "warning: 6 operators were predicted to run on the Edge TPU; --check tells which\n"


def test_without_the_compiler_it_is_told_where_to_get_it(cli, tiny_bundle, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    outcome = cli("convert-to", "edgetpu", tiny_bundle, "--out", tmp_path / "made")
    assert (outcome.status, outcome.err.count("\n")) == (2, 1)
    assert "edgetpu_compiler is not on PATH; install Google's" in outcome.err
    assert "https://coral.ai/docs/edgetpu/compiler/" in outcome.err


def test_a_model_of_which_nothing_was_mapped_is_refused(cli, tiny_bundle, tmp_path, model, compiler):
    compiler(model)
    outcome = cli("convert-to", "edgetpu", tiny_bundle, "--out", tmp_path / "made")
    assert (outcome.status, outcome.err.count("\n")) == (2, 1)
    assert "edgetpu_compiler mapped no operator to the Edge TPU" in outcome.err
    assert not (tmp_path / "made").exists()


def test_a_model_of_another_form_is_refused(cli, tiny_bundle, tmp_path, compiler):
    another = tiny_bundle.with_name("another.tflite").read_bytes()
    compiler(as_compiled(another))
    outcome = cli("convert-to", "edgetpu", tiny_bundle, "--out", tmp_path / "made")
    assert (outcome.status, outcome.err.count("\n")) == (2, 1)
    assert "is not of the bundle's form" in outcome.err


@pytest.mark.parametrize(
    ("content", "status", "text"),
    [
        (b"", 1, "edgetpu_compiler failed with status 1 (Compilation ended); see --check"),
        (b"junk", 0, "the compiled model is not a TFLite model"),
    ],
)
def test_a_compiler_that_fails_is_one_line(cli, tiny_bundle, tmp_path, compiler, content, status, text):
    compiler(content, status=status)
    outcome = cli("convert-to", "edgetpu", tiny_bundle, "--out", tmp_path / "made")
    assert (outcome.status, outcome.err.count("\n")) == (2, 1)
    assert text in outcome.err
    assert not (tmp_path / "made").exists()
