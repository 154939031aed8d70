"""What Google publishes of the Edge TPU: which operators it runs, and within which limits.

From "TensorFlow models on the Edge TPU" (https://coral.ai/docs/edgetpu/models-intro/): the model requirements, and the
table of supported operations with its known limitations, as of compiler 16. The table has no numbers for the sizes that
a resize or a mean may have; those here are estimates, from what users of the compiler report, and say so.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from converters.tflite_graph import Operator, Tensor

__all__ = ["obstacle"]

_EIGHT_BIT = ("int8", "uint8")
_SOFTMAX_ELEMENTS = 16_000
_MEAN_PIXELS = 2**14  # estimate: 64x128 are known to map and 128x256 not to
_RESIZE_FACTOR = 16  # estimate: weights in two directions are multiples of 1/factor**2, more than 8 bits hold
_RESIZE_BYTES = 2 * 2**20  # estimate: 1 MiB is known to map and 4 MiB not to, of 8 MiB on the chip

_Rule = Callable[[Operator], str | None]


def obstacle(operator: Operator) -> str | None:
    """Why the Edge TPU does not run an operator, looked at by itself.

    Returns:
        The reason, for a person; ``None`` if it runs.
    """
    if operator.custom:
        return f"custom operator {operator.name}: not supported"
    if operator.name not in _RULES:
        return "operation not supported"
    own = _RULES[operator.name]
    constants, others = [r for r in own if r in _OF_CONSTANTS], [r for r in own if r not in _OF_CONSTANTS]
    for rule in (*constants, _sizes, _types, _rank, *others):
        if reason := rule(operator):
            return reason
    return None


# What holds for every operator


def _sizes(operator: Operator) -> str | None:
    for tensor in (*_flowing(operator), *operator.outputs):
        if any(side < 1 for side in tensor.shape):
            return f"size of a tensor is not fixed ({_shape(tensor)})"
    return None


def _types(operator: Operator) -> str | None:
    for tensor in (*_flowing(operator), *operator.outputs):
        if tensor.dtype not in _EIGHT_BIT:
            return f"works on {tensor.dtype}, not on int8 or uint8"
        if len(tensor.scales) != 1:
            return f"a tensor of {tensor.dtype} has {len(tensor.scales)} scales, it needs one"
    for constant in operator.inputs:
        if constant is not None and constant.data is not None and constant.dtype not in (*_EIGHT_BIT, "int32"):
            return f"a constant is {constant.dtype}, not int8, uint8 or int32"
    return None


def _rank(operator: Operator) -> str | None:
    for tensor in (*_flowing(operator), *operator.outputs):
        if any(side > 1 for side in tensor.shape[:-3]):
            return f"more than the 3 innermost dimensions are larger than 1 ({_shape(tensor)})"
    return None


def _flowing(operator: Operator) -> list[Tensor]:
    """Inputs that are neither constants nor state nor left out."""
    return [t for t in operator.inputs if t is not None and t.data is None and not t.variable]


# Limits of single operators


def _no_activation(operator: Operator) -> str | None:
    fused = operator.options.get("fusedActivationFunction", "NONE")
    return None if fused == "NONE" else f"fused activation {fused}: only without one"


def _parameters(operator: Operator) -> str | None:
    """All inputs but the first are constants, or left out."""
    if any(t is not None and t.data is None for t in operator.inputs[1:]):
        return "parameters are not constants"
    return None


def _dilation(operator: Operator) -> str | None:
    across, down = operator.options.get("dilationWFactor", 1), operator.options.get("dilationHFactor", 1)
    return None if across == down else f"dilation {across} in x and {down} in y; it must be the same"


def _concatenation(operator: Operator) -> str | None:
    constants = [t for t in operator.inputs if t is not None and t.data is not None]
    if not constants:
        return None
    if len(operator.inputs) != 2:
        return f"one of {len(operator.inputs)} inputs is constant; with a constant there must be 2"
    zero = constants[0].zero_points[0] if constants[0].zero_points else 0
    return None if (constants[0].values() == zero).all() else "a constant input is not all zeros"


def _fully_connected(operator: Operator) -> str | None:
    if operator.options.get("weightsFormat", 0) != 0:
        return "weights are not in the default format"
    return _flat(operator.outputs[0], "output")


def _flat(tensor: Tensor, what: str) -> str | None:
    return f"{what} is not one-dimensional ({_shape(tensor)})" if any(n > 1 for n in tensor.shape[:-1]) else None


def _reduction(operator: Operator) -> str | None:
    """Parameters are constants, checked before; the axes say what is reduced."""
    return "reduces the batch dimension" if 0 in _axes(operator) and _has_batch(_first(operator)) else None


def _mean(operator: Operator) -> str | None:
    tensor = _first(operator)
    depth = tensor.shape[-1]
    if len(tensor.shape) - 1 in _axes(operator) and depth % 4:
        return f"reduces the z dimension, of which {depth} is not a multiple of 4"
    pixels = math.prod(tensor.shape[axis] for axis in _axes(operator))
    if pixels > _MEAN_PIXELS:
        return f"is a mean of {pixels} values, more than about {_MEAN_PIXELS} (estimate)"
    return None


def _axes(operator: Operator) -> set[int]:
    rank, axes = len(_first(operator).shape), operator.inputs[1]
    return {int(axis) % rank for axis in axes.values()} if axes is not None and rank else set()


def _pack(operator: Operator) -> str | None:
    axis = int(operator.options.get("axis", 0))
    return "packs in the batch dimension" if axis in (0, -len(operator.outputs[0].shape)) else None


def _pad(operator: Operator) -> str | None:
    amounts = operator.inputs[1]
    if amounts is not None and _has_batch(_first(operator)) and amounts.values()[:2].any():
        return "pads the batch dimension"
    return None


def _prelu(operator: Operator) -> str | None:
    alpha = operator.inputs[1]
    return None if alpha is None else _flat(alpha, "alpha")


def _resize(operator: Operator) -> str | None:
    source, result = _first(operator), operator.outputs[0]
    if len(source.shape) != 4 or len(result.shape) != 4:
        return f"input is not of height, width and depth ({_shape(source)})"
    factor = max(to / of for of, to in zip(source.shape[1:3], result.shape[1:3], strict=True))
    if factor > _RESIZE_FACTOR:
        return f"resizes {factor:.3g} times, more than about {_RESIZE_FACTOR} loses precision (estimate)"
    size = math.prod(result.shape)
    if size > _RESIZE_BYTES:
        return f"result of a resize has {size / 2**20:.1f} MiB, more than about {_RESIZE_BYTES // 2**20} (estimate)"
    return None


def _softmax(operator: Operator) -> str | None:
    tensor = _first(operator)
    if (elements := math.prod(tensor.shape)) > _SOFTMAX_ELEMENTS:
        return f"input has {elements} elements, at most {_SOFTMAX_ELEMENTS} are supported"
    return _flat(tensor, "input")


def _split(operator: Operator) -> str | None:
    axis, source = operator.inputs[:2]
    if axis is None or axis.data is None or source is None:
        return "axis is not a constant"
    return "splits the batch dimension" if axis.values()[0] in (0, -len(source.shape)) else None


def _squeeze(operator: Operator) -> str | None:
    """Only leading dimensions may go: what is behind the first that is larger than 1 stays as it is."""
    source, result = (_trim(t.shape) for t in (_first(operator), operator.outputs[0]))
    return None if source == result else f"removes a dimension that is not a leading one ({_shape(_first(operator))})"


def _strided_slice(operator: Operator) -> str | None:
    strides = operator.inputs[3] if len(operator.inputs) > 3 else None
    if strides is not None and (strides.values() != 1).any():
        return f"strides are {strides.values().tolist()}, all must be 1"
    masks = [name for name in ("ellipsisMask", "newAxisMask") if operator.options.get(name, 0)]
    return f"{masks[0]} is not 0" if masks else None


def _transpose_conv(operator: Operator) -> str | None:
    """Its inputs are the output's shape, the weights, what flows, and the bias."""
    constants = [t for place, t in enumerate(operator.inputs) if place != 2 and t is not None]
    return None if all(t.data is not None for t in constants) else "parameters are not constants"


