"""A TFLite file as a graph to look at: operators in order, and the tensors between them. Nothing is run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from edge_cns.errors import BadInputError

__all__ = ["Graph", "Operator", "Tensor", "read_graph"]

_OPERATORS = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
_TYPES = {value: name.lower() for name, value in vars(schema.TensorType).items() if isinstance(value, int)}
_ACTIVATIONS = {v: name for name, v in vars(schema.ActivationFunctionType).items() if isinstance(v, int)}
_DTYPES = {"int8": np.int8, "uint8": np.uint8, "int16": np.int16, "int32": np.int32, "int64": np.int64}


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor of the graph.

    Attributes:
        index: its number in the subgraph.
        name: as the converter wrote it.
        shape: as stored; a size that is not known is below 1.
        dtype: ``int8``, ``uint8``, ``float32`` and so on.
        data: the content of a constant, flat bytes; ``None`` for what is computed or fed.
        scales, zero_points: one each, or one a channel; empty without quantisation.
        variable: state that lives from run to run.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    data: bytes | None
    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    variable: bool

    def values(self) -> NDArray[Any]:
        """A constant's numbers, flat.

        Raises:
            BadInputError: no such numbers are stored.
        """
        if self.data is None or self.dtype not in _DTYPES:
            raise BadInputError(f"tensor {self.name[:80]!r} is not a constant of whole numbers")
        size = np.dtype(_DTYPES[self.dtype]).itemsize
        return np.frombuffer(self.data[: len(self.data) // size * size], _DTYPES[self.dtype])


@dataclass(frozen=True, slots=True)
class Operator:
    """An operator.

    Attributes:
        name: ``CONV_2D`` and so on; a custom operator's own name.
        custom: the name is not one of TFLite's.
        inputs, outputs: tensors; ``None`` for an input that is left out.
        options: the operator's settings by their names in the schema; ``fusedActivationFunction`` by its name.
    """

    name: str
    custom: bool
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor, ...]
    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Graph:
    """The main subgraph of a model.

    Attributes:
        operators: in the order in which they run.
        inputs, outputs: the graph's own.
    """

    operators: tuple[Operator, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


def read_graph(model: bytes, name: str) -> Graph:
    """Read a model.

    Args:
        model: content of a ``.tflite`` file.
        name: what an error calls it.

    Raises:
        BadInputError: not a TFLite model, or a damaged one.
    """
    if model[4:8] != b"TFL3":
        raise BadInputError(f"{name} is not a TFLite model; give a .tflite file or a bundle")
    try:
        root = schema.ModelT.InitFromPackedBuf(model, 0)
        codes = [_code(code) for code in root.operatorCodes or ()]
        graph = root.subgraphs[0]
        tensors = [_tensor(number, tensor, root.buffers) for number, tensor in enumerate(graph.tensors or ())]
        operators = tuple(_operator(operator, codes, tensors) for operator in graph.operators or ())
        places = [tuple(_at(tensors, place) for place in _list(ends)) for ends in (graph.inputs, graph.outputs)]
    except Exception as error:  # the reader checks nothing: damage ends in whatever the bytes lead to
        reason = " ".join(str(error).split())[:200]
        raise BadInputError(f"{name} is not a TFLite model ({reason}); fetch or convert it again") from None
    return Graph(operators, *places)


def _code(code: Any) -> tuple[str, bool]:
    if code.customCode is not None:
        name = code.customCode.decode(errors="replace")[:80]
        return "".join(sign if sign.isprintable() else "?" for sign in name), True
    return _OPERATORS[max(int(code.builtinCode), int(code.deprecatedBuiltinCode))], False


def _tensor(number: int, tensor: Any, buffers: Any) -> Tensor:
    data = _at(buffers, tensor.buffer).data
    quantisation = tensor.quantization
    return Tensor(
        index=number,
        name=(tensor.name or b"").decode(errors="replace"),
        shape=tuple(int(side) for side in _list(tensor.shape)),
        dtype=_TYPES[tensor.type],
        data=bytes(data) if data is not None and len(data) else None,
        scales=tuple(float(s) for s in _list(quantisation and quantisation.scale)),
        zero_points=tuple(int(z) for z in _list(quantisation and quantisation.zeroPoint)),
        variable=bool(tensor.isVariable),
    )


def _operator(operator: Any, codes: list[tuple[str, bool]], tensors: list[Tensor]) -> Operator:
    name, custom = _at(codes, operator.opcodeIndex)
    options = dict(vars(operator.builtinOptions)) if operator.builtinOptions is not None else {}
    if "fusedActivationFunction" in options:
        options["fusedActivationFunction"] = _ACTIVATIONS[options["fusedActivationFunction"]]
    return Operator(
        name=name,
        custom=custom,
        inputs=tuple(None if place < 0 else _at(tensors, place) for place in _list(operator.inputs)),
        outputs=tuple(_at(tensors, place) for place in _list(operator.outputs)),
        options=options,
    )


def _list(values: Any) -> list[Any]:
    return [] if values is None else list(values)


def _at(items: Any, place: int) -> Any:
    if not 0 <= place < len(items):
        raise IndexError(f"{place} of {len(items)}")
    return items[place]
