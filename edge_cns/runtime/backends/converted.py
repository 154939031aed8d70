"""What engines of converted models share: float inside, and outside the very tensors of the bundle's ``model.tflite``.

A converted network takes and gives float32. Its image and its outputs are passed on as int8 with the bundle's own
scales and zero points, so that everything behind an engine (decision, recording, fallback) is the same for all.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_cns.contract import OUTPUTS
from edge_cns.errors import BadInputError, InitialisationError, OperationError, UnsupportedError, brief
from edge_cns.preprocess import as_float
from edge_cns.runtime.backends.base import Backend
from edge_cns.runtime.backends.packed import unpack
from edge_cns.strict_json import load_json, parse

__all__ = ["TENSORS", "ConvertedModel", "TensorFact", "tensor_facts"]

TENSORS = "tensors.json"
"""Name, among a converted model's files, of what `TensorFact` says of image and outputs, and of the logits' shift."""
_SHIFTED = ("logits", "cam")


@dataclass(frozen=True, slots=True)
class TensorFact:
    """A tensor as ``model.tflite`` has it: shape with the batch axis, scale and zero point."""

    shape: tuple[int, ...]
    scale: float
    zero_point: int


@dataclass(frozen=True, slots=True)
class _Facts:
    """Content of `TENSORS`."""

    image: TensorFact
    logits: TensorFact
    cam: TensorFact
    embedding: TensorFact
    shift: tuple[float, ...]
    """By class, what rounding adds to the mean logit; taken off the logits and the maps that they are averages of."""


def tensor_facts(engine: Backend) -> dict[str, TensorFact]:
    """Of ``model.tflite`` on an engine: what its conversions have to keep."""
    shapes = {"image": engine.input().shape} | {name: engine.output(name).shape for name in OUTPUTS}
    return {name: TensorFact(shape, *engine.quantisation(name)) for name, shape in shapes.items()}


class ConvertedModel(ABC):
    """Base of engines with a float32 input ``image`` and float32 outputs by signature name.

    Args:
        files: content by name, with `TENSORS`.
        shapes: that the engine found of ``image`` and the outputs.

    Raises:
        InitialisationError: `TENSORS` is missing or damaged.
        UnsupportedError: the engine's tensors are others.
    """

    name = ""
    version = ""

    def __init__(self, files: Mapping[str, bytes], shapes: Mapping[str, tuple[int, ...]]) -> None:
        try:
            facts = parse(_Facts, load_json(files[TENSORS], TENSORS), TENSORS)
        except (KeyError, BadInputError) as error:
            raise InitialisationError(
                f"{TENSORS} of the converted model is not valid ({error}); convert it again"
            ) from None
        self._shift = np.array(facts.shift, np.float32)
        self._facts: dict[str, TensorFact] = {n: getattr(facts, n) for n in ("image", *OUTPUTS)}
        for name, fact in self._facts.items():
            if shapes.get(name) != fact.shape:
                raise UnsupportedError(
                    f"the converted model has {name!r} of shape {shapes.get(name)}, the bundle of {fact.shape}; "
                    "convert the bundle again"
                )
            if not fact.scale > 0:
                raise InitialisationError(f"{TENSORS} has scale {fact.scale} for {name!r}; convert the bundle again")
        if self._shift.shape != facts.logits.shape[1:]:
            raise InitialisationError(f"{TENSORS} has {self._shift.size} shifts of logits; convert the bundle again")
        self._image = np.zeros(facts.image.shape, np.int8)
        self._outputs = {name: np.zeros(self._facts[name].shape, np.int8) for name in OUTPUTS}

    @staticmethod
    def member(model: bytes, name: str) -> tuple[dict[str, bytes], bytes]:
        """All files of a packed model, and one of them.

        Raises:
            InitialisationError: it is not packed, or that file is not in it.
        """
        files = unpack(model)
        if name not in files:
            raise InitialisationError(f"the converted model has no {name}; it is for another engine")
        return files, files[name]

    @abstractmethod
    def run(self, image: NDArray[np.float32]) -> Mapping[str, NDArray[np.float32]]:
        """Run the engine: ``(1, H, W, 1)`` in [0, 1] to the outputs by name. An engine's own error may be raised."""

    def input(self) -> NDArray[Any]:
        """See `Backend.input`."""
        return self._image

    def invoke(self) -> None:
        """See `Backend.invoke`."""
        pixels = self._image.view(np.uint8)[..., 0] ^ np.uint8(0x80)  # as `edge_cns.preprocess.quantise_into` wrote it
        try:
            outputs = self.run(as_float(pixels))
        except Exception as error:  # every engine has its own
            reason = brief(error)
            raise OperationError(f"{self.name} failed to run the model ({reason})") from None
        for name, kept in self._outputs.items():
            fact, values = self._facts[name], outputs[name]
            if name in _SHIFTED:
                values = values - self._shift
            if not np.isfinite(values).all():
                raise OperationError(f"{self.name} gave {name} that are no numbers")
            kept[:] = np.clip(np.rint(values / np.float32(fact.scale)) + fact.zero_point, -128, 127)

    def output(self, name: str) -> NDArray[Any]:
        """See `Backend.output`."""
        return self._outputs[name].copy()

    def quantisation(self, name: str) -> tuple[float, int]:
        """See `Backend.quantisation`."""
        fact = self._facts[name]
        return fact.scale, fact.zero_point

    def dtype(self, name: str) -> np.dtype[Any]:
        """See `Backend.dtype`: int8."""
        return np.dtype(np.int8)
