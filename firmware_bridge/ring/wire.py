"""What passes through the ring's socket, as ``firmware_bridge/sdk/src/wire.h`` has it: one message a datagram.

    machine -> classifier   HELLO, with the descriptor of the ring; then FRAME and EVENT
    classifier -> machine   WELCOME or REFUSED; then RELEASE and RESULT

Both sides run on one little-endian machine. Text is UTF-8, ends with a NUL and is cut at the end of a character.
"""

from __future__ import annotations

import enum
import struct
from dataclasses import astuple, dataclass, fields
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from edge_cns.errors import BadInputError

__all__ = [
    "LARGEST",
    "LARGEST_HEAT",
    "MAX_CLASSES",
    "MAX_MEMORY",
    "MAX_SLOTS",
    "WANTS_HEAT_MAP",
    "Event",
    "EventCode",
    "FrameMessage",
    "Hello",
    "Kind",
    "Outcome",
    "Refused",
    "Release",
    "ResultFlag",
    "ResultMessage",
    "StateCode",
    "Welcome",
    "kind_of",
]

MAGIC, VERSION = 0x53434E45, 1
MAX_SLOTS = 32
MAX_MEMORY = 2**30
MAX_CLASSES = 256
LARGEST_HEAT = 4096
WANTS_HEAT_MAP = 1
_NAME, _VALUE, _TEXT = 64, 128, 256
_HEADER = struct.Struct("<IHH")


class Kind(enum.IntEnum):
    """Types of message."""

    HELLO = 1
    WELCOME = 2
    REFUSED = 3
    FRAME = 16
    EVENT = 17
    RELEASE = 32
    RESULT = 33


class EventCode(enum.IntEnum):
    """``edge_cns_event_kind``."""

    EXAM_START = 1
    EXAM_END = 2
    FETUS = 3
    FREEZE = 4
    UNFREEZE = 5
    CINE = 6
    PROBE = 7
    PRESET = 8
    DEPTH = 9
    MODE = 10
    ORIENTATION = 11
    GESTATIONAL_AGE = 12


class StateCode(enum.IntEnum):
    """``edge_cns_state``; the names are those of `edge_cns.decision.verdict.State`."""

    NO_SIGNAL = 0
    CLASS = 1
    INDETERMINATE = 2
    NOT_SUPPORTED_VIEW = 3
    FROZEN = 4


class Outcome(enum.IntEnum):
    """``edge_cns_outcome``; the names are those of `edge_cns.decision.statement.Outcome`."""

    NONE = 0
    FINDING = 1
    INDETERMINATE = 2
    NOT_SUPPORTED_VIEW = 3
    NO_LISTED_FINDING = 4


class ResultFlag(enum.IntFlag):
    """``edge_cns_result_flags``."""

    CALIBRATED = 1
    PROVEN = 2
    FALLBACK = 4
    HELD = 8
    CINE = 16


def kind_of(message: bytes) -> int:
    """Type of a message.

    Raises:
        BadInputError: it is none of this version.
    """
    if len(message) < _HEADER.size:
        raise BadInputError(f"a message of {len(message)} bytes; the shortest has {_HEADER.size}")
    magic, version, kind = _HEADER.unpack_from(message)
    if magic != MAGIC:
        raise BadInputError("what came is no message of an edge-cns machine")
    if version != VERSION:
        raise BadInputError(
            f"a message of version {version}; this runtime speaks version {VERSION}: install matching ones"
        )
    return int(kind)


M = TypeVar("M", bound="_Message")


@dataclass(frozen=True, slots=True)
class _Message:
    """A message of one size: its fields in order, bytes for text."""

    kind: ClassVar[Kind]
    layout: ClassVar[struct.Struct]
    room: ClassVar[int] = 0  # bytes of its text, with the NUL

    def pack(self) -> bytes:
        """As it is sent."""
        values: list[object] = []
        for value in astuple(self):
            if isinstance(value, str):
                values.append(_cut(value, self.room))
            elif isinstance(value, tuple):
                values.extend(value)
            else:
                values.append(value)
        return _HEADER.pack(MAGIC, VERSION, self.kind) + self.layout.pack(*values)

    @classmethod
    def unpack(cls: type[M], message: bytes) -> M:
        """Read a message.

        Raises:
            BadInputError: another type, or another size.
        """
        whole = _HEADER.size + cls.layout.size
        if len(message) != whole or message[: _HEADER.size] != _HEADER.pack(MAGIC, VERSION, cls.kind):
            kind_of(message)  # or else its version is the matter
            raise BadInputError(f"no {cls.kind.name} message of {whole} bytes, but {len(message)} of another kind")
        return cls._of(cls.layout.unpack_from(message, _HEADER.size))

    @classmethod
    def _of(cls: type[M], values: tuple[Any, ...]) -> M:
        return cls(*(_text(value) if isinstance(value, bytes) else value for value in values))


@dataclass(frozen=True, slots=True)
class Hello(_Message):
    """Who comes, and with how large a ring: slot i begins at ``i * slot_bytes``."""

    kind: ClassVar = Kind.HELLO
    layout: ClassVar = struct.Struct(f"<QQQII{_NAME}s")
    room: ClassVar = _NAME

    instance: int
    memory_bytes: int
    slot_bytes: int
    slots: int
    flags: int
    name: str


@dataclass(frozen=True, slots=True)
class Refused(_Message):
    """Why a machine is not let in."""

    kind: ClassVar = Kind.REFUSED
    layout: ClassVar = struct.Struct("<248s")
    room: ClassVar = 248

    text: str


