"""Sessions with a real engine process and sources made for the test."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from edge_cns.bundle import Bundle, read_bundle
from edge_cns.contract import InputSpec
from edge_cns.data.phantom import PLANES, draw_patient, render
from edge_cns.decision.verdict import LIFETIME_NS
from edge_cns.errors import OperationError
from edge_cns.frames import Delivery, EventKind, Frame, MachineEvent, Region, UnusableFrame
from edge_cns.preprocess import prepare
from edge_cns.runtime.backends.fake import VARIABLE
from edge_cns.runtime.classifier import load
from edge_cns.runtime.engine.supervisor import Supervisor
from edge_cns.runtime.live.dispatcher import Dispatcher
from edge_cns.runtime.live.limiter import Limiter
from edge_cns.runtime.power import PowerPolicy
from edge_cns.runtime.sinks.base import RecordType, Session
from edge_cns.runtime.sinks.memory import Memory
from edge_cns.runtime.sinks.runner import SinkRunner, close_all

PICTURES = [render(draw_patient("normal", seed=i), PLANES[i % 6], view=i, size=128).pixels for i in range(12)]


class Film:
    """Frames at a rate, or whatever a function makes of a number; ends after so many."""

    def __init__(self, count: int, fps: float = 0.0, make: Callable[[int], Delivery] | None = None) -> None:
        self._count, self._fps, self._make = count, fps, make or self._frame
        self.closed = threading.Event()
        self.given = 0

    def __iter__(self) -> Iterator[Delivery]:
        for i in range(self._count):
            if self.closed.wait(1 / self._fps if self._fps else 0):
                return
            self.given += 1
            yield self._make(i)

    def _frame(self, i: int) -> Frame:
        return Frame(PICTURES[i % len(PICTURES)], time.monotonic_ns(), i)

    def close(self) -> None:
        self.closed.set()


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Path) -> Bundle:
    return read_bundle(tiny_bundle)


def play(
    bundle: Bundle,
    source: Film,
    policy: str = "latest",
    *,
    backend: str = "auto",
    max_fps: float | None = None,
    meanwhile: Callable[[Dispatcher, Supervisor], None] | None = None,
) -> tuple[Memory, dict]:
    """A session from begin to end; what was heard, and its summary."""
    engine, heard = Supervisor(bundle, backend), Memory()
    engine.start()
    dispatcher = Dispatcher(bundle, engine, source, policy=policy, limiter=Limiter(max_fps), power=PowerPolicy())
    runner = SinkRunner(heard, "listener", dispatcher.sink_said)
    runner.start(Session(bundle, "film", dispatcher))
    helper = threading.Thread(target=meanwhile, args=(dispatcher, engine)) if meanwhile else None
    if helper:
        helper.start()
    try:
        dispatcher.run([runner])
    finally:
        if helper:
            helper.join()
        close_all([runner], 2.0)
        engine.close()
    (summary,) = heard.of(RecordType.SUMMARY)
    frames = summary["frames"]
    assert frames["pending"] == 0
    assert frames["seen"] == source.given == frames["classified"] + sum(frames["dropped"].values())
    assert heard.records[-1].type is RecordType.SUMMARY
    return heard, summary


def test_every_frame_gets_the_verdict_that_the_classifier_gives(bundle, tiny_bundle):
    heard, summary = play(bundle, Film(40), "every")
    assert summary["frames"]["dropped"] == {}
    assert summary["ended"] == "the source ended"
    with load(tiny_bundle) as classifier:
        for verdict in heard.classified():
            here = classifier.classify(PICTURES[verdict["sequence"] % len(PICTURES)])
            for key in ("state", "label", "probability", "reason"):
                assert verdict[key] == getattr(here, key)
            assert verdict["probabilities"] == dict(here.probabilities)
    assert [v["sequence"] for v in heard.classified()] == list(range(40))
    for record in heard.records:
        if record.type is RecordType.VERDICT and record.value["probabilities"]:
            assert record.frame.sequence == record.verdict.sequence == record.value["sequence"]
            assert record.verdict.heatmap is not None


def test_latest_drops_what_the_engine_is_too_slow_for_and_stays_young(bundle, monkeypatch):
    monkeypatch.setenv(VARIABLE, "slow@0")
    heard, summary = play(bundle, Film(400), backend="fake")
    assert summary["frames"]["dropped"].get("superseded", 0) > 0
    assert all(v["emitted_ns"] - v["captured_ns"] < LIFETIME_NS for v in heard.classified())


def test_an_engine_that_is_killed_costs_no_frame_of_every(bundle):
    def kill(dispatcher: Dispatcher, engine: Supervisor) -> None:
        time.sleep(0.2)
        os.kill(engine.pid, signal.SIGKILL)

    heard, summary = play(bundle, Film(60, fps=100), "every", meanwhile=kill)
    assert summary["restarts"] == 1
    assert summary["frames"]["classified"] == 60
    assert heard.events().count("engine_died") == 1
    assert heard.events().count("engine_started") == 2
    states = [v["state"] for v in heard.of(RecordType.VERDICT)]
    assert "no_signal" in states[2:-1]


def test_an_engine_that_keeps_dying_gives_way_to_the_cpu_and_every_verdict_says_so(bundle, monkeypatch):
    monkeypatch.setenv(VARIABLE, "crash")
    monkeypatch.setattr("edge_cns.runtime.engine.supervisor._PAUSES_S", (0.0,) * 2)

    def kill(dispatcher: Dispatcher, engine: Supervisor) -> None:
        for _ in range(2):
            pid = engine.pid
            os.kill(pid, signal.SIGUSR1)
            while engine.pid in (pid, 0) or not engine.up:
                time.sleep(0.01)
        time.sleep(0.2)
        dispatcher.stop()

    heard, summary = play(bundle, Film(10**6, fps=60), "every", backend="fake", meanwhile=kill)
    assert summary["restarts"] == 2
    assert summary["frames"]["dropped"].get("engine", 0) <= 2, "a frame is tried twice, not for ever"
    last = heard.classified()[-1]
    assert (last["engine"], last["fallback"]) == ("litert", "on the CPU: fake failed 2 times in a row")


def test_the_loss_of_the_engine_drops_what_latest_would_show_too_late(bundle):
    def kill(dispatcher: Dispatcher, engine: Supervisor) -> None:
        time.sleep(0.2)
        os.kill(engine.pid, signal.SIGKILL)

    heard, summary = play(bundle, Film(60, fps=60), meanwhile=kill)
    assert set(summary["frames"]["dropped"]) <= {"engine", "no_engine", "superseded"}
    assert summary["frames"]["dropped"]["no_engine"] > 0
    assert heard.classified()[-1]["sequence"] == 59


def test_events_and_useless_frames_keep_their_place(bundle):
    def make(i: int) -> Delivery:
        if i == 3:
            return UnusableFrame("frame is 40x30 px", time.monotonic_ns(), i)
        if i in (5, 6):
            return MachineEvent.now(EventKind.EXAM, f"exam-{i}")
        return Frame(PICTURES[i % 12], time.monotonic_ns(), i)

    source = Film(12, fps=60, make=make)
    engine, heard = Supervisor(bundle), Memory()
    engine.start()
    dispatcher = Dispatcher(bundle, engine, source, policy="every", limiter=Limiter(None), power=PowerPolicy())
    runner = SinkRunner(heard, "listener", dispatcher.sink_said)
    runner.start(Session(bundle, "film", dispatcher))
    dispatcher.run([runner])
    close_all([runner], 2.0)
    engine.close()
    kinds = [v.get("event") or v.get("state") for v in (r.value for r in heard.records)]
    assert kinds.index("exam_reset") > kinds.index("not_supported_view")
    assert kinds.count("exam_reset") == 2
    assert heard.of(RecordType.SUMMARY)[0]["frames"] == {
        "seen": 10,
        "classified": 9,
        "dropped": {"unusable": 1},
        "pending": 0,
        "late": 0,
        "missed": 2,  # the events took the numbers of frames
    }


def test_a_rate_is_a_reason(bundle):
    _, summary = play(bundle, Film(60, fps=60), max_fps=20)
    assert summary["frames"]["dropped"]["rate"] > 30


def test_a_time_to_come_does_not_make_a_verdict_live_longer(bundle):
    def make(i: int) -> Frame:
        return Frame(PICTURES[i % 12], time.monotonic_ns() + 3600 * 10**9 + i, i)

    heard, _ = play(bundle, Film(5, fps=30, make=make), "every")
    assert all(v["expires_ns"] - v["emitted_ns"] <= LIFETIME_NS for v in heard.of(RecordType.VERDICT))


def test_a_source_that_fails_is_said_and_raised(bundle):
    def make(i: int) -> Frame:
        if i == 4:
            raise OperationError("the cable was pulled")
        return Frame(PICTURES[i], time.monotonic_ns(), i)

    with pytest.raises(OperationError, match="the cable was pulled"):
        play(bundle, Film(9, fps=60, make=make))


@pytest.mark.parametrize("error", [ValueError("odd"), MemoryError()])
def test_a_source_of_anybodys_may_fail_in_any_way(bundle, error):
    def make(i: int) -> Frame:
        if i == 4:
            raise error
        return Frame(PICTURES[i], time.monotonic_ns(), i)

    with pytest.raises(OperationError, match=f"the source failed .{type(error).__name__}"):
        play(bundle, Film(9, fps=60, make=make))


def test_a_region_that_no_longer_fits_is_an_unusable_frame(bundle, monkeypatch):
    fixed = InputSpec(64, 64, "fixed", Region(0, 0, 120, 120))
    monkeypatch.setattr("edge_cns.runtime.live.dispatcher.prepare", lambda f, spec, out: prepare(f, fixed, out))

    def make(i: int) -> Frame:
        pixels = PICTURES[i % 12] if i < 10 else np.ascontiguousarray(PICTURES[i % 12][:100, :100])
        return Frame(pixels, time.monotonic_ns(), i)

    heard, summary = play(bundle, Film(20, fps=60, make=make), "every")
    assert summary["frames"]["dropped"] == {"unusable": 10}
    assert any("does not fit" in v["reason"] for v in heard.of(RecordType.VERDICT))


def test_it_stops_at_once_and_tells_what_was_left(bundle):
    def stop(dispatcher: Dispatcher, engine: Supervisor) -> None:
        time.sleep(0.3)
        for _ in range(3):
            dispatcher.stop()

    begun = time.monotonic()
    heard, summary = play(bundle, Film(10**6, fps=1000), "every", meanwhile=stop)
    assert time.monotonic() - begun < 3
    assert summary["ended"] == "stopped"
    assert heard.of(RecordType.VERDICT)[-1]["state"] == "no_signal"


def test_what_a_sink_asks_for_is_done(bundle):
    def ask(dispatcher: Dispatcher, engine: Supervisor) -> None:
        time.sleep(0.3)
        dispatcher.freeze(True)
        time.sleep(0.2)
        dispatcher.freeze(False)
        dispatcher.reset_exam()
        dispatcher.judge(True, "clear")
        dispatcher.sink_said("jsonl", "No space left on device")

    heard, summary = play(bundle, Film(40, fps=40), meanwhile=ask)
    assert [e for e in heard.events() if e != "engine_started"] == [
        "frozen",
        "live",
        "exam_reset",
        "nothing_to_judge",
        "sink",
    ]
    assert summary["frames"]["dropped"]["frozen"] > 3


def test_status_once_a_second(bundle):
    heard, _ = play(bundle, Film(50, fps=40))
    statuses = heard.of(RecordType.STATUS)
    assert len(statuses) in (2, 3, 4)
    status = statuses[-1]
    assert status["engine"]["state"] == "up"
    assert status["engine"]["pid"] > 0
    assert status["frames"]["seen"] == 50
    assert set(status["latency_ms"]) == {"preprocess", "invoke", "postprocess", "total"}
    assert status["rss_mib"] > 30
    assert status["sinks"] == {"listener": {"dropped": 0, "failed": 0}}
