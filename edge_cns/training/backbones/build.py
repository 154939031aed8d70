"""Make a backbone and put ImageNet's knowledge into it.

ImageNet's networks take RGB in their own range; ours take one grey channel in [0, 1]. Both steps between the two
are linear, so they are folded into the first convolution and the batch normalisation after it and cost nothing:
see `fold_grey`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_cns.errors import BadInputError
from edge_cns.training import keras_checkpoint, lite0_checkpoint
from edge_cns.training.backbones.table import Backbone, find
from edge_cns.training.weights import ResolvedWeights

__all__ = ["build", "fold_grey"]

_RGB = 3


def build(name: str, *, alpha: float, image_size: int, weights: ResolvedWeights | None) -> Any:
    """Make a backbone: grey ``(image_size, image_size, 1)`` float32 in [0, 1] -> its last feature map.

    The feature map is ``(h, w, C)`` after its activation, with ``h = w = image_size / 32``. Inside the frame it is
    what the ImageNet network gives for that grey frame. Along the border the convolutions pad with 0, which here
    means black, as a letterbox is; in the ImageNet network it means mid-grey.

    Args:
        name: a key of `BACKBONES`.
        alpha: width multiplier.
        image_size: side of the input in pixels, a multiple of 32.
        weights: what to start from; ``None`` starts from random numbers.

    Returns:
        A ``tf_keras.Model`` of plain layers: all convert to full-integer TFLite.

    Raises:
        BadInputError: unknown name, a width or size that it does not have, or weights of another network.
    """
    backbone = find(name)
    backbone.check(alpha, image_size)
    content = None if weights is None else _unchanged(weights)
    model = import_module(backbone.module).network(image_size, alpha)
    if weights is not None and content is not None:
        _load(model, backbone, content, source=str(weights.path))
    return model


def fold_grey(
    kernel: NDArray[np.float32], moving_mean: NDArray[np.float32], *, scale: float, offset: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Make a first layer that takes RGB pixels ``p * scale + offset`` take one grey channel ``p`` instead.

    With R = G = B = p the convolution gives ``scale * sum_c(W_c) * p + offset * sum(W)``. The last term is a
    constant of each filter, and the batch normalisation after it subtracts it with its mean.

    Args:
        kernel: ``(k, k, 3, F)``.
        moving_mean: ``(F,)`` of the batch normalisation that follows.
        scale: factor of the normalisation that the network was trained with.
        offset: its constant.

    Returns:
        The kernel ``(k, k, 1, F)`` and the mean ``(F,)``.
    """
    summed = kernel.astype(np.float64).sum(axis=2, keepdims=True)
    mean = moving_mean.astype(np.float64) - offset * summed.sum(axis=(0, 1, 2))
    return (scale * summed).astype(np.float32), mean.astype(np.float32)


def _unchanged(weights: ResolvedWeights) -> bytes:
    content = weights.path.read_bytes()
    if hashlib.sha256(content).hexdigest() != weights.sha256:
        raise BadInputError(f"{weights.path} changed while it was being used; start again")
    return content


def _load(model: Any, backbone: Backbone, content: bytes, *, source: str) -> None:
    shapes = _imagenet_shapes(model, backbone)
    read = keras_checkpoint.read if backbone.package is None else lite0_checkpoint.read
    arrays = read(content, shapes, source=source)
    (kernel,) = arrays[backbone.first_convolution]
    gamma, beta, mean, variance = arrays[backbone.first_norm]
    kernel, mean = fold_grey(kernel, mean, scale=backbone.scale, offset=backbone.offset)
    folded = {
        **arrays,
        backbone.first_convolution: [kernel],
        backbone.first_norm: [gamma, beta, mean, variance],
    }
    for layer, values in folded.items():
        model.get_layer(layer).set_weights(values)


def _imagenet_shapes(model: Any, backbone: Backbone) -> Mapping[str, list[tuple[int, ...]]]:
    """Say which layers have weights, and the shapes that these have in the network for RGB."""
    shapes = {
        layer.name: [tuple(int(side) for side in weight.shape) for weight in layer.weights]
        for layer in model.layers
        if layer.weights
    }
    ((height, width, _, filters),) = shapes[backbone.first_convolution]
    shapes[backbone.first_convolution] = [(height, width, _RGB, filters)]
    return shapes
