"""MobileNetV2 (Sandler et al. 2018, doi 10.1109/CVPR.2018.00474, table 2) for grey frames."""

from __future__ import annotations

from typing import Any

from edge_cns.training.backbones.layers import convolution, inverted_residual, relu6, round_to_8
from edge_cns.training.keras import keras

__all__ = ["network"]

_STAGES = (  # expansion, filters, blocks, stride of the first block
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
_LAST_FILTERS = 1280


def network(image_size: int, alpha: float) -> Any:
    """Make ``(image_size, image_size, 1)`` -> ``(image_size / 32, image_size / 32, 1280 * max(alpha, 1))``.

    Layers are named as in Keras's MobileNetV2, whose weights files they take.
    """
    image = keras.Input((image_size, image_size, 1), name="image")
    x = convolution(image, round_to_8(32 * alpha), kernel=3, stride=2, name="Conv1", norm="bn_Conv1")
    x = relu6(x, "Conv1_relu")
    number = 0
    for expansion, filters, blocks, stride in _STAGES:
        for block in range(blocks):
            x = inverted_residual(
                x,
                round_to_8(int(filters * alpha)),
                kernel=3,
                stride=stride if block == 0 else 1,
                expansion=expansion,
                prefix=f"block_{number}" if number else "expanded_conv",
            )
            number += 1
    # A narrower network keeps its last layer: the paper found that this costs little and helps.
    x = convolution(x, round_to_8(_LAST_FILTERS * max(alpha, 1.0)), kernel=1, name="Conv_1", norm="Conv_1_bn")
    x = relu6(x, "out_relu")
    return keras.Model(image, x, name="mobilenet_v2")
