from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the train extra")
from edge_cns.errors import BadInputError
from edge_cns.preprocess import as_float
from edge_cns.training.keras import keras
from edge_cns.training.model import embeddings, make_classifier, predict_logits, read_classifier, trunk_of


def small():
    keras.utils.set_random_seed(0)
    image = keras.Input((32, 32, 1), name="image")
    return make_classifier(keras.Model(image, keras.layers.Conv2D(6, 3, 2, activation="relu")(image)), 3)


PICTURES = np.random.default_rng(0).integers(0, 256, (5, 32, 32), dtype=np.uint8)


def test_the_maps_average_to_the_logits() -> None:
    model = small()
    model.get_layer("cam").bias.assign([1.0, -2.0, 0.5])
    outputs = {name: value.numpy() for name, value in model(as_float(PICTURES)).items()}
    np.testing.assert_allclose(outputs["cam"].mean(axis=(1, 2)), outputs["logits"], atol=1e-5)
    kernel, bias = model.get_layer("cam").get_weights()
    np.testing.assert_allclose(outputs["embedding"] @ kernel[0, 0] + bias, outputs["logits"], atol=1e-5)
    np.testing.assert_allclose(
        trunk_of(model)(as_float(PICTURES)).numpy().mean(axis=(1, 2)), outputs["embedding"], atol=1e-6
    )


@pytest.mark.parametrize("batch_size", [1, 2, 5, 32])
def test_prediction_in_batches(batch_size: int) -> None:
    model = small()
    outputs = model(as_float(PICTURES))
    np.testing.assert_allclose(predict_logits(model, PICTURES, batch_size=batch_size), outputs["logits"], atol=1e-5)
    np.testing.assert_allclose(embeddings(model, PICTURES, batch_size=batch_size), outputs["embedding"], atol=1e-5)


def test_a_model_of_another_kind_is_refused(tmp_path: Path) -> None:
    image = keras.Input((32, 32, 1))
    keras.Model(image, keras.layers.Flatten()(image)).save(tmp_path / "x.keras")
    with pytest.raises(BadInputError, match="lacks the outputs logits, cam, embedding"):
        read_classifier(tmp_path / "x.keras")
    with pytest.raises(BadInputError, match=r"gone\.keras cannot be loaded"):
        read_classifier(tmp_path / "gone.keras")
