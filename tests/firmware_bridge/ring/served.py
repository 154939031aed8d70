"""A ring that is served in this process, without a runtime: what came is kept, and verdicts are made up."""

from __future__ import annotations

import itertools
import threading
import time
from pathlib import Path
from typing import Any

from edge_cns.bundle import read_bundle
from edge_cns.errors import OperationError
from edge_cns.frames import Delivery, EventKind, Frame, MachineEvent
from edge_cns.runtime.sinks.base import Record, RecordType, Session
from firmware_bridge.ring.source import open_ring

_NUMBERS = itertools.count()


def fresh_name() -> str:
    """Of a ring that nobody else serves."""
    return f"test-{time.monotonic_ns():x}-{next(_NUMBERS)}"


class Served:
    """Args: the ring's name, and the bundle whose classes it tells apart."""

    def __init__(self, name: str, bundle: Path, *, keep: bool = False) -> None:
        self.name, self.uri = name, f"ring://{name}"
        self.source = open_ring(self.uri)
        self.bundle = read_bundle(bundle)
        self.source.reply.start(Session(self.bundle, self.uri, None))  # type: ignore[arg-type]
        self.keep = keep
        self.lost = 0
        self.frames: list[Frame] = []
        self.sums: list[tuple[int, int]] = []
        self.other: list[Delivery] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        for delivery in self.source:
            if isinstance(delivery, Frame):
                self.sums.append((delivery.sequence, int(delivery.pixels.sum())))
                if self.keep:
                    self.frames.append(delivery)
                self.answer(delivery)
            else:
                self.other.append(delivery)
            del delivery  # the slot is the machine's again

    @property
    def events(self) -> list[tuple[EventKind, str]]:
        return [(seen.kind, seen.value) for seen in self.other if isinstance(seen, MachineEvent)]

    def answer(self, frame: Frame, **more: Any) -> None:
        """Say of a frame what a runtime might."""
        names = self.bundle.contract.class_names
        now = time.monotonic_ns()
        said = {
            "state": "class",
            "label": names[1],
            "probability": 0.75,
            "probabilities": {name: 0.75 if i == 1 else 0.25 / (len(names) - 1) for i, name in enumerate(names)},
            "reason": "made up",
            "sequence": frame.sequence,
            "captured_ns": frame.captured_ns,
            "emitted_ns": now,
            "expires_ns": frame.captured_ns + 500_000_000,
            "latency_ms": 1.5,
            "age_ms": (now - frame.captured_ns) / 1e6,
            "frames_behind": 3,
            "steady": {"state": "indeterminate", "label": None, "probability": None},
            "frozen": "",
            "fallback": "",
            "calibrated": True,
            "proof": "passed",
            "exam": "exam-1",
            "fetus": "",
        } | more
        try:
            self.source.reply.write(Record(RecordType.VERDICT, said))
        except OperationError:
            self.lost += 1

    def wait_for(self, condition, seconds: float = 10) -> None:
        until = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < until, "it did not happen in time"
            time.sleep(0.002)

    def close(self) -> None:
        self.source.close()
        self._thread.join(5)
        assert not self._thread.is_alive()
