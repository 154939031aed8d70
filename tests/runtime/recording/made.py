"""Recordings for the tests: of a real session, and small ones of made-up times."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import numpy as np

from edge_cns.bundle import read_bundle
from edge_cns.contract import OUTPUTS
from edge_cns.data.phantom import draw_patient, render
from edge_cns.frames import EventKind, Frame, MachineEvent, Region, UnusableFrame
from edge_cns.preprocess import prepare, quantise_into
from edge_cns.runtime.classifier import load
from edge_cns.runtime.engine.supervisor import Supervisor
from edge_cns.runtime.live.dispatcher import Dispatcher
from edge_cns.runtime.live.limiter import Limiter
from edge_cns.runtime.live.monitor import Monitor
from edge_cns.runtime.live.observations import (
    Arrived,
    EngineChanged,
    Machine,
    Pictured,
    Result,
    SourceEnded,
    Tick,
    Verified,
)
from edge_cns.runtime.live.picture import blank, digest
from edge_cns.runtime.power import PowerPolicy
from edge_cns.runtime.recording.layout import Kind
from edge_cns.runtime.recording.reader import Recording
from edge_cns.runtime.recording.recorder import Recorder
from edge_cns.runtime.recording.seal import make_seal
from edge_cns.runtime.recording.store import SegmentStore
from edge_cns.runtime.selftest import engine_identity

KEY = bytes(range(32))
MB = 10**6


def pictures(count: int, side: int = 96) -> list[np.ndarray]:
    """Different frames, ``(side, side)`` uint8."""
    head = render(draw_patient("normal", seed=5), "transthalamic", view=5, size=side).pixels
    rng = np.random.default_rng(0)
    return [np.maximum(head, rng.integers(0, 60, head.shape, np.uint8)) for _ in range(count)]


class Film:
    """A source with grey, colour and 16-bit frames, a freeze, another mode, another exam and a broken frame."""

    def __init__(self, count: int = 40) -> None:
        self._open = True
        self._pictures = pictures(count)

    def __iter__(self):
        said = {
            0: MachineEvent.now(EventKind.EXAM, "one"),
            10: MachineEvent.now(EventKind.MODE, "doppler"),
            14: MachineEvent.now(EventKind.MODE, "B"),
            20: MachineEvent.now(EventKind.FREEZE),
            24: MachineEvent.now(EventKind.LIVE),
            30: MachineEvent.now(EventKind.EXAM, "two"),
        }
        for number, pixels in enumerate(self._pictures):
            if not self._open:
                return
            if number in said:
                yield said[number]
            if number == 5:
                yield UnusableFrame("frame is 3x3 px; both sides must be 64 to 8192 px", time.monotonic_ns(), 1000)
            frame = Frame.now(pixels, number + 1)
            if number % 8 == 3:
                frame = replace(frame, pixels=np.repeat(pixels[..., None], 3, axis=2))
            if number % 8 == 6:
                frame = replace(
                    frame,
                    pixels=pixels.astype(np.uint16) << 4,
                    bits_stored=12,
                    mm_per_pixel=(0.25, 0.3),
                    region=Region(8, 8, 80, 80),
                )
            yield frame
            time.sleep(1 / 40)

    def close(self) -> None:
        self._open = False


class Sink:
    """Takes records as a `SinkRunner` does."""

    name = "made"
    counts = {"dropped": 0, "failed": 0}  # noqa: RUF012

    def __init__(self) -> None:
        self.records = []

    def put(self, record) -> None:
        self.records.append(record)


def record_session(folder, bundle_path, *, key=KEY, limit=100 * MB, source=None, policy="every", backend="auto"):
    """Run a session and record it; the records that were said."""
    bundle = read_bundle(bundle_path)
    source = Film() if source is None else source
    recorder = Recorder(folder, bundle, key=key, limit_bytes=limit, options={"policy": policy})
    supervisor = Supervisor(bundle, backend)
    sink = Sink()
    try:
        supervisor.start()
        dispatcher = Dispatcher(
            bundle,
            supervisor,
            source,
            policy=policy,
            limiter=Limiter(None),
            power=PowerPolicy(),
            journal=recorder,
        )
        recorder.start(engine_identity(supervisor.engine), lambda event, detail: None)
        dispatcher.run([sink])
    finally:
        supervisor.close()
        assert recorder.close(5)
    return recorder.state, sink.records


class Script:
    """Drives a recorder as a dispatcher would, at 25 frames a second of made-up time, as fast as it goes."""

    def __init__(self, bundle_path, recorder, *, backend="litert") -> None:
        self.recorder = recorder
        self.classifier = load(bundle_path, backend=backend)
        self.monitor = Monitor(self.classifier.bundle)
        self.now = 10**9
        self.sequence = 0
        self.events: list[tuple[str, str]] = []

    def start(self) -> None:
        identity = engine_identity(self.classifier.backend)
        self.recorder.start(identity, lambda event, detail: self.events.append((event, detail)))
        self.see(EngineChanged(self.now, True, identity["name"], 1))

    def see(self, seen, frame=None, outputs=None) -> None:
        self.recorder.take(seen, frame, outputs, self.monitor.observe(seen).records)

    def say(self, kind: EventKind, value: str = "") -> None:
        self.see(Machine(self.now, kind, value))

    def frame(self, pixels) -> None:
        spec = self.classifier.contract.input
        self.now += 40_000_000
        self.sequence += 1
        frame = Frame(pixels, captured_ns=self.now, sequence=self.sequence)
        self.see(Arrived(self.now, self.sequence, self.now))
        prepared = prepare(frame, spec)
        self.see(Pictured(self.now, digest(prepared.image), blank(prepared, spec)))
        backend = self.classifier.backend
        quantise_into(prepared.image, backend.input())
        backend.invoke()
        outputs = {name: backend.output(name)[0] for name in OUTPUTS}
        unreadable = prepared.unreadable or self.monitor.unreadable
        verdict = self.classifier.reading.verdict(frame, outputs, self.now, unreadable=unreadable)
        verdict = replace(verdict, emitted_ns=self.now + 5_000_000, latency_ms=5.25)
        self.see(
            Result(self.now + 5_000_000, self.now, verdict, prepared.region, {"invoke": 1.25}, frame), frame, outputs
        )
        self.see(Verified(self.now + 6_000_000))

    def tick(self) -> None:
        self.now += 500_000_000
        self.see(Tick(self.now))

    def finish(self) -> None:
        self.see(SourceEnded(self.now + 7_000_000, "the source ended"))
        assert self.recorder.close(10)
        self.classifier.close()


def record_script(folder, bundle_path, *, key=KEY, limit=100 * MB, frames=12, side=96):
    """A small recording; how the recorder stood at its end."""
    recorder = Recorder(folder, read_bundle(bundle_path), key=key, limit_bytes=limit, options={})
    script = Script(bundle_path, recorder)
    script.start()
    for pixels in pictures(frames, side):
        script.frame(pixels)
    script.tick()
    script.finish()
    return recorder.state


def rewrite(source, target, change, key=KEY):
    """Copy a recording through `change`, which is given kind, value and attachment, with seals that fit."""
    target.mkdir()
    recording = Recording(source, key)
    store = SegmentStore(target, make_seal(key), 100 * MB, lambda: b"")
    opening = None
    for stored in recording:
        if stored.kind is Kind.NEXT or (stored.kind is Kind.HEADER and opening is not None):
            continue
        changed = change(stored.kind, json.loads(json.dumps(stored.value)), bytes(stored.attached))
        if changed is None:
            continue
        text = json.dumps(changed[0]).replace("Infinity", "1e999").encode()  # what JSON takes for infinite
        payload = len(text).to_bytes(4, "big") + text + changed[1]
        if stored.kind is Kind.HEADER:
            opening = payload
            store._opening = lambda payload=payload: payload
            store.begin()
        elif stored.kind is Kind.END:
            store.close(payload)
        else:
            store.append(stored.kind, payload)
    return target
