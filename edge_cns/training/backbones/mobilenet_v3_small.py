"""MobileNetV3-Small (Howard et al. 2019, doi 10.1109/ICCV.2019.00140, table 2) for grey frames.

Its hard-swish is written as ``ReLU6(x + 3) * (x / 6)``. The usual ``x * (ReLU6(x + 3) / 6)`` has the same value,
but the converter turns it into an operator that int8 accelerators and CPU delegates leave out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edge_cns.training.backbones.layers import convolution, depthwise, round_to_8
from edge_cns.training.keras import keras

__all__ = ["network"]

_RELU, _SWISH = "relu", "swish"
_BLOCKS = (  # kernel, expansion, filters, squeeze-and-excitation, activation, stride
    (3, 1, 16, True, _RELU, 2),
    (3, 72 / 16, 24, False, _RELU, 2),
    (3, 88 / 24, 24, False, _RELU, 1),
    (5, 4, 40, True, _SWISH, 2),
    (5, 6, 40, True, _SWISH, 1),
    (5, 6, 40, True, _SWISH, 1),
    (5, 3, 48, True, _SWISH, 1),
    (5, 3, 48, True, _SWISH, 1),
    (5, 6, 96, True, _SWISH, 2),
    (5, 6, 96, True, _SWISH, 1),
    (5, 6, 96, True, _SWISH, 1),
)


def _relu(x: Any, name: str) -> Any:
    return keras.layers.ReLU(name=f"{name}_relu")(x)


def _relu6_of_x_plus_3(x: Any, name: str) -> Any:
    x = keras.layers.Rescaling(1.0, offset=3.0, name=f"{name}_plus_3")(x)
    return keras.layers.ReLU(6.0, name=f"{name}_relu6")(x)


def _hard_swish(x: Any, name: str) -> Any:
    sixth = keras.layers.Rescaling(1 / 6, name=f"{name}_sixth")(x)
    return keras.layers.Multiply(name=f"{name}_swish")([_relu6_of_x_plus_3(x, name), sixth])


_ACTIVATIONS: dict[str, Callable[[Any, str], Any]] = {_RELU: _relu, _SWISH: _hard_swish}


def _squeeze_excite(x: Any, prefix: str) -> Any:
    """Scale each channel of ``(h, w, C)`` by a gate in [0, 1] that is computed from all channel means."""
    channels = int(x.shape[-1])
    gate = keras.layers.GlobalAveragePooling2D(keepdims=True, name=f"{prefix}_AvgPool")(x)
    gate = keras.layers.Conv2D(round_to_8(channels / 4), 1, name=f"{prefix}_Conv")(gate)
    gate = keras.layers.ReLU(name=f"{prefix}_Relu")(gate)
    gate = keras.layers.Conv2D(channels, 1, name=f"{prefix}_Conv_1")(gate)
    gate = _relu6_of_x_plus_3(gate, f"{prefix}_gate")
    gate = keras.layers.Rescaling(1 / 6, name=f"{prefix}_gate_sixth")(gate)
    return keras.layers.Multiply(name=f"{prefix}_Mul")([x, gate])


def _block(
    x: Any,
    filters: int,
    *,
    kernel: int,
    expansion: float,
    excite: bool,
    activate: Callable[[Any, str], Any],
    stride: int,
    prefix: str,
) -> Any:
    block_input, channels = x, int(x.shape[-1])
    if expansion > 1:
        name = f"{prefix}_expand"
        x = convolution(x, round_to_8(channels * expansion), kernel=1, name=name, norm=f"{name}_BatchNorm")
        x = activate(x, name)
    name = f"{prefix}_depthwise"
    x = depthwise(x, kernel=kernel, stride=stride, name=name, norm=f"{name}_BatchNorm")
    x = activate(x, name)
    if excite:
        x = _squeeze_excite(x, f"{prefix}_squeeze_excite")
    name = f"{prefix}_project"
    x = convolution(x, filters, kernel=1, name=name, norm=f"{name}_BatchNorm")
    if stride == 1 and channels == filters:
        x = keras.layers.Add(name=f"{prefix}_Add")([block_input, x])
    return x


def network(image_size: int, alpha: float) -> Any:
    """Make ``(image_size, image_size, 1)`` -> ``(image_size / 32, image_size / 32, 576)``; 432 at alpha 0.75.

    Layers are named as in Keras's MobileNetV3Small, whose weights files they take, with ``_`` in place of ``/``.
    """
    image = keras.Input((image_size, image_size, 1), name="image")
    x = convolution(image, 16, kernel=3, stride=2, name="Conv", norm="Conv_BatchNorm")
    x = _hard_swish(x, "Conv")
    for number, (kernel, expansion, filters, excite, activation, stride) in enumerate(_BLOCKS):
        x = _block(
            x,
            round_to_8(filters * alpha),
            kernel=kernel,
            expansion=expansion,
            excite=excite,
            activate=_ACTIVATIONS[activation],
            stride=stride,
            prefix=f"expanded_conv_{number}" if number else "expanded_conv",
        )
    x = convolution(x, round_to_8(int(x.shape[-1]) * 6), kernel=1, name="Conv_1", norm="Conv_1_BatchNorm")
    x = _hard_swish(x, "Conv_1")
    return keras.Model(image, x, name="mobilenet_v3_small")
