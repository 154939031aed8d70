"""What a peer is told: each verdict as STRING, STATUS and NDARRAY, and the answers to what it asks.

Messages of one verdict go out together and have the same time stamp, and from header version 2 on the same message id.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_cns.decision.verdict import State, Verdict
from edge_cns.runtime.sinks.base import Record
from firmware_bridge.igtl.content import (
    LONGEST_STRING,
    DeviceStatus,
    encode_array,
    encode_capability,
    encode_status,
    encode_string,
)
from firmware_bridge.igtl.wire import Header, encode, time_stamp

__all__ = [
    "EXAM",
    "HEATMAP",
    "LEAVING",
    "NO_VERDICT",
    "PROBABILITIES",
    "STATE",
    "VERDICT",
    "Letter",
    "answer",
    "exam",
    "verdict",
]

VERDICT, EXAM, STATE = "EDGE_CNS_VERDICT", "EDGE_CNS_EXAM", "EDGE_CNS_STATE"
PROBABILITIES, HEATMAP = "EDGE_CNS_PROBS", "EDGE_CNS_HEATMAP"
"""Device names. pyigtl keeps one message a name, whatever its type: so no two of ours share one."""

_OK, _NOT_READY, _LEAVING = 1, 13, 19  # codes of status.md
_NAME = 12  # characters of a type
_REFUSED = b"\x01"  # of an RTS_ message
_TYPES = ("CAPABILITY", "GET_CAPABIL", "GET_STATUS", "IMAGE", "NDARRAY", "STATUS", "STRING")

Content = tuple[str, str, bytes]  # type, device, content


@dataclass(frozen=True, slots=True)
class Letter:
    """Messages that go out together.

    Attributes:
        write: given the present, ``CLOCK_MONOTONIC`` ns, their types, devices and contents.
        expires_ns: from then on it must not go out; 0 for what does not grow old.
        message_id: for header version 2.
    """

    write: Callable[[int], Sequence[Content]]
    expires_ns: int = 0
    message_id: int = 0

    def encoded(self, version: int) -> bytes:
        """The bytes, for a peer that reads this header version; empty if it has expired."""
        now = time.monotonic_ns()
        if self.expires_ns and now >= self.expires_ns:
            return b""
        stamp = time_stamp(time.time_ns())
        return b"".join(
            encode(kind, device, content, version=version, stamp=stamp, message_id=self.message_id)
            for kind, device, content in self.write(now)
        )


def verdict(record: Record, class_names: Sequence[str]) -> Letter:
    """A verdict: its JSON, its state, and, where a frame was classified, probabilities and heat map.

    The JSON has the fields of a verdict record (`docs/run.md`), ``age_ms`` as of the moment of sending, and
    ``expires_in_ms``: the receiver has no use for this machine's clock.

    Args:
        record: of a verdict.
        class_names: the order of the probabilities.
    """
    said = record.verdict
    assert said is not None
    beside = [("STATUS", STATE, encode_status(state(said)))]
    if said.probabilities:
        shares = np.array([said.probabilities[name] for name in class_names], np.float32)
        beside.append(("NDARRAY", PROBABILITIES, encode_array(shares)))
    if said.heatmap is not None:
        beside.append(("NDARRAY", HEATMAP, encode_array(said.heatmap)))

    def write(now: int) -> Sequence[Content]:
        times = {"age_ms": said.age_ms(now), "expires_in_ms": (said.expires_ns - now) / 1e6}
        return [_json(VERDICT, record.to_json() | times), *beside]

    return Letter(write, said.expires_ns, said.sequence % 2**32)


def exam(record: Record) -> Letter:
    """What may be said of the exam so far: the JSON of an exam record."""
    message = _json(EXAM, record.to_json())
    return Letter(lambda now: [message])


def state(said: Verdict) -> DeviceStatus:
    """A verdict's state: *not ready* while there is no signal, otherwise OK."""
    return DeviceStatus(_NOT_READY if said.state is State.NO_SIGNAL else _OK, said.state.value, said.reason)


NO_VERDICT = DeviceStatus(_NOT_READY, State.NO_SIGNAL.value, "there is no verdict")
"""The state before the first verdict, and after the last one has expired."""
LEAVING = Letter(lambda now: [("STATUS", STATE, encode_status(DeviceStatus(_LEAVING, "leaving", "the session ended")))])
"""The last thing that is said."""


def answer(header: Header, now_status: DeviceStatus) -> Letter | None:
    """What a peer gets that asks for something; ``None`` where it did not ask.

    GET_STATUS and GET_CAPABIL are answered. Other GET_ messages get an empty message of their type, and STT_ and STP_ a
    refusal: verdicts are sent without being asked for (query.md).

    Args:
        header: of the message.
        now_status: the state now.
    """
    verb, _, what = header.type.partition("_")
    if not what or verb not in ("GET", "STT", "STP"):
        return None
    if verb != "GET":
        return _one(f"RTS_{what}", header.device, _REFUSED)
    if what == "STATUS":
        return _one(what, header.device or STATE, encode_status(now_status))
    if what == "CAPABIL":
        return _one("CAPABILITY", header.device, encode_capability(_TYPES))
    return _one(what, header.device, b"")


def _one(kind: str, device: str, content: bytes) -> Letter:
    return Letter(lambda now: [(kind[:_NAME], device, content)])


def _json(device: str, value: Mapping[str, Any]) -> Content:
    """A STRING of JSON: ASCII, since few receivers know UTF-8."""
    text = json.dumps(value, separators=(",", ":"))
    if len(text) > LONGEST_STRING:
        text = json.dumps({"type": value["type"], "error": f"{len(text)} characters, more than a STRING holds"})
    return "STRING", device, encode_string(text)
