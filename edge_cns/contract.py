"""The contract: everything a model expects of a frame, and everything its outputs mean.

One frozen dataclass, stored as ``contract.json`` in a bundle. Training, conversion, evaluation and runtime
all read it; none of them keeps a second opinion. ``contract.schema.json`` beside this file is its JSON Schema.
"""

from __future__ import annotations

import json
import math
import re
import types
import typing
from dataclasses import asdict, dataclass, fields, is_dataclass
from typing import Any, Literal, TypeVar

from edge_cns.errors import BadInputError, UnsupportedError
from edge_cns.frames import Region

__all__ = [
    "INPUT_SCALE",
    "INPUT_ZERO_POINT",
    "OUTPUTS",
    "SCHEMA_VERSION",
    "SIGNATURE",
    "ClassDefinition",
    "Contract",
    "Decision",
    "InputSpec",
    "IntendedUse",
    "load_json",
]

SCHEMA_VERSION = 1
SIGNATURE = "serving_default"
"""TFLite signature through which inputs and outputs are found."""
OUTPUTS = ("logits", "cam", "embedding")
"""Signature names of the outputs: ``(1, K)``, ``(1, h, w, K)`` and ``(1, C)``."""
INPUT_SCALE = 1 / 255
INPUT_ZERO_POINT = -128
"""A pixel p is the int8 value p - 128, which is p / 255 to the graph: exact for all 256 grey levels."""

_T = TypeVar("_T")
_MAX_CLASSES = 256
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class ClassDefinition:
    """A class by the name that labels use, and what a reader should understand by it."""

    name: str
    definition: str = ""

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise BadInputError("contract: a class has an empty name; give each class the name its labels use")
        if _CONTROL.search(self.name):
            raise BadInputError(f"contract: class name {self.name!r} has control characters; give it plain text")


@dataclass(frozen=True, slots=True)
class InputSpec:
    """How a frame becomes the input tensor ``(1, height, width, 1)``.

    Attributes:
        height, width: of the tensor, px.
        region: ``auto`` finds the ultrasound image in the frame (a region that the frame itself carries is
            believed first), ``whole`` takes the frame, ``fixed`` takes ``fixed_region``.
        fixed_region: pixels of the source frame; only with ``region="fixed"``.
        letterbox: keep the aspect ratio and pad with black; otherwise stretch.
    """

    height: int
    width: int
    region: Literal["auto", "whole", "fixed"] = "auto"
    fixed_region: Region | None = None
    letterbox: bool = True

    def __post_init__(self) -> None:
        if not (32 <= self.height <= 1024 and 32 <= self.width <= 1024):
            raise BadInputError(f"contract: input is {self.width}x{self.height} px; sides must be 32 to 1024")
        if (self.region == "fixed") != (self.fixed_region is not None):
            raise BadInputError("contract: region 'fixed' and fixed_region go together; give both or neither")


@dataclass(frozen=True, slots=True)
class Decision:
    """How scores become a statement. Without calibration the temperature is 1 and nothing abstains.

    Attributes:
        calibrated: whether ``temperature`` was fitted on calibration patients.
        temperature: divisor of the logits before softmax (Guo et al. 2017).
    """

    calibrated: bool = False
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if not 0.01 <= self.temperature <= 100:
            raise BadInputError(f"contract: temperature is {self.temperature}; it must be 0.01 to 100")


@dataclass(frozen=True, slots=True)
class IntendedUse:
    """What the model was made for. Outside it, nothing is claimed.

    Attributes:
        statement: one sentence that is shown to people.
        planes: standard planes in the training data; empty when they were not recorded.
        gestational_age_weeks: lowest and highest in the training data, or ``None``.
        modes: imaging modes, as DICOM names them (``B`` is two-dimensional grey scale).
        mm_per_pixel: smallest and largest pixel spacing in the training data in mm, or ``None``.
        phantom: the training data contain simulated frames, so no figure is a clinical one.
    """

    statement: str
    planes: tuple[str, ...] = ()
    gestational_age_weeks: tuple[float, float] | None = None
    modes: tuple[str, ...] = ("B",)
    mm_per_pixel: tuple[float, float] | None = None
    phantom: bool = False

    def __post_init__(self) -> None:
        for name in ("gestational_age_weeks", "mm_per_pixel"):
            span = getattr(self, name)
            if span is not None and not 0 < span[0] <= span[1] < math.inf:
                raise BadInputError(f"contract: {name} is {span}; give the lowest and the highest, above 0")


