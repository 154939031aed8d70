"""EfficientNet-Lite0 for grey frames: EfficientNet-B0 made for int8, with ReLU6 and no squeeze-and-excitation.

The layout is that of B0 (Tan and Le 2019, arXiv:1905.11946, table 1).
"""

from __future__ import annotations

from typing import Any

from edge_cns.training.backbones.layers import convolution, inverted_residual, relu6
from edge_cns.training.keras import keras

__all__ = ["STAGES", "network"]

STAGES = (  # expansion, filters, blocks, stride of the first block, kernel
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)


def network(image_size: int, alpha: float) -> Any:
    """Make ``(image_size, image_size, 1)`` -> ``(image_size / 32, image_size / 32, 1280)``; ``alpha`` is 1."""
    assert alpha == 1.0, "the table allows no other width"
    image = keras.Input((image_size, image_size, 1), name="image")
    x = convolution(image, 32, kernel=3, stride=2, name="stem", norm="stem_BN")
    x = relu6(x, "stem_relu")
    number = 0
    for expansion, filters, blocks, stride, kernel in STAGES:
        for block in range(blocks):
            x = inverted_residual(
                x,
                filters,
                kernel=kernel,
                stride=stride if block == 0 else 1,
                expansion=expansion,
                prefix=f"block_{number}",
            )
            number += 1
    x = convolution(x, 1280, kernel=1, name="head", norm="head_BN")
    x = relu6(x, "head_relu")
    return keras.Model(image, x, name="efficientnet_lite0")
