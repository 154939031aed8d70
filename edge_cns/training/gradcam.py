"""The float model's own maps, Grad-CAM, and the maps of shuffled weights: what int8 heat maps are held against."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_cns.preprocess import as_float
from edge_cns.training.keras import keras, tf
from edge_cns.training.model import trunk_of

__all__ = ["KerasMaps"]

_BATCH = 32
_HEAD = "cam"


class KerasMaps:
    """Heat maps of a Keras classifier.

    Args:
        model: from `edge_cns.training.model.read_classifier`.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._trunk = trunk_of(model)
        self._head = model.get_layer(_HEAD)
        self._pool = model.get_layer("logits")
        self._copy: Any = None  # what shuffling writes to; made when it is first asked for

    def cams(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Class activation maps ``(N, h, w, K)`` float32 of network images ``(N, H, W)`` uint8."""
        parts = [self._head(self._features(batch)) for batch in _batches(images)]
        return np.asarray(np.concatenate(parts), np.float32)

    def grad_cams(
        self, images: NDArray[np.uint8], classes: NDArray[np.int64], *, against_mean: bool
    ) -> NDArray[np.float32]:
        """Grad-CAM at the last feature map, before its ReLU (Selvaraju et al. 2017, equations 1 and 2).

        Each channel weighs the spatial mean of the score's gradient. For this head that is the class's weight over the
        number of places, so the map is the class activation map less its bias, over that number.

        Args:
            images: network images ``(N, H, W)`` uint8.
            classes: ``(N,)`` which class.
            against_mean: explain the logit minus the mean logit of all classes, which is what a verdict's heat map
                shows; otherwise the logit alone.

        Returns:
            ``(N, h, w)`` float32 with both signs; the paper draws ``max(0, map)``.
        """
        maps = []
        for batch, chosen in zip(_batches(images), _batches(classes), strict=True):
            features = self._features(batch)
            with tf.GradientTape() as tape:
                tape.watch(features)
                logits = self._pool(self._head(features))
                score = tf.gather(logits, chosen, batch_dims=1)
                if against_mean:
                    score = score - tf.reduce_mean(logits, axis=1)
            weights = tf.reduce_mean(tape.gradient(score, features), axis=(1, 2), keepdims=True)
            maps.append(tf.reduce_sum(weights * features, axis=-1))
        return np.asarray(np.concatenate(maps), np.float32)

    def shuffled_cams(self, images: NDArray[np.uint8], share: float, seed: int) -> NDArray[np.float32]:
        """As `cams`, with weights shuffled from the output down (Adebayo et al. 2018, cascading randomisation).

        Values change places within each array, so every layer keeps the distribution of its weights.

        Args:
            images: network images ``(N, H, W)`` uint8.
            share: of the layers below the head that are shuffled beside it, counted from the head: 0 is the head
                alone, 1 the whole network.
            seed: of the shuffling.
        """
        if self._copy is None:
            self._copy = keras.models.clone_model(self._model)
        self._copy.set_weights(self._model.get_weights())
        rng = np.random.default_rng(seed)
        trunk = [layer for layer in self._copy.layers if layer.weights and layer.name != _HEAD]
        kept = round(len(trunk) * (1 - share))
        for layer in [self._copy.get_layer(_HEAD), *reversed(trunk[kept:])]:
            layer.set_weights([rng.permutation(w.ravel()).reshape(w.shape) for w in layer.get_weights()])
        return KerasMaps(self._copy).cams(images)

    def _features(self, images: NDArray[np.uint8]) -> Any:
        return self._trunk(as_float(images), training=False)


def _batches(values: NDArray[Any]) -> list[NDArray[Any]]:
    return [values[start : start + _BATCH] for start in range(0, len(values), _BATCH)]