def _lstm(operator: Operator) -> str | None:
    """Weights and biases are constants; the input is the first, and the state is kept in variables."""
    if any(t is not None and t.data is None and not t.variable for t in operator.inputs[1:]):
        return "parameters are not constants"
    return None


def _first(operator: Operator) -> Tensor:
    return next(t for t in operator.inputs if t is not None)


def _has_batch(tensor: Tensor) -> bool:
    return len(tensor.shape) > 3 or (len(tensor.shape) > 1 and tensor.shape[0] == 1)


def _trim(shape: tuple[int, ...]) -> tuple[int, ...]:
    leading = next((place for place, side in enumerate(shape) if side != 1), len(shape))
    return shape[leading:]


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape))


_OF_CONSTANTS = (_parameters, _transpose_conv, _lstm)  # looked at first: a computed size is also of a wrong type
_RULES: dict[str, tuple[_Rule, ...]] = {
    "ADD": (),
    "AVERAGE_POOL_2D": (_no_activation,),
    "CONCATENATION": (_no_activation, _concatenation),
    "CONV_2D": (_parameters, _dilation),
    "DEPTHWISE_CONV_2D": (_parameters, _dilation),
    "EXPAND_DIMS": (_parameters,),
    "FULLY_CONNECTED": (_parameters, _fully_connected),
    "L2_NORMALIZATION": (),
    "LOGISTIC": (),
    "MAXIMUM": (),
    "MAX_POOL_2D": (_no_activation,),
    "MEAN": (_parameters, _reduction, _mean),
    "MINIMUM": (),
    "MUL": (),
    "PACK": (_pack,),
    "PAD": (_parameters, _pad),
    "PRELU": (_parameters, _prelu),
    "QUANTIZE": (),
    "REDUCE_MAX": (_parameters, _reduction),
    "REDUCE_MIN": (_parameters, _reduction),
    "RELU": (),
    "RELU6": (),
    "RELU_N1_TO_1": (),
    "RESHAPE": (_parameters,),
    "RESIZE_BILINEAR": (_parameters, _resize),
    "RESIZE_NEAREST_NEIGHBOR": (_parameters, _resize),
    "RSQRT": (),
    "SLICE": (_parameters,),
    "SOFTMAX": (_softmax,),
    "SPACE_TO_DEPTH": (),
    "SPLIT": (_split,),
    "SQUARED_DIFFERENCE": (),
    "SQUEEZE": (_squeeze,),
    "STRIDED_SLICE": (_parameters, _strided_slice),
    "SUB": (),
    "SUM": (_parameters, _reduction),
    "TANH": (),
    "TRANSPOSE": (_parameters,),
    "TRANSPOSE_CONV": (_transpose_conv,),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": (_lstm,),
}
