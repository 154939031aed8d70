"""Quantisation-aware training on the small training of the session."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow_model_optimization", reason="needs the train extra")
from converters.gate import GateReport, run_gate
from converters.tflite import to_int8
from edge_cns.contract import INPUT_SCALE, INPUT_ZERO_POINT, OUTPUTS
from edge_cns.data.manifest import read_manifest
from edge_cns.errors import UnsupportedError
from edge_cns.preprocess import as_float
from edge_cns.runtime.backends.litert import LiteRT
from edge_cns.training.dataset import LabelledImages, load_images, rows_of
from edge_cns.training.keras import keras
from edge_cns.training.model import make_classifier, read_classifier
from edge_cns.training.qat import train_quantised
from edge_cns.training.run import read_run
from tests.trained import SETTINGS, Trained

NORMS = ("bn_Conv1", "expanded_conv_project_BN", "block_2_depthwise_BN", "Conv_1_bn")


class Quantised:
    """The network before and after, and what the converter made of it."""

    def __init__(self, run: Path) -> None:
        found = read_run(run)
        rows = rows_of(read_manifest(found.labels), found.sets, "fit")
        fit = load_images(rows, found.contract, "")
        self.model = read_classifier(found.model)
        self.before = [values.copy() for values in self.model.get_weights()]
        self.steps: list[tuple[str, int, int]] = []
        self.network = train_quantised(
            self.model, fit, SETTINGS.augmentation, progress=lambda *step: self.steps.append(step[:3])
        )
        self.int8 = to_int8(self.network, fit.images)


@cache
def _quantised(run: Path) -> Quantised:
    return Quantised(run)


@pytest.fixture
def quantised(trained: Trained) -> Quantised:
    return _quantised(trained.run.path)


@pytest.fixture
def report(trained: Trained, quantised: Quantised) -> GateReport:
    rows = rows_of(read_manifest(trained.labels), trained.run.sets, "gate")
    return run_gate(trained.bundle.files["float.tflite"], quantised.int8, trained.run.contract, rows, margin=0.02)


def test_the_trained_model_is_untouched(quantised: Quantised) -> None:
    for before, after in zip(quantised.before, quantised.model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


def test_batch_normalisation_is_frozen_and_kernels_are_not(quantised: Quantised) -> None:
    for name in NORMS:
        learned = quantised.network.get_layer(f"quant_{name}").layer.get_weights()
        for old, new in zip(quantised.model.get_layer(name).get_weights(), learned, strict=True):
            np.testing.assert_array_equal(old, new)
    kernel = next(v for v in quantised.network.get_layer("quant_block_2_expand").variables if "/kernel:" in v.name)
    assert np.abs(kernel.numpy() - quantised.model.get_layer("block_2_expand").kernel.numpy()).max() > 0


def test_the_input_is_pinned(quantised: Quantised) -> None:
    (layer,) = [
        layer for layer in quantised.network.layers if layer.name.startswith("quantize_layer")
    ]  # tfmot numbers them
    ranges = {variable.name.split(":")[0].rsplit("_", 1)[-1]: variable.numpy() for variable in layer.variables}
    assert (ranges["min"], ranges["max"]) == (0.0, 1.0)
    engine = LiteRT(quantised.int8)
    assert engine.quantisation("image") == (pytest.approx(INPUT_SCALE, abs=1e-9), INPUT_ZERO_POINT)
    assert engine.dtype("image") == np.int8
    grey = np.arange(64 * 64).astype(np.uint8).reshape(1, 64, 64)
    simulated = layer(as_float(grey), training=False).numpy()
    np.testing.assert_allclose(simulated, as_float(grey), atol=1e-6)  # every grey level is a level of its own


def test_ranges_of_activations_are_those_of_the_network(trained: Trained, quantised: Quantised) -> None:
    """They start at [-6, 6] in the toolkit and would hardly leave it in so few steps."""
    by_layer = {
        engine_name: _scales(LiteRT(model, preserve_all_tensors=True))
        for engine_name, model in (("ptq", trained.bundle.files["model.tflite"]), ("qat", quantised.int8))
    }
    for layer in ("Conv1", "block_1_project", "block_2_add", "block_4_project", "cam", "logits", "embedding"):
        ratio = by_layer["qat"][layer] / by_layer["ptq"][layer]
        assert 0.5 < ratio < 2, (layer, ratio)


def test_the_gate_does_not_fail_it_and_pairs_its_layers(trained: Trained, report: GateReport) -> None:
    assert report.outcome != "failed"
    assert report.int8_accuracy > 0.9
    assert len(report.layers) == len(trained.bundle.quantisation["layers"])
    assert {row.layer for row in report.layers} == {row["layer"] for row in trained.bundle.quantisation["layers"]}
    assert report.layers[0].own_db > 15


def test_small_sets_still_get_enough_steps(quantised: Quantised) -> None:
    assert quantised.steps[-1] == ("quantisation-aware training", 60, 60)


def test_a_network_that_the_toolkit_cannot_simulate_is_one_typed_error() -> None:
    image = keras.Input((32, 32, 1), name="image")
    odd = keras.layers.Rescaling(2.0)(keras.layers.Conv2D(4, 3, 2)(image))
    model = make_classifier(keras.Model(image, odd), 2)
    fit = LabelledImages(np.zeros((4, 32, 32), np.uint8), np.array([0, 1, 0, 1]))
    with pytest.raises(UnsupportedError, match=r"cannot be trained quantised .*use --quantize ptq") as caught:
        train_quantised(model, fit, SETTINGS.augmentation)
    assert "\n" not in str(caught.value)


def test_outputs_keep_their_names_and_shapes(quantised: Quantised) -> None:
    assert list(quantised.network.output) == list(OUTPUTS)
    for name in OUTPUTS:
        assert quantised.network.output[name].shape == quantised.model.output[name].shape


def _scales(engine: LiteRT) -> dict[str, float]:
    from converters.layers import _operators

    details = {t["index"]: t["quantization"][0] for t in engine.interpreter.get_tensor_details()}
    return {layer: details[operator["outputs"][0]] for (layer, *_), operator in _operators(engine).items()}
