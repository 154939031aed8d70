"""What the runtime and the engine's process share: tensors in a sealed memory file, and a message for each run.

A socket of whole messages (SEQPACKET) tells the other side's death at once. Pixels never pass through it: a slot of
the shared memory holds an input and its outputs, and a message names the slot.

    process -> runtime   JSON hello: the engine's name and version, and its tensors; or what went wrong
    runtime -> process   JSON: the place of every tensor, with the descriptor of the memory
    runtime -> process   REQUEST: number, slot
    process -> runtime   REPLY: number, slot, nanoseconds of the run; or an error's text after it
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_cns.errors import InitialisationError
from edge_cns.runtime.sealed import sealed_memory

__all__ = ["IMAGE", "LARGEST_MESSAGE", "REPLY", "REQUEST", "SLOTS", "Tensor", "TensorMemory"]

SLOTS = 3
"""Two frames in turn, so that one is prepared while the other runs, and one for the check."""
IMAGE = "image"
"""Name of the input among the tensors."""
REQUEST = struct.Struct("<QB")
REPLY = struct.Struct("<QBq")
LARGEST_MESSAGE = 65536

_ALIGNMENT = 64
_LARGEST_TENSOR = 2**26  # bytes: what an engine may make us allocate


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input or output of the model: shape, dtype, scale and zero point."""

    shape: tuple[int, ...]
    dtype: str
    scale: float
    zero_point: int

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Tensor:
        """Read what the engine's process says.

        Raises:
            InitialisationError: no tensor, or one too large.
        """
        try:
            tensor = cls(
                tuple(int(side) for side in value["shape"]),
                np.dtype(str(value["dtype"])).str,
                float(value["scale"]),
                int(value["zero_point"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InitialisationError(f"the engine describes a tensor that is none ({error})") from None
        if min(tensor.shape, default=1) < 1 or tensor.size > _LARGEST_TENSOR:
            raise InitialisationError(f"the engine asks for a tensor of shape {tensor.shape}; that is no frame's")
        return tensor

    @property
    def size(self) -> int:
        """Bytes."""
        return int(np.prod(self.shape, dtype=np.int64)) * np.dtype(self.dtype).itemsize


class TensorMemory:
    """Shared memory with `SLOTS` copies of every tensor.

    Args:
        tensors: by name, in an order that both sides agree on.
        descriptor: of the memory; ``None`` makes it.
    """

    def __init__(self, tensors: Mapping[str, Tensor], descriptor: int | None = None) -> None:
        places, offset = [], 0
        for _ in range(SLOTS):
            slot = {}
            for name, tensor in tensors.items():
                slot[name] = offset
                offset += -(-tensor.size // _ALIGNMENT) * _ALIGNMENT
            places.append(slot)
        self.descriptor = sealed_memory("tensors", offset) if descriptor is None else descriptor
        self._memory = mmap.mmap(self.descriptor, offset)
        self._views = [
            {
                name: np.ndarray(tensors[name].shape, tensors[name].dtype, self._memory, start)
                for name, start in slot.items()
            }
            for slot in places
        ]

    def view(self, slot: int, name: str) -> NDArray[Any]:
        """The shared memory itself."""
        return self._views[slot][name]

    def close(self) -> None:
        """Give the memory back; the other side keeps its own mapping."""
        self._views = []
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1
