from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the train extra")

from edge_cns.decision.verdict import evidence
from edge_cns.preprocess import as_float
from edge_cns.training.gradcam import KerasMaps
from edge_cns.training.keras import keras
from edge_cns.training.model import make_classifier

K = 3


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(3)
    inputs = keras.Input((32, 32, 1))
    x = keras.layers.Conv2D(4, 3, strides=2, padding="same", name="first")(inputs)
    x = keras.layers.BatchNormalization(name="normal")(x)
    x = keras.layers.ReLU(6)(x)
    x = keras.layers.Conv2D(6, 3, strides=4, padding="same", activation="relu", name="last")(x)
    made = make_classifier(keras.Model(inputs, x), K)
    made.get_layer("cam").set_weights([made.get_layer("cam").get_weights()[0], np.array([1.0, -2.0, 0.5])])
    return made


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (40, 32, 32), np.uint8)  # more than one batch


def test_cams_are_the_models_own(model, images: np.ndarray) -> None:
    cams = KerasMaps(model).cams(images)
    assert cams.shape == (40, 4, 4, K)
    np.testing.assert_allclose(cams, model(as_float(images))["cam"], atol=1e-5)


@pytest.mark.parametrize("against_mean", [False, True])
def test_grad_cam_of_this_head_is_the_activation_map_less_its_bias(model, images: np.ndarray, against_mean) -> None:
    classes = np.arange(40) % K
    maps = KerasMaps(model)
    cams, bias = maps.cams(images), model.get_layer("cam").get_weights()[1]
    grad_cams = maps.grad_cams(images, classes, against_mean=against_mean)
    assert grad_cams.shape == (40, 4, 4)
    assert (grad_cams < 0).any()  # before the ReLU
    for found, cam, c in zip(grad_cams, cams, classes, strict=True):
        own = evidence(cam, c) - (bias[c] - bias.mean()) if against_mean else cam[..., c] - bias[c]
        np.testing.assert_allclose(found, own / 16, atol=1e-6)


class TestShuffling:
    def test_the_head_alone(self, model, images: np.ndarray) -> None:
        before = [w.copy() for w in model.get_weights()]
        maps = KerasMaps(model)
        shuffled = maps.shuffled_cams(images, 0.0, 1)
        assert all((a == b).all() for a, b in zip(before, model.get_weights(), strict=True))
        np.testing.assert_array_equal(shuffled, maps.shuffled_cams(images, 0.0, 1))
        assert np.abs(shuffled - maps.shuffled_cams(images, 0.0, 2)).max() > 1e-3
        # What comes into the head is as it was: the maps are other mixtures of the same features.
        features = np.asarray(maps._trunk(as_float(images))).reshape(-1, 6)
        mixtures = np.c_[features, np.ones(len(features))]
        _, residual, *_ = np.linalg.lstsq(mixtures, shuffled.reshape(-1, K), rcond=None)
        assert residual.max() < 1e-6 * np.square(shuffled).sum()

    def test_all_layers_keep_their_values_and_lose_their_places(self, model, images: np.ndarray) -> None:
        maps = KerasMaps(model)
        assert np.abs(maps.shuffled_cams(images, 1.0, 0) - maps.cams(images)).max() > 1e-3
        moved = 0
        for before, after in zip(model.get_weights(), maps._copy.get_weights(), strict=True):
            np.testing.assert_array_equal(np.sort(before.ravel()), np.sort(after.ravel()))
            moved += int((before != after).any())
        assert moved >= 4

    def test_from_the_output_down(self, model, images: np.ndarray) -> None:
        maps = KerasMaps(model)
        maps.shuffled_cams(images[:1], 0.4, 0)  # of three layers below the head, one
        changed = [
            layer.name
            for layer in maps._copy.layers
            if any(
                (a != b).any()
                for a, b in zip(layer.get_weights(), model.get_layer(layer.name).get_weights(), strict=True)
            )
        ]
        assert changed == ["last", "cam"]
