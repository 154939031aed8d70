"""Read weights from the HDF5 files of Keras 2, layer by layer, as Keras's own applications publish them."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_cns.errors import BadInputError, MissingExtraError

__all__ = ["SIGNATURE", "read"]

SIGNATURE = b"\x89HDF\r\n\x1a\n"
"""How an HDF5 file begins."""


def read(
    content: bytes, shapes: Mapping[str, list[tuple[int, ...]]], *, source: str
) -> dict[str, list[NDArray[np.float32]]]:
    """Read the layers that a network needs. Other layers of the file, such as its classifier, are left alone.

    Args:
        content: the file.
        shapes: for each layer the shapes of its weights, in Keras's order. The file may write ``/`` for ``_``.
        source: what to call the file in an error.

    Returns:
        For each layer of ``shapes`` its weights, float32.

    Raises:
        BadInputError: not such a file, damaged, or of another network (the text names the layer).
    """
    try:
        import h5py
    except ModuleNotFoundError as error:
        raise MissingExtraError("h5py", "train") from error
    if not content.startswith(SIGNATURE):
        raise BadInputError(f"{source} is no HDF5 file; give the .h5 weights file that Keras publishes")
    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            root = file.get("model_weights", file)  # a file of a whole model nests them
            groups = {_text(name).replace("/", "_"): root[_text(name)] for name in root.attrs["layer_names"]}
            return {layer: _read_layer(groups, layer, shapes[layer], source) for layer in shapes}
    except BadInputError:
        raise
    except (OSError, KeyError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise BadInputError(f"{source} is damaged or no Keras weights file ({reason}); fetch it again") from error


def _text(name: Any) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)


def _read_layer(
    groups: Mapping[str, Any], layer: str, shapes: list[tuple[int, ...]], source: str
) -> list[NDArray[np.float32]]:
    if layer not in groups:
        raise BadInputError(f"{source} has no layer {layer}; give weights of the same backbone")
    group = groups[layer]
    stored = [group[_text(name)] for name in group.attrs["weight_names"]]
    found = [tuple(dataset.shape) for dataset in stored]
    if found != shapes:  # looked at before anything is read, so that a file cannot ask for any amount of memory
        raise BadInputError(
            f"{source} has shapes {found} in layer {layer}, not {shapes}; give weights of the same backbone and alpha"
        )
    return [np.asarray(dataset[()], dtype=np.float32) for dataset in stored]
