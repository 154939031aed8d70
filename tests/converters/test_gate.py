"""The gate fails what is broken, names the layer, and lets pass what is not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from converters.gate import run_gate
from edge_cns.contract import OUTPUTS
from edge_cns.data.manifest import Row, read_manifest
from edge_cns.runtime.backends.litert import LiteRT
from edge_cns.training.dataset import rows_of
from tests.converters.faults import widen_range
from tests.trained import Trained, write_set


def judge(trained: Trained, int8_model: bytes, margin: float = 0.02, rows: Sequence[Row] = ()):
    rows = rows or rows_of(read_manifest(trained.labels), trained.run.sets, "gate")
    return run_gate(trained.bundle.files["float.tflite"], int8_model, trained.run.contract, rows, margin=margin)


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> tuple[Row, ...]:
    """72 patients drawn anew: enough to show a loss of a tenth, whichever processor the network was trained on."""
    return read_manifest(write_set(tmp_path_factory.mktemp("strangers") / "set", seed=1)).rows


@pytest.mark.parametrize(
    "layer", ["Conv1", "expanded_conv_depthwise", "block_1_project", "block_2_project", "block_2_add"]
)
def test_a_layer_with_50_times_its_range_fails_and_is_named(
    trained: Trained, strangers: tuple[Row, ...], layer: str
) -> None:
    sound = judge(trained, trained.bundle.files["model.tflite"], rows=strangers)
    broken = judge(trained, widen_range(trained.bundle.files["model.tflite"], layer, 50), rows=strangers)

    assert sound.outcome == "undecided"  # 24 patients a class are too few for 2 points, but nothing is lost
    assert broken.outcome == "failed"
    assert broken.layers[0].layer == layer
    own = {row.layer: row.own_db for row in sound.layers}
    # Between the sound range and one with a 50th of the levels, which is 34 dB, unless nothing is left.
    assert own[layer] - broken.layers[0].own_db > 25
    assert broken.int8_accuracy < broken.float_accuracy - 0.05  # more than twice the margin


@pytest.mark.parametrize(
    "layer", ["block_3_expand", "block_3_depthwise", "block_4_project", "block_4_add", "Conv_1", "cam"]
)
def test_a_late_layer_is_named_although_all_noise_has_gathered_there(trained: Trained, layer: str) -> None:
    broken = judge(trained, widen_range(trained.bundle.files["model.tflite"], layer, 50))
    assert broken.layers[0].layer == layer


def test_weights_out_of_range_are_named_too(trained: Trained) -> None:
    from ai_edge_litert import schema_py_generated as schema

    root = schema.ModelT.InitFromPackedBuf(trained.bundle.files["model.tflite"], 0)
    graph = root.subgraphs[0]
    operator = next(op for op in graph.operators if b"block_2_expand" in graph.tensors[op.outputs[0]].name)
    buffer = root.buffers[graph.tensors[operator.inputs[1]].buffer]
    kernel = np.frombuffer(bytes(buffer.data), np.int8)
    buffer.data = (kernel // 64 * 64).astype(np.int8).view(np.uint8)  # two bits are left
    builder = schema.flatbuffers.Builder(1 << 16)
    builder.Finish(root.Pack(builder), b"TFL3")

    broken = judge(trained, bytes(builder.Output()))
    assert broken.layers[0].layer == "block_2_expand"


def test_widening_by_1_changes_nothing(trained: Trained) -> None:
    model = trained.bundle.files["model.tflite"]
    picture = np.random.default_rng(0).integers(-128, 128, (1, 64, 64, 1), dtype=np.int8)
    outputs = []
    for content in (model, widen_range(model, "block_2_add", 1)):
        engine = LiteRT(content)
        engine.input()[:] = picture
        engine.invoke()
        outputs.append([engine.output(name) for name in OUTPUTS])
    for before, after in zip(*outputs, strict=True):
        np.testing.assert_array_equal(before, after)


def test_passes_within_a_margin_that_its_patients_can_show(trained: Trained) -> None:
    report = judge(trained, trained.bundle.files["model.tflite"], margin=0.4)
    assert report.outcome == "passed"
    assert report.comparison.n_patients == 27
    assert report.comparison.agreement >= 0.95
    assert {row.name for row in report.comparison.classes} == set(trained.run.contract.class_names)


def test_the_report_covers_every_operator_worst_first(trained: Trained) -> None:
    report = judge(trained, trained.bundle.files["model.tflite"])
    engine = LiteRT(trained.bundle.files["model.tflite"], preserve_all_tensors=True)
    assert len(report.layers) == len(engine.interpreter._get_ops_details())
    assert [row.own_db for row in report.layers] == sorted(row.own_db for row in report.layers)
    assert {"Conv1", "block_2_add", "cam", "logits", "embedding"} <= {row.layer for row in report.layers}
    rows = report.to_json()["layers"]
    assert set(rows[0]) == {"layer", "operator", "sqnr_db", "own_db"}
    assert all(row["sqnr_db"] <= 60 and row["own_db"] > 10 for row in rows)


def test_tolerance_covers_both_kinds_of_kernels(trained: Trained) -> None:
    report = judge(trained, trained.bundle.files["model.tflite"])
    assert set(report.tolerance_steps) == set(OUTPUTS)
    assert min(report.tolerance_steps.values()) >= 3
    frames = np.random.default_rng(1).integers(-128, 128, (4, 1, 64, 64, 1), dtype=np.int8)
    engines = [LiteRT(trained.bundle.files["model.tflite"], xnnpack=on) for on in (True, False)]
    for frame in frames:
        for engine in engines:
            engine.input()[:] = frame
            engine.invoke()
        one, other = (engine.output("logits").astype(int) for engine in engines)
        assert np.abs(one - other).max() <= report.tolerance_steps["logits"]
