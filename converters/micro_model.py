"""What a firmware must know of an int8 model: its tensors by name, and the operators it has to link."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from edge_cns.contract import OUTPUTS, SIGNATURE
from edge_cns.errors import BadInputError, UnsupportedError

__all__ = ["ModelFacts", "TensorFacts", "read_model"]

_METHODS = {"BATCH_MATMUL": "BatchMatMul"}  # not named after its operator as the others are


@dataclass(frozen=True, slots=True)
class TensorFacts:
    """An int8 input or output.

    Attributes:
        name: in the signature.
        index: among the model's inputs, or among its outputs.
        shape: with the batch, which is 1.
        scale, zero_point: a value q means ``(q - zero_point) * scale``.
    """

    name: str
    index: int
    shape: tuple[int, ...]
    scale: float
    zero_point: int


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """A model's face to a firmware.

    Attributes:
        input: the image.
        outputs: in the order of `OUTPUTS`.
        operators: as the methods ``Add...`` of TensorFlow Lite Micro's resolver call them, sorted.
    """

    input: TensorFacts
    outputs: tuple[TensorFacts, ...]
    operators: tuple[str, ...]


def read_model(model: bytes) -> ModelFacts:
    """Read a bundle's ``model.tflite``.

    Raises:
        BadInputError: not a TFLite model.
        UnsupportedError: no such signature, a tensor that is not int8, or a custom operator; the text names it.
    """
    try:
        root = schema.ModelT.InitFromPackedBuf(model, 0)
        graph = root.subgraphs[0]
    except Exception as error:  # the reader checks nothing: damage ends in whatever the bytes lead to
        reason = " ".join(str(error).split())[:200]
        raise BadInputError(f"model.tflite is not a TFLite model ({reason}); fetch the bundle again") from None
    signature = next((s for s in root.signatureDefs or () if s.signatureKey == SIGNATURE.encode()), None)
    if signature is None or len(signature.inputs) != 1:
        raise UnsupportedError(f"model.tflite has no signature {SIGNATURE!r} with one input; convert the model again")
    outputs = {row.name.decode(): int(row.tensorIndex) for row in signature.outputs}
    if missing := [name for name in OUTPUTS if name not in outputs]:
        raise UnsupportedError(f"model.tflite has no output {missing[0]!r}; convert the model again")
    return ModelFacts(
        input=_tensor("image", int(signature.inputs[0].tensorIndex), graph.inputs, graph),
        outputs=tuple(_tensor(name, outputs[name], graph.outputs, graph) for name in OUTPUTS),
        operators=tuple(sorted({_method(code) for code in root.operatorCodes})),
    )


def _tensor(name: str, number: int, places: Any, graph: Any) -> TensorFacts:
    tensor = graph.tensors[number]
    if tensor.type != schema.TensorType.INT8 or tensor.quantization is None or len(tensor.quantization.scale) != 1:
        raise UnsupportedError(f"tensor {name!r} of model.tflite is not int8 with one scale; convert the model again")
    return TensorFacts(
        name=name,
        index=[int(place) for place in places].index(number),
        shape=tuple(int(side) for side in tensor.shape),
        scale=float(tensor.quantization.scale[0]),
        zero_point=int(tensor.quantization.zeroPoint[0]),
    )


def _method(code: Any) -> str:
    if code.customCode is not None:
        raise UnsupportedError(f"model.tflite has the custom operator {code.customCode.decode()!r}; none can be linked")
    number = max(int(code.builtinCode), int(code.deprecatedBuiltinCode))
    name = next(key for key, value in vars(schema.BuiltinOperator).items() if value == number)
    return _METHODS.get(name) or "".join(word if word[0].isdigit() else word.capitalize() for word in name.split("_"))
