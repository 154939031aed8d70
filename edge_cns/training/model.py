"""The classifier: a backbone, and a head whose class activation maps average to the logits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_cns.contract import OUTPUTS
from edge_cns.errors import BadInputError, brief
from edge_cns.preprocess import as_float
from edge_cns.training.keras import keras

__all__ = ["embeddings", "make_classifier", "predict_logits", "read_classifier", "trunk_of"]

_FEATURES = "features"


def make_classifier(backbone: Any, classes: int) -> Any:
    """Put the head on a backbone.

    Args:
        backbone: Keras model, ``(N, H, W, 1)`` float32 in [0, 1] to ``(N, h, w, C)``.
        classes: number K.

    Returns:
        Keras model with the outputs ``logits (N, K)``, ``cam (N, h, w, K)`` and ``embedding (N, C)`` by name. A 1x1
        convolution gives the maps and their average the logits, which equals global pooling followed by a dense layer
        (Zhou et al. 2016), so that heat maps come out of the graph itself.
    """
    features = keras.layers.Activation("linear", name=_FEATURES)(backbone.output)
    cam = keras.layers.Conv2D(classes, 1, name="cam")(features)
    logits = keras.layers.GlobalAveragePooling2D(name="logits")(cam)
    embedding = keras.layers.GlobalAveragePooling2D(name="embedding")(features)
    outputs = {"logits": logits, "cam": cam, "embedding": embedding}
    return keras.Model(backbone.input, outputs, name="edge_cns")


def trunk_of(model: Any) -> Any:
    """The part below the head: input to feature map, sharing the weights."""
    return keras.Model(model.input, model.get_layer(_FEATURES).output)


def read_classifier(path: Path) -> Any:
    """Load ``model.keras``.

    Raises:
        BadInputError: missing, damaged, or not a classifier of this package.
    """
    try:
        model = keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # a damaged archive makes zipfile, zlib, json, h5py or Keras raise what they like
        reason = brief(error)
        raise BadInputError(f"{path} cannot be loaded ({reason}); train again") from None
    if not isinstance(model.output, dict) or set(model.output) != set(OUTPUTS):
        raise BadInputError(f"{path} lacks the outputs {', '.join(OUTPUTS)}; make it with edge-cns train")
    return model


def predict_logits(model: Any, images: NDArray[np.uint8], *, batch_size: int = 32) -> NDArray[np.float32]:
    """Logits of images ``(N, H, W)`` uint8, as ``(N, K)`` float32."""
    return _batched(model, images, "logits", batch_size)


def embeddings(model: Any, images: NDArray[np.uint8], *, batch_size: int = 32) -> NDArray[np.float32]:
    """Embeddings of images ``(N, H, W)`` uint8, as ``(N, C)`` float32."""
    return _batched(model, images, "embedding", batch_size)


def _batched(model: Any, images: NDArray[np.uint8], output: str, batch_size: int) -> NDArray[np.float32]:
    chosen = keras.Model(model.input, model.output[output])
    parts = [
        chosen(as_float(images[start : start + batch_size]), training=False)  # predict would build a graph every time
        for start in range(0, len(images), batch_size)
    ]
    return np.asarray(np.concatenate(parts), np.float32)
