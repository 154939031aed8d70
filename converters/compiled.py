"""What a vendor's compiler has made of a bundle's network: whether it is still the same from outside."""

from __future__ import annotations

from typing import Any

from converters.micro_model import read_model
from converters.tflite_graph import Tensor, read_graph
from edge_cns.errors import UnsupportedError

__all__ = ["output_places"]


def output_places(source: bytes, compiled: bytes, compiler: str) -> dict[str, int]:
    """Where the bundle's outputs are among a compiled model's: compilers drop the signature that names them.

    Args:
        source: the bundle's ``model.tflite``.
        compiled: what the compiler has made.
        compiler: its name, for a person.

    Raises:
        UnsupportedError: the compiled model has another input, or lacks an output.
    """
    before, after = read_graph(source, "model.tflite"), read_graph(compiled, "the compiled model")
    wrong = UnsupportedError(
        f"the model that {compiler} made is not of the bundle's form; use another version of {compiler}"
    )
    if [_form(t) for t in before.inputs] != [_form(t) for t in after.inputs]:
        raise wrong
    there = {(tensor.name, _form(tensor)): place for place, tensor in enumerate(after.outputs)}
    wanted = {fact.name: before.outputs[fact.index] for fact in read_model(source).outputs}
    if any((tensor.name, _form(tensor)) not in there for tensor in wanted.values()):
        raise wrong
    return {name: there[tensor.name, _form(tensor)] for name, tensor in wanted.items()}


def _form(tensor: Tensor) -> tuple[Any, ...]:
    return tensor.shape, tensor.dtype, tensor.scales, tensor.zero_points
