"""Fine-tuning on a network of two layers: what stops it, what it keeps, what it never touches."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the train extra")
from edge_cns.errors import BadInputError, OperationError
from edge_cns.progress import silent
from edge_cns.training import finetune as module
from edge_cns.training.augment import Augmentation
from edge_cns.training.dataset import LabelledImages
from edge_cns.training.finetune import _exhausted, finetune
from edge_cns.training.keras import keras
from edge_cns.training.model import make_classifier, predict_logits
from edge_cns.training.run import Settings, read_checkpoint

SETTINGS = Settings(image_size=32, epochs=6, batch_size=8, learning_rate=3e-3, augmentation=Augmentation(aspect=1.0))


def network(classes: int = 2):
    keras.utils.set_random_seed(1)
    image = keras.Input((32, 32, 1), name="image")
    x = keras.layers.Conv2D(8, 3, 2, use_bias=False, name="first")(image)
    x = keras.layers.BatchNormalization(name="norm")(x)
    model = make_classifier(keras.Model(image, keras.layers.ReLU(6.0)(x)), classes)
    model.get_layer("norm").set_weights([np.linspace(a, b, 8) for a, b in ((0.5, 2), (-1, 1), (0, 0.4), (0.02, 0.2))])
    return model


def frames(count: int, seed: int) -> LabelledImages:
    """Bright against dark, with noise."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    images = rng.integers(0, 120, (count, 32, 32)) + 90 * labels[:, None, None]
    return LabelledImages(images.astype(np.uint8), labels)


def scripted(monkeypatch: pytest.MonkeyPatch, accuracies: list[float]) -> list[np.ndarray]:
    """Give the *stop* patients these accuracies; returns the average weights of each epoch as it goes on."""
    seen: list[np.ndarray] = []

    def evaluate(self, stop):
        seen.append(self._average[0].numpy())
        return {"stop_loss": 0.5, "stop_accuracy": accuracies[len(seen) - 1]}

    monkeypatch.setattr(module._State, "evaluate", evaluate)
    return seen


def test_learns_and_writes_a_checkpoint_after_each_epoch(tmp_path: Path) -> None:
    model = network()
    epochs = []

    def progress(task: str, done: int, total: int, note: str = "") -> None:
        if done == 1:
            checkpoint = read_checkpoint(tmp_path)
            epochs.append(0 if checkpoint is None else checkpoint.epoch)

    settings = replace(SETTINGS, learning_rate=3e-2, dropout=0.0)
    history = finetune(model, frames(64, 0), frames(16, 1), settings, path=tmp_path, progress=progress)
    assert epochs == [0, 1, 2, 3, 4, 5]
    assert [row["epoch"] for row in history] == [1, 2, 3, 4, 5, 6]
    assert history[-1]["loss"] < history[0]["loss"]
    test = frames(40, 2)
    assert (predict_logits(model, test.images).argmax(axis=1) == test.labels).mean() > 0.9


def test_batch_normalisation_is_frozen_and_the_rest_is_not(tmp_path: Path) -> None:
    model = network()
    before = {layer.name: layer.get_weights() for layer in model.layers}
    finetune(model, frames(32, 0), frames(8, 1), replace(SETTINGS, epochs=2), path=tmp_path, progress=silent)
    for old, new in zip(before["norm"], model.get_layer("norm").get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    for name in ("first", "cam"):
        assert np.abs(before[name][0] - model.get_layer(name).get_weights()[0]).max() > 1e-4


def test_a_training_that_goes_on_equals_one_that_was_not_interrupted(tmp_path: Path) -> None:
    fit, stop = frames(64, 0), frames(16, 1)
    whole = network()
    expected = (
        finetune(whole, fit, stop, SETTINGS, path=tmp_path / "a", progress=silent)
        if (tmp_path / "a").mkdir() is None
        else []
    )

    def interrupt(task: str, done: int, total: int, note: str = "") -> None:
        if task.startswith("fine-tuning, epoch 4 ") and done == 3:
            raise KeyboardInterrupt

    (tmp_path / "b").mkdir()
    with pytest.raises(KeyboardInterrupt):
        finetune(network(), fit, stop, SETTINGS, path=tmp_path / "b", progress=interrupt)
    resumed = network()
    steps = []
    history = finetune(resumed, fit, stop, SETTINGS, path=tmp_path / "b", progress=lambda task, *_: steps.append(task))
    assert steps[0] == "fine-tuning, epoch 4 of 6"
    for one, other in zip(expected, history, strict=True):
        assert other == pytest.approx(one, rel=1e-4)
    for one, other in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_stops_without_gain_and_keeps_the_average_of_the_best_epoch(tmp_path: Path, monkeypatch) -> None:
    averages = scripted(monkeypatch, [0.5, 0.8, 0.7, 0.75, 0.7, 0.9])
    model = network()
    history = finetune(
        model, frames(32, 0), frames(8, 1), replace(SETTINGS, patience=3), path=tmp_path, progress=silent
    )
    assert [row["stop_accuracy"] for row in history] == [0.5, 0.8, 0.7, 0.75, 0.7]
    kept = model.trainable_variables[0].numpy()
    np.testing.assert_array_equal(kept, averages[1])
    assert not np.array_equal(kept, averages[-1])


def test_exhausted() -> None:
    def after(*accuracies: float) -> bool:
        return _exhausted([{"epoch": i + 1, "stop_accuracy": value} for i, value in enumerate(accuracies)], 2)

    assert not after()
    assert not after(0.6, 0.5)
    assert after(0.6, 0.5, 0.4)
    assert not after(0.5, 0.5, 0.5), "of equals the last is kept, so nothing has been lost yet"
    assert not after(0.5, 0.4, 0.6)


def test_divergence_is_one_typed_error(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(module._State, "step", lambda *_: math.nan)
    with pytest.raises(OperationError, match="epoch 1 ended with loss nan: the training diverged"):
        finetune(network(), frames(16, 0), frames(8, 1), SETTINGS, path=tmp_path, progress=silent)
    assert read_checkpoint(tmp_path) is None


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    finetune(network(), frames(16, 0), frames(8, 1), replace(SETTINGS, epochs=1), path=tmp_path, progress=silent)
    with pytest.raises(BadInputError, match="does not fit"):
        finetune(network(classes=3), frames(16, 0), frames(8, 1), SETTINGS, path=tmp_path, progress=silent)


def test_frames_become_float_a_batch_at_a_time(tmp_path: Path, monkeypatch) -> None:
    """A float copy of all frames would be four times as large as the frames."""
    from edge_cns.training import batches as batches_module
    from edge_cns.training import model as model_module

    sizes = []
    convert = batches_module.as_float

    def counted(pictures: np.ndarray) -> np.ndarray:
        sizes.append(len(pictures))
        return convert(pictures)

    monkeypatch.setattr(batches_module, "as_float", counted)
    monkeypatch.setattr(model_module, "as_float", counted)
    finetune(network(), frames(200, 0), frames(80, 1), replace(SETTINGS, epochs=1), path=tmp_path, progress=silent)
    assert max(sizes) == 32
    assert sizes.count(8) == 25


def test_fewer_frames_than_a_batch(tmp_path: Path) -> None:
    history = finetune(
        network(), frames(4, 0), frames(4, 1), replace(SETTINGS, epochs=1), path=tmp_path, progress=silent
    )
    assert len(history) == 1
