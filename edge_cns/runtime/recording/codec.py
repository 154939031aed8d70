"""What is kept, as bytes and back: observations, verdicts, the engine's outputs, frames and records.

A payload is the length of its JSON, the JSON, and what is attached: with a result its int8 outputs, one after the
other, and the frame as PNG.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from edge_cns.contract import OUTPUTS
from edge_cns.errors import BadInputError
from edge_cns.frames import EventKind, Frame, Region
from edge_cns.runtime.live.observations import (
    Arrived,
    Control,
    EngineChanged,
    Machine,
    Observation,
    Pictured,
    Result,
    SourceEnded,
    Tick,
    Unusable,
    Verified,
)
from edge_cns.runtime.recording.picture import decode_frame, encode_frame
from edge_cns.strict_json import load_json, parse

__all__ = ["Entry", "KeptResult", "Seen", "decode", "encode", "pack", "unpack"]

_LENGTH = struct.Struct(">I")
_LARGEST_JSON = 4 * 2**20
_LARGEST_WHOLE = 2**63
_SIMPLE = {
    kind.__name__: kind
    for kind in (Arrived, Pictured, Verified, EngineChanged, Machine, Unusable, SourceEnded, Control, Tick)
}
_WHOLE_OF_VERDICT = ("emitted_ns", "captured_ns", "sequence")
_TEXT_OF_VERDICT = ("state", "reason")


@dataclass(slots=True, eq=False)
class Entry:
    """What is to be kept of one observation.

    Attributes:
        seen: a result without its frame.
        frame: of a result; ``None`` where it is not kept.
        outputs: of a result.
        records: type and value of what the monitor said.
        lost_before: observations just before this one that were not kept.
    """

    seen: Observation
    frame: Frame | None = None
    outputs: Mapping[str, NDArray[np.int8]] | None = None
    records: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    lost_before: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class KeptResult:
    """A result as it was kept.

    Attributes:
        now_ns: when the engine had answered.
        arrived_ns: when the frame came.
        verdict: as it was said: its JSON, and ``region``.
        stages_ms: what each stage took.
        outputs: int8 by name, without their batch axis.
        frame: ``None`` where it was not kept.
    """

    now_ns: int
    arrived_ns: int
    verdict: Mapping[str, Any]
    stages_ms: Mapping[str, float]
    outputs: Mapping[str, NDArray[np.int8]]
    frame: Frame | None


Seen: TypeAlias = "Arrived | Pictured | Verified | EngineChanged | Machine | Unusable | SourceEnded | Control | Tick"


def encode(entry: Entry) -> bytes:
    """The payload of an entry.

    Raises:
        ValueError, TypeError, cv2.error: something in it has no such form.
    """
    seen, records = entry.seen, [list(record) for record in entry.records]
    if not isinstance(seen, Result):
        values = {field.name: getattr(seen, field.name) for field in fields(seen)}
        return pack({"seen": type(seen).__name__, "values": values, "records": records})
    assert entry.outputs is not None
    region, frame = seen.region, entry.frame
    outputs = {name: np.ascontiguousarray(entry.outputs[name], np.int8) for name in OUTPUTS}
    value = {
        "seen": "Result",
        "now_ns": seen.now_ns,
        "arrived_ns": seen.arrived_ns,
        "verdict": seen.verdict.to_json() | {"region": [region.x, region.y, region.width, region.height]},
        "stages_ms": dict(seen.stages_ms),
        "outputs": {name: list(values.shape) for name, values in outputs.items()},
        "frame": None,
        "records": records,
    }
    attached = [values.tobytes() for values in outputs.values()]
    if frame is not None:
        value["frame"], picture = encode_frame(frame)
        attached.append(picture)
    return pack(value, *attached)


def decode(value: Mapping[str, Any], attached: memoryview, where: str) -> tuple[Seen | KeptResult, list[Any]]:
    """The observation, and the records that followed, from what `unpack` gave.

    Raises:
        BadInputError: it is none; the text begins with ``where``.
    """
    try:
        records = value["records"]
        if not isinstance(records, list):
            raise BadInputError("its records are no list")
        if value["seen"] == "Result":
            return _result(value, attached), records
        return _simple(value), records
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise BadInputError(f"{where}: it holds no observation ({error}); copy the recording again") from None


def pack(value: Mapping[str, Any], *attached: bytes) -> bytes:
    """A payload.

    Raises:
        ValueError, TypeError: the value has no JSON form.
    """
    text = json.dumps(value, allow_nan=False, separators=(",", ":")).encode()
    return b"".join((_LENGTH.pack(len(text)), text, *attached))


def unpack(payload: bytes, where: str) -> tuple[Mapping[str, Any], memoryview]:
    """The JSON object of a payload, and what is attached.

    Raises:
        BadInputError: it is none; the text begins with ``where``.
    """
    view = memoryview(payload)
    length = _LENGTH.unpack_from(payload)[0] if len(payload) >= _LENGTH.size else len(payload)
    end = _LENGTH.size + length
    if end > len(payload) or length > _LARGEST_JSON:
        raise BadInputError(f"{where}: it has no text of {length} bytes; copy the recording again")
    value = load_json(bytes(view[_LENGTH.size : end]), where)
    if not isinstance(value, dict):
        raise BadInputError(f"{where}: its text is no object; copy the recording again")
    return value, view[end:]


def _simple(value: Mapping[str, Any]) -> Seen:
    kind, values = _SIMPLE[value["seen"]], value["values"]
    for number in values.values():
        if isinstance(number, int) and abs(number) >= _LARGEST_WHOLE:
            raise BadInputError("a number is too large")
    if kind is Machine:
        return Machine(_whole(values["now_ns"]), EventKind(values["kind"]), str(values["value"]))
    return cast(Seen, parse(kind, values, "it"))


def _result(value: Mapping[str, Any], attached: memoryview) -> KeptResult:
    verdict = value["verdict"]
    for name in _WHOLE_OF_VERDICT:
        _whole(verdict[name])
    if not all(type(verdict[name]) is str for name in _TEXT_OF_VERDICT):
        raise BadInputError("its verdict has no text")
    if type(verdict["latency_ms"]) is not float or not math.isfinite(verdict["latency_ms"]):
        raise BadInputError("its verdict has no latency")
    Region(*map(_whole, verdict["region"]))
    stages = value["stages_ms"]
    if not all(type(spent) is float and math.isfinite(spent) for spent in stages.values()):
        raise BadInputError("what a stage took is no time")
    outputs: dict[str, NDArray[np.int8]] = {}
    for name in OUTPUTS:
        shape = tuple(map(_whole, value["outputs"][name]))
        size = math.prod(shape)
        if len(shape) > 3 or min(shape, default=1) < 1 or size > len(attached):
            raise BadInputError(f"{name} has the shape {shape}")
        outputs[name] = np.frombuffer(attached[:size], np.int8).reshape(shape)
        attached = attached[size:]
    frame = None if value["frame"] is None else decode_frame(value["frame"], attached)
    return KeptResult(_whole(value["now_ns"]), _whole(value["arrived_ns"]), verdict, stages, outputs, frame)


def _whole(value: Any) -> int:
    if type(value) is not int or abs(value) >= _LARGEST_WHOLE:
        raise BadInputError(f"{str(value)[:40]!r} is no whole number of 64 bits")
    return value
