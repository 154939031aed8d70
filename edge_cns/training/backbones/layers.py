"""What the backbones are made of.

Strided layers pad as TensorFlow's ``same`` does. At the even sizes met here that is exactly the zero padding
that Keras's MobileNets write as a layer of its own, and it spares the int8 graph a PAD operator.
"""

from __future__ import annotations

from typing import Any

from edge_cns.training.keras import keras

__all__ = ["convolution", "depthwise", "inverted_residual", "relu6", "round_to_8"]

_EPSILON = 1e-3


def round_to_8(channels: float) -> int:
    """Round a number of channels to the nearest multiple of 8 that is not below 90 % of it (MobileNetV2)."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def convolution(x: Any, filters: int, *, kernel: int, stride: int = 1, name: str, norm: str) -> Any:
    """Convolve ``(h, w, C)`` to ``(h / stride, w / stride, filters)``, without bias, and batch-normalise."""
    x = keras.layers.Conv2D(filters, kernel, strides=stride, padding="same", use_bias=False, name=name)(x)
    return keras.layers.BatchNormalization(epsilon=_EPSILON, name=norm)(x)


def depthwise(x: Any, *, kernel: int, stride: int, name: str, norm: str) -> Any:
    """Convolve each channel of ``(h, w, C)`` with its own kernel, without bias, and batch-normalise."""
    x = keras.layers.DepthwiseConv2D(kernel, strides=stride, padding="same", use_bias=False, name=name)(x)
    return keras.layers.BatchNormalization(epsilon=_EPSILON, name=norm)(x)


def relu6(x: Any, name: str) -> Any:
    """``min(max(x, 0), 6)``; the converter fuses it into the convolution before it."""
    return keras.layers.ReLU(6.0, name=name)(x)


def inverted_residual(x: Any, filters: int, *, kernel: int, stride: int, expansion: int, prefix: str) -> Any:
    """Widen, filter each channel, narrow without an activation; add the input where shapes allow.

    The block of MobileNetV2 (Sandler et al. 2018, doi 10.1109/CVPR.2018.00474, figure 4d).
    """
    block_input, channels = x, int(x.shape[-1])
    if expansion > 1:
        x = convolution(x, expansion * channels, kernel=1, name=f"{prefix}_expand", norm=f"{prefix}_expand_BN")
        x = relu6(x, f"{prefix}_expand_relu")
    x = depthwise(x, kernel=kernel, stride=stride, name=f"{prefix}_depthwise", norm=f"{prefix}_depthwise_BN")
    x = relu6(x, f"{prefix}_depthwise_relu")
    x = convolution(x, filters, kernel=1, name=f"{prefix}_project", norm=f"{prefix}_project_BN")
    if stride == 1 and channels == filters:
        x = keras.layers.Add(name=f"{prefix}_add")([block_input, x])
    return x