@dataclass(frozen=True, slots=True)
class Contract:
    """All that a program needs to know to feed a model and to read it.

    Raises:
        BadInputError: a value out of range, classes unsorted or doubled; the text names the field.
    """

    classes: tuple[ClassDefinition, ...]
    input: InputSpec
    intended_use: IntendedUse
    decision: Decision = Decision()
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        if self.schema_version != SCHEMA_VERSION:
            raise UnsupportedError(
                f"contract schema_version is {self.schema_version}, this program reads {SCHEMA_VERSION}; "
                "use the edge-cns that wrote it"
            )
        names = self.class_names
        if not 2 <= len(names) <= _MAX_CLASSES:
            raise BadInputError(f"contract: {len(names)} classes; a classifier has 2 to {_MAX_CLASSES}")
        if list(names) != sorted(set(names)):
            raise BadInputError("contract: class names must be sorted and distinct, so that order is never chance")

    @property
    def class_names(self) -> tuple[str, ...]:
        """Class names in the order of the model's outputs: always sorted."""
        return tuple(c.name for c in self.classes)

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready mapping; ``from_json`` is its inverse."""
        value: dict[str, Any] = json.loads(json.dumps(asdict(self), allow_nan=False))
        return value

    @classmethod
    def from_json(cls, value: Any) -> Contract:
        """Build from parsed JSON, strictly: unknown, missing or wrongly typed fields are refused."""
        return _parse(cls, value, "contract")

    @classmethod
    def from_bytes(cls, content: bytes) -> Contract:
        """Parse ``contract.json``."""
        return cls.from_json(load_json(content, "contract.json"))


def load_json(content: bytes, name: str) -> Any:
    """Parse strict JSON: no NaN, no infinities, no key twice.

    Raises:
        BadInputError: not such JSON; the text names the file and the place.
    """

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not JSON")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({key for key, _ in pairs}) != len(pairs):
            raise ValueError("a key occurs twice")
        return dict(pairs)

    try:
        return json.loads(content.decode("utf-8"), parse_constant=refuse, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise BadInputError(f"{name} is not valid JSON ({error}); fetch it again") from None


def _parse(kind: type[_T], value: Any, where: str) -> _T:
    if not isinstance(value, dict):
        raise BadInputError(f"{where} is {type(value).__name__}, expected an object")
    hints = typing.get_type_hints(kind)
    known = {f.name: f for f in fields(kind)}  # type: ignore[arg-type]
    if unknown := sorted(set(value) - set(known)):
        raise BadInputError(f"{where} has an unknown field {unknown[0]!r}; it may need a newer edge-cns")
    if missing := sorted(set(known) - set(value)):
        raise BadInputError(f"{where} lacks the field {missing[0]!r}")
    return kind(**{name: _convert(hints[name], value[name], f"{where}.{name}") for name in known})


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return None if value is None else _convert(next(a for a in arguments if a is not type(None)), value, where)
    if origin is Literal:
        if value not in arguments:
            raise BadInputError(f"{where} is {value!r}; it must be one of {', '.join(map(str, arguments))}")
        return value
    if origin is tuple:
        if not isinstance(value, list):
            raise BadInputError(f"{where} is {value!r}, expected a list")
        if arguments[-1] is Ellipsis:
            return tuple(_convert(arguments[0], v, f"{where}[{i}]") for i, v in enumerate(value))
        if len(value) != len(arguments):
            raise BadInputError(f"{where} has {len(value)} values, expected {len(arguments)}")
        return tuple(_convert(a, v, f"{where}[{i}]") for i, (a, v) in enumerate(zip(arguments, value, strict=True)))
    if is_dataclass(hint):
        return _parse(typing.cast("type[Any]", hint), value, where)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value) if abs(value) < 2**53 else math.inf
    if type(value) is not hint or (hint is float and not math.isfinite(value)):
        raise BadInputError(f"{where} is {value!r}, expected {hint.__name__}")
    return value
