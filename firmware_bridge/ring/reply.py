"""Verdicts on their way back through the ring's socket."""

from __future__ import annotations

import hashlib
import math
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np

from edge_cns.decision.verdict import State
from edge_cns.errors import OperationError
from edge_cns.runtime.sinks.base import Record, RecordType, Session
from firmware_bridge.ring.connection import Connection
from firmware_bridge.ring.wire import LARGEST_HEAT, MAX_CLASSES, Outcome, ResultFlag, ResultMessage, StateCode

__all__ = ["RingReply"]

_NO_NUMBERS = np.empty(0, np.float32)


class RingReply:
    """A sink for the machine that is connected, if any. One that does not read loses results, and that is said."""

    lossless = False

    def __init__(self) -> None:
        self._ready = threading.Event()
        self._connection: Connection | None = None
        self._names: tuple[str, ...] = ()
        self._digest = b""
        self._exam: Mapping[str, Any] = {}
        self._frames: Mapping[str, Any] = {}

    def start(self, session: Session) -> None:
        """Know the classes; from now on machines are let in."""
        self._names = session.bundle.contract.class_names
        self._digest = hashlib.sha256(session.bundle.files["model.tflite"]).digest()
        self._ready.set()

    def write(self, record: Record) -> None:
        """Send a verdict, with what may be said of the exam.

        Raises:
            OperationError: the machine has not read what it was sent before.
        """
        if record.type is RecordType.EXAM:
            self._exam = record.value
        elif record.type is RecordType.STATUS:
            self._frames = record.value["frames"]
        elif record.type is RecordType.VERDICT and (connection := self._connection) is not None:
            message = self._message(record, connection.wants_heat_map)
            if not connection.send(message.pack()):
                raise OperationError("the machine does not read its results, or has just left")

    def close(self) -> None:
        """Nothing to finish."""
        self._connection = None

    def join(self, connection: Connection, timeout_s: float) -> bool:
        """Let a machine in once the classes are known; whether they were in time. Called by the source."""
        if not self._ready.wait(timeout_s) or len(self._names) > MAX_CLASSES:
            return False
        connection.welcome(self._names, self._digest)
        self._connection = connection
        return True

    def leave(self, connection: Connection) -> None:
        """A machine is gone. Called by the source."""
        if self._connection is connection:
            self._connection = None

    def _message(self, record: Record, heat_map: bool) -> ResultMessage:
        said, steady, exam = record.value, record.value["steady"], self._exam
        same_exam = (exam.get("exam"), exam.get("fetus")) == (said["exam"], said["fetus"])
        verdict = record.verdict
        heat = None if verdict is None or not heat_map else verdict.heatmap
        frames = self._frames
        return ResultMessage(
            sequence=said["sequence"],
            captured_ns=said["captured_ns"],
            emitted_ns=said["emitted_ns"],
            expires_ns=said["expires_ns"],
            age_ms=said["age_ms"],
            latency_ms=said["latency_ms"],
            state=_state(said["state"]),
            label=self._index(said["label"]),
            probability=_number(said["probability"]),
            novelty=_number(said.get("novelty")),
            steady_state=_state(steady["state"]),
            steady_label=self._index(steady["label"]),
            steady_probability=_number(steady["probability"]),
            frames_behind=said["frames_behind"],
            flags=_flags(said),
            outcome=Outcome[exam["outcome"].upper()] if same_exam else Outcome.NONE,
            finding=self._index(exam["label"]) if same_exam else -1,
            frames_seen=frames.get("seen", 0),
            frames_classified=frames.get("classified", 0),
            frames_dropped=sum(frames.get("dropped", {}).values()),
            frames_missed=frames.get("missed", 0),
            exam=said["exam"],
            fetus=said["fetus"],
            view=said.get("view", ""),
            reason=said["reason"],
            statement=exam["reason"] if same_exam else "",
            probabilities=np.array(list(said["probabilities"].values()), np.float32),
            heat=_NO_NUMBERS if heat is None or heat.size > LARGEST_HEAT else heat,
        )

    def _index(self, label: str | None) -> int:
        return -1 if label is None else self._names.index(label)


def _state(name: str) -> StateCode:
    return StateCode[State(name).name]


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _flags(said: Mapping[str, Any]) -> ResultFlag:
    flags = ResultFlag(0)
    for flag, holds in (
        (ResultFlag.CALIBRATED, said["calibrated"]),
        (ResultFlag.PROVEN, said["proof"] == "passed"),
        (ResultFlag.FALLBACK, bool(said["fallback"])),
        (ResultFlag.HELD, said["frozen"] == "announced"),
        (ResultFlag.CINE, said["frozen"] == "cine"),
    ):
        if holds:
            flags |= flag
    return flags
