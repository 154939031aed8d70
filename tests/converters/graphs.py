"""TFLite files made of operators that nobody has trained."""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

__all__ = ["Maker"]


class Maker:
    """A graph under construction: tensors and operators are added in order, then `model` packs it."""

    def __init__(self) -> None:
        self._tensors: list[Any] = []
        self._buffers: list[Any] = [schema.BufferT()]
        self._codes: list[Any] = []
        self._operators: list[Any] = []

    def tensor(self, *shape: int, dtype: str = "INT8", data: NDArray[Any] | None = None, variable: bool = False) -> int:
        made = schema.TensorT()
        made.name, made.shape, made.type = f"t{len(self._tensors)}", list(shape), getattr(schema.TensorType, dtype)
        made.isVariable = variable
        if dtype in ("INT8", "UINT8", "INT16"):
            made.quantization = schema.QuantizationParametersT()
            made.quantization.scale, made.quantization.zeroPoint = [0.5], [0]
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = list(data.tobytes())
            made.buffer = len(self._buffers)
            self._buffers.append(buffer)
        self._tensors.append(made)
        return len(self._tensors) - 1

    def constant(self, *values: int, dtype: str = "INT32") -> int:
        return self.tensor(len(values), dtype=dtype, data=np.array(values, dtype.lower()))

    def add(self, name: str, inputs: list[int], outputs: list[int], **options: Any) -> None:
        """``name`` as in `schema.BuiltinOperator`, or of a custom operator; ``options`` as in its table of options."""
        code, operator = schema.OperatorCodeT(), schema.OperatorT()
        builtin = getattr(schema.BuiltinOperator, name, None)
        code.builtinCode = schema.BuiltinOperator.CUSTOM if builtin is None else builtin
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        code.customCode = name if builtin is None else None
        operator.inputs, operator.outputs, operator.opcodeIndex = inputs, outputs, len(self._codes)
        if options:
            kind = options.pop("kind")
            operator.builtinOptions = getattr(schema, f"{kind}T")()
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, kind)
            vars(operator.builtinOptions).update(options)
        self._codes.append(code)
        self._operators.append(operator)

    def model(self, inputs: list[int], outputs: list[int]) -> bytes:
        graph, root = schema.SubGraphT(), schema.ModelT()
        graph.tensors, graph.operators, graph.inputs, graph.outputs = self._tensors, self._operators, inputs, outputs
        root.version, root.subgraphs, root.buffers, root.operatorCodes = 3, [graph], self._buffers, self._codes
        builder = schema.flatbuffers.Builder(1024)
        builder.Finish(root.Pack(builder), b"TFL3")
        return bytes(builder.Output())
