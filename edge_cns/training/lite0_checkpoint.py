"""Read EfficientNet-Lite0's weights from its PyTorch checkpoint into the order and layout of Keras's layers."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from edge_cns.errors import BadInputError
from edge_cns.training import torch_checkpoint

__all__ = ["read"]

_OUTSIDE_BLOCKS = {"stem": "_conv_stem", "stem_BN": "_bn0", "head": "_conv_head", "head_BN": "_bn1"}
_IN_BLOCK = {
    "expand": "_expand_conv",
    "expand_BN": "_bn0",
    "depthwise": "_depthwise_conv",
    "depthwise_BN": "_bn1",
    "project": "_project_conv",
    "project_BN": "_bn2",
}
_NORM = ("weight", "bias", "running_mean", "running_var")  # Keras: gamma, beta, moving mean, moving variance


def read(
    content: bytes, shapes: Mapping[str, list[tuple[int, ...]]], *, source: str
) -> dict[str, list[NDArray[np.float32]]]:
    """Read the layers that the network needs; the checkpoint's classifier is left alone.

    Args:
        content: the file.
        shapes: for each layer the shapes of its weights, in Keras's order and layout.
        source: what to call the file in an error.

    Returns:
        For each layer of ``shapes`` its weights, float32, in Keras's layout: kernels ``(k, k, in, out)``, depthwise
        kernels ``(k, k, channels, 1)``.

    Raises:
        BadInputError: not such a checkpoint, damaged, or of another network (the text names the layer).
    """
    tensors = torch_checkpoint.read(content, source=source)
    return {layer: _read_layer(tensors, layer, shapes[layer], source) for layer in shapes}


def _read_layer(
    tensors: Mapping[str, NDArray[np.generic]], layer: str, shapes: list[tuple[int, ...]], source: str
) -> list[NDArray[np.float32]]:
    prefix = _torch_name(layer)
    names = [f"{prefix}.{part}" for part in (_NORM if layer.endswith("_BN") else ("weight",))]
    missing = [name for name in names if name not in tensors]
    if missing:
        raise BadInputError(f"{source} has no tensor {missing[0]}; give a checkpoint of EfficientNet-Lite0")
    arrays = [tensors[name] for name in names]
    if arrays[0].ndim == 4:  # PyTorch writes (out, in, k, k), and (channels, 1, k, k) where each has its own kernel
        axes = (2, 3, 0, 1) if layer.endswith("depthwise") else (2, 3, 1, 0)
        arrays = [arrays[0].transpose(axes)]
    found = [array.shape for array in arrays]
    if found != shapes:
        raise BadInputError(
            f"{source} has shapes {found} for layer {layer}, not {shapes}; give a checkpoint of EfficientNet-Lite0"
        )
    return [array.astype(np.float32) for array in arrays]


def _torch_name(layer: str) -> str:
    if layer in _OUTSIDE_BLOCKS:
        return _OUTSIDE_BLOCKS[layer]
    match = re.fullmatch(r"block_(\d+)_(\w+)", layer)
    assert match is not None, f"{layer} is no layer of EfficientNet-Lite0"
    return f"_blocks.{match[1]}.{_IN_BLOCK[match[2]]}"
