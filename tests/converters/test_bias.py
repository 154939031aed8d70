"""Bias correction takes back the mean shift of the logits, and touches nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from converters.bias import correct_bias, mean_shift
from edge_cns.bundle import read_arrays
from edge_cns.errors import UnsupportedError
from tests.converters.faults import widen_range
from tests.trained import Trained


@pytest.fixture(scope="module")
def float_model(trained: Trained) -> bytes:
    return trained.bundle.files["float.tflite"]


@pytest.fixture(scope="module")
def coarse(trained: Trained) -> bytes:
    """An int8 model with one coarse layer: its logits are shifted as well as noisy."""
    return widen_range(trained.bundle.files["model.tflite"], "block_1_project", 40)


@pytest.fixture(scope="module")
def images(trained: Trained) -> np.ndarray:
    return read_arrays(trained.bundle.files["calibration.npz"], "calibration.npz")["images"]


def test_the_mean_shift_is_taken_back(float_model: bytes, coarse: bytes, images: np.ndarray) -> None:
    before = mean_shift(float_model, coarse, images)
    after = mean_shift(float_model, correct_bias(float_model, coarse, images), images)
    assert np.abs(before).max() > 0.2, "nothing to take back"
    assert np.abs(after).max() < 0.25 * np.abs(before).max()


def test_only_one_bias_changes(float_model: bytes, coarse: bytes, images: np.ndarray) -> None:
    was = schema.ModelT.InitFromPackedBuf(coarse, 0)
    now = schema.ModelT.InitFromPackedBuf(correct_bias(float_model, coarse, images), 0)
    names = {t.buffer: t.name for t in was.subgraphs[0].tensors}
    changed = [
        i for i, (a, b) in enumerate(zip(was.buffers, now.buffers, strict=True)) if not np.array_equal(a.data, b.data)
    ]
    assert len(changed) == 1
    assert b"cam" in names[changed[0]]
    for a, b in zip(was.subgraphs[0].tensors, now.subgraphs[0].tensors, strict=True):
        assert a.name == b.name
        assert np.array_equal(a.quantization.scale, b.quantization.scale)


def test_a_corrected_model_needs_no_correction(trained: Trained, float_model: bytes, images: np.ndarray) -> None:
    """The bundle's model was corrected on these very frames, to within the steps of its logits."""
    scale = next(
        t.quantization.scale[0]
        for t in schema.ModelT.InitFromPackedBuf(trained.bundle.files["model.tflite"], 0).subgraphs[0].tensors
        if t.name.startswith(b"StatefulPartitionedCall") and len(t.shape) == 2 and t.shape[1] == 3
    )
    shift = mean_shift(float_model, trained.bundle.files["model.tflite"], images)
    assert np.abs(shift).max() <= scale


def test_a_head_without_such_a_bias_is_refused(float_model: bytes, images: np.ndarray, monkeypatch) -> None:
    monkeypatch.setattr("converters.bias.mean_shift", lambda *_: np.zeros(3))
    with pytest.raises(UnsupportedError, match="no int32 bias"):
        correct_bias(float_model, float_model, images)
