from __future__ import annotations

import numpy as np
import pytest

from converters.layers import _layer_of, layer_noise
from edge_cns.bundle import read_arrays
from tests.trained import Trained


@pytest.mark.parametrize(
    ("tensor", "layer"),
    [
        ("net/Conv1_relu/Relu6;net/bn_Conv1/FusedBatchNormV3;net/Conv1/Conv2D1", "Conv1"),
        ("m/quant_pw_relu/Relu6;m/quant_pw/Conv2D;m/quant_pw_bn/ReadVariableOp_11", "pw"),
        ("edge_cns/block_2_add/add", "block_2_add"),
        ("logits", "logits"),
    ],
)
def test_layer_of_a_tensor(tensor: str, layer: str) -> None:
    assert _layer_of(tensor) == layer


def test_a_model_has_no_noise_of_its_own_against_its_twin_in_float(trained: Trained) -> None:
    """What an operator adds by itself does not depend on what came before it."""
    images = read_arrays(trained.bundle.files["calibration.npz"], "calibration.npz")["images"][:4]
    float_model, int8_model = (trained.bundle.files[name] for name in ("float.tflite", "model.tflite"))
    rows = {row.layer: row for row in layer_noise(float_model, int8_model, images)}
    assert rows["Conv1"].own_db == pytest.approx(rows["Conv1"].sqnr_db, abs=0.01)  # nothing comes before it
    late = rows["Conv_1"]
    assert late.own_db > late.sqnr_db + 10
    gathered = [rows[name].sqnr_db for name in ("Conv1", "block_1_project", "block_4_project")]
    assert gathered == sorted(gathered, reverse=True)
    assert np.isfinite([row.own_db for row in rows.values()]).all()
