"""MobileNetV1 (Howard et al. 2017, arXiv:1704.04861, table 1) for grey frames."""

from __future__ import annotations

from typing import Any

from edge_cns.training.backbones.layers import convolution, depthwise, relu6
from edge_cns.training.keras import keras

__all__ = ["network"]

_BLOCKS = (  # filters, stride
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    *((512, 1),) * 5,
    (1024, 2),
    (1024, 1),
)


def network(image_size: int, alpha: float) -> Any:
    """Make ``(image_size, image_size, 1)`` -> ``(image_size / 32, image_size / 32, 1024 * alpha)``.

    Layers are named as in Keras's MobileNet, whose weights files they take.
    """
    image = keras.Input((image_size, image_size, 1), name="image")
    x = convolution(image, int(32 * alpha), kernel=3, stride=2, name="conv1", norm="conv1_bn")
    x = relu6(x, "conv1_relu")
    for number, (filters, stride) in enumerate(_BLOCKS, start=1):
        channelwise, pointwise = f"conv_dw_{number}", f"conv_pw_{number}"
        x = depthwise(x, kernel=3, stride=stride, name=channelwise, norm=f"{channelwise}_bn")
        x = relu6(x, f"{channelwise}_relu")
        x = convolution(x, int(filters * alpha), kernel=1, name=pointwise, norm=f"{pointwise}_bn")
        x = relu6(x, f"{pointwise}_relu")
    return keras.Model(image, x, name="mobilenet_v1")
