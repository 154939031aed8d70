"""JSON from outside, read strictly: into dataclasses, with nothing unknown, missing, doubled or infinite."""

from __future__ import annotations

import json
import math
import types
import typing
from dataclasses import fields, is_dataclass
from typing import Any, Literal, TypeVar

from edge_cns.errors import BadInputError

__all__ = ["load_json", "parse"]

_T = TypeVar("_T")


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


def parse(kind: type[_T], value: Any, where: str) -> _T:
    """Build a dataclass from parsed JSON, strictly: unknown, missing or wrongly typed fields are refused.

    Args:
        kind: a dataclass of strings, numbers, booleans, literals, tuples, dataclasses, and any of these or ``None``.
        value: what `load_json` returned.
        where: what an error calls it.

    Raises:
        BadInputError: the text names the field.
    """
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
        return parse(typing.cast("type[Any]", hint), value, where)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value) if abs(value) < 2**53 else math.inf
    if type(value) is not hint or (hint is float and not math.isfinite(value)):
        raise BadInputError(f"{where} is {value!r}, expected {hint.__name__}")
    return value