@dataclass(frozen=True, slots=True)
class FrameMessage(_Message):
    """A frame lies in a slot. ``format`` is its bytes per pixel; ``region`` x, y, width, height, width 0 for none."""

    kind: ClassVar = Kind.FRAME
    layout: ClassVar = struct.Struct("<QqIIIIIIiiiiddQ")

    sequence: int
    captured_ns: int
    slot: int
    format: int
    width: int
    height: int
    stride: int
    bits_stored: int
    region: tuple[int, int, int, int]
    mm_per_pixel: tuple[float, float]
    would_block: int

    @classmethod
    def _of(cls, values: tuple[Any, ...]) -> FrameMessage:
        return cls(*(*values[:8], values[8:12], values[12:14], values[14]))


@dataclass(frozen=True, slots=True)
class Event(_Message):
    """Something the machine says beside its frames."""

    kind: ClassVar = Kind.EVENT
    layout: ClassVar = struct.Struct(f"<qII{_VALUE}s")
    room: ClassVar = _VALUE

    at_ns: int
    code: int
    reserved: int
    value: str


@dataclass(frozen=True, slots=True)
class Release(_Message):
    """Nobody looks at a slot any more."""

    kind: ClassVar = Kind.RELEASE
    layout: ClassVar = struct.Struct("<II")

    slot: int
    reserved: int = 0


@dataclass(frozen=True, slots=True)
class Welcome:
    """The machine is let in: what the classifier can tell apart."""

    names: tuple[str, ...]
    model_sha256: bytes

    _LAYOUT: ClassVar = struct.Struct("<II32s")

    def pack(self) -> bytes:
        """As it is sent."""
        head = _HEADER.pack(MAGIC, VERSION, Kind.WELCOME) + self._LAYOUT.pack(len(self.names), 0, self.model_sha256)
        return head + b"".join(_cut(name, _NAME).ljust(_NAME, b"\0") for name in self.names)

    @classmethod
    def unpack(cls, message: bytes) -> Welcome:
        """Read a message.

        Raises:
            BadInputError: it is no welcome.
        """
        head = _HEADER.size + cls._LAYOUT.size
        if kind_of(message) != Kind.WELCOME or len(message) < head:
            raise BadInputError("no welcome")
        count, _, digest = cls._LAYOUT.unpack_from(message, _HEADER.size)
        if not 0 < count <= MAX_CLASSES or len(message) != head + count * _NAME:
            raise BadInputError(f"a welcome of {count} classes in {len(message)} bytes")
        names = (message[head + i * _NAME : head + (i + 1) * _NAME] for i in range(count))
        return cls(tuple(map(_text, names)), digest)


@dataclass(frozen=True, slots=True, eq=False)
class ResultMessage:
    """``edge_cns_result``: see `firmware_bridge/sdk/include/edge_cns.h` for its fields.

    Attributes:
        probabilities: ``(K,)`` float32, or empty.
        heat: ``(rows, columns)`` float32, or empty.
    """

    sequence: int
    captured_ns: int
    emitted_ns: int
    expires_ns: int
    age_ms: float
    latency_ms: float
    state: int
    label: int
    probability: float
    novelty: float
    steady_state: int
    steady_label: int
    steady_probability: float
    frames_behind: int
    flags: int
    outcome: int
    finding: int
    frames_seen: int
    frames_classified: int
    frames_dropped: int
    frames_missed: int
    exam: str
    fetus: str
    view: str
    reason: str
    statement: str
    probabilities: NDArray[np.float32]
    heat: NDArray[np.float32]

    _LAYOUT: ClassVar = struct.Struct(f"<QqqqddIiffIifIIIiIQQQQ{_VALUE}s{_NAME}s{_NAME}s{_TEXT}s{_TEXT}sIIII")
    _TEXTS: ClassVar = (_VALUE, _NAME, _NAME, _TEXT, _TEXT)

    def pack(self) -> bytes:
        """As it is sent."""
        values = [getattr(self, field.name) for field in fields(self)]
        texts = [_cut(text, size) for text, size in zip(values[21:26], self._TEXTS, strict=True)]
        rows, columns = self.heat.shape if self.heat.size else (0, 0)
        head = self._LAYOUT.pack(*values[:17], 0, *values[17:21], *texts, self.probabilities.size, rows, columns, 0)
        numbers = self.probabilities.astype("<f4").tobytes() + self.heat.astype("<f4").tobytes()
        return _HEADER.pack(MAGIC, VERSION, Kind.RESULT) + head + numbers

    @classmethod
    def unpack(cls, message: bytes) -> ResultMessage:
        """Read a message.

        Raises:
            BadInputError: it is no result.
        """
        head = _HEADER.size + cls._LAYOUT.size
        if kind_of(message) != Kind.RESULT or len(message) < head:
            raise BadInputError("no result")
        values = cls._LAYOUT.unpack_from(message, _HEADER.size)
        classes, rows, columns, _ = values[27:]
        if (
            classes > MAX_CLASSES
            or rows * columns > LARGEST_HEAT
            or len(message) != head + 4 * (classes + rows * columns)
        ):
            raise BadInputError(f"a result of {classes} classes and {rows}x{columns} evidence in {len(message)} bytes")
        numbers = np.frombuffer(message, "<f4", offset=head)
        texts = [_text(value) for value in values[22:27]]
        read = (*values[:17], *values[18:22], *texts, numbers[:classes], numbers[classes:].reshape(rows, columns))
        return cls(*read)


LARGEST = _HEADER.size + ResultMessage._LAYOUT.size + 4 * (MAX_CLASSES + LARGEST_HEAT)
"""Bytes of the largest message."""


def _cut(text: str, size: int) -> bytes:
    """UTF-8 that leaves room for a NUL, with no part of a character at its end."""
    return text.encode(errors="replace")[: size - 1].decode(errors="ignore").encode()


def _text(value: bytes) -> str:
    """Text of a message, up to its NUL."""
    return value.partition(b"\0")[0].decode(errors="replace")
