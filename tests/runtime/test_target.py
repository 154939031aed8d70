from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from edge_cns.bundle import read_bundle
from edge_cns.errors import BadInputError, EdgeCnsError, InitialisationError, TamperedError, UnsupportedError
from edge_cns.runtime.backends.packed import unpack
from edge_cns.runtime.engine.supervisor import Supervisor
from edge_cns.runtime.target import RECORD, choose, target_path
from edge_cns.signing.policy import SignatureState


@pytest.fixture
def bundle(bundle_copy):
    return read_bundle(bundle_copy)


@pytest.fixture
def folder(bundle) -> Path:
    """A converted model that has all but a model."""
    path = target_path(bundle.path, "onnxruntime")
    path.mkdir()
    files = {"golden.npz": b"other golden vectors", "model.onnx": b"a model", "tensors.json": b"{}"}
    for name, content in files.items():
        (path / name).write_bytes(content)
    record = {
        "format": 1,
        "backend": "onnxruntime",
        "model_sha256": hashlib.sha256(bundle.files["model.tflite"]).hexdigest(),
        "golden": {"tolerance_steps": {"logits": 1}},
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    }
    (path / RECORD).write_text(json.dumps(record))
    return path


def change(folder: Path, **values: object) -> None:
    record = json.loads((folder / RECORD).read_text())
    (folder / RECORD).write_text(json.dumps(record | values))


def test_engines_of_the_bundles_own_model_need_nothing_else(bundle):
    for name in ("litert", "fake", "tflite_runtime", "elsewhere"):
        chosen = choose(bundle, name)
        assert (chosen.backend, chosen.model, chosen.bundle) == (name, bundle.files["model.tflite"], bundle)


def test_a_converted_model_comes_with_golden_vectors_of_its_own(bundle, folder):
    chosen = choose(bundle, "onnxruntime")
    assert unpack(chosen.model) == {"model.onnx": b"a model", "tensors.json": b"{}"}
    assert chosen.bundle.files["golden.npz"] == b"other golden vectors"
    assert chosen.bundle.quantisation["golden"] == {"tolerance_steps": {"logits": 1}}
    assert chosen.bundle.files["model.tflite"] == bundle.files["model.tflite"], "it still says which model it is"
    assert chosen.bundle.contract is bundle.contract


def test_a_link_leads_to_what_lies_beside_the_bundle_itself(bundle, folder, tmp_path):
    link = tmp_path / "elsewhere" / "current.cns"
    link.parent.mkdir()
    link.symlink_to(bundle.path)
    assert choose(read_bundle(link), "onnxruntime").backend == "onnxruntime"


def test_none_there_says_how_to_make_it(bundle):
    mend = r"run: edge-cns convert-to openvino copy\.cns --out copy\.openvino$"
    with pytest.raises(BadInputError, match=mend):
        choose(bundle, "openvino")
    with pytest.raises(BadInputError, match=mend):
        Supervisor(bundle, "openvino", allow_fallback=True)


def test_none_there_is_bad_input_for_a_command(cli, tiny_bundle, frame_file):
    for command in (["predict", tiny_bundle, frame_file], ["bench", tiny_bundle, "--frames", 10]):
        status, out, err = cli(*command, "--backend", "onnxruntime")
        assert (status, out) == (2, "")
        assert err.count("\n") == 1
        assert "run: edge-cns convert-to onnx tiny.cns --out tiny.onnxruntime" in err


def test_an_engine_that_refuses_its_model_is_replaced_where_that_is_allowed(bundle, folder):
    with pytest.raises(InitialisationError, match="or run on the CPU with --allow-fallback"):
        Supervisor(bundle, "onnxruntime").start()
    supervisor = Supervisor(bundle, "onnxruntime", allow_fallback=True)
    try:
        tested = supervisor.start()
    finally:
        supervisor.close()
    assert (tested.backend, tested.exact) == ("litert", True)
    assert tested.fallback.startswith("on the CPU: onnxruntime cannot be used (")


def test_of_another_bundle(bundle, folder):
    change(folder, model_sha256="0" * 64)
    with pytest.raises(BadInputError, match=r"converted from another model than .*; remove it and run: edge-cns"):
        choose(bundle, "onnxruntime")


def test_for_another_engine(bundle, folder):
    folder.rename(target_path(bundle.path, "openvino"))
    with pytest.raises(BadInputError, match="is for onnxruntime, not for openvino"):
        choose(bundle, "openvino")


def test_a_changed_file(bundle, folder):
    (folder / "model.onnx").write_bytes(b"b model")
    with pytest.raises(TamperedError, match=r"model\.onnx does not match its digest in target\.json"):
        choose(bundle, "onnxruntime")


def test_a_missing_file_or_a_link(bundle, folder, tmp_path):
    (folder / "model.onnx").rename(tmp_path / "moved.onnx")
    with pytest.raises(TamperedError, match="not a regular file"):
        choose(bundle, "onnxruntime")
    (folder / "model.onnx").symlink_to(tmp_path / "moved.onnx")
    with pytest.raises(TamperedError, match="not a regular file"):
        choose(bundle, "onnxruntime")


def test_a_record_that_leaves_the_folder(bundle, folder):
    record = json.loads((folder / RECORD).read_text())
    change(folder, files=record["files"] | {"../copy.cns/contract.json": "0"})
    with pytest.raises(TamperedError, match=r"lists '\.\./copy\.cns/contract\.json'"):
        choose(bundle, "onnxruntime")


def test_a_format_of_the_future(bundle, folder):
    change(folder, format=2)
    with pytest.raises(UnsupportedError, match="has format 2, this program reads 1"):
        choose(bundle, "onnxruntime")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"files": {}}', "{" * 99, '"x"', "null"])
def test_a_record_that_is_none_is_one_line(bundle, folder, content):
    (folder / RECORD).write_text(content)
    with pytest.raises(EdgeCnsError) as caught:
        choose(bundle, "onnxruntime")
    assert "\n" not in str(caught.value)


def test_a_verified_signature_does_not_cover_it(bundle, folder):
    signed = replace(bundle, signature=SignatureState("verified by a maker"))
    with pytest.raises(UnsupportedError, match="its signature does not cover what was converted from it"):
        choose(signed, "onnxruntime")
    assert choose(signed, "litert").model
