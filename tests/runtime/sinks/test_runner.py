from __future__ import annotations

import errno
import threading
import time

import pytest

from edge_cns.errors import OperationError
from edge_cns.runtime.sinks import runner as module
from edge_cns.runtime.sinks.base import Record, RecordType
from edge_cns.runtime.sinks.runner import SinkRunner, close_all
from tests.runtime.sinks.made import event, selftest, session, status, summary, verdict


class Sink:
    """Keeps what it gets; ``gate`` holds writes up, ``errors`` are raised one a write."""

    def __init__(self, lossless: bool = True) -> None:
        self.lossless = lossless
        self.calls: list[str] = []
        self.threads: set[str] = set()
        self.got: list[Record] = []
        self.errors: list[Exception | None] = []
        self.gate = threading.Event()
        self.gate.set()
        self.writing = threading.Event()

    def start(self, session):
        self._called("start")

    def write(self, record):
        self._called("write")
        self.writing.set()
        self.gate.wait()
        if self.errors and (error := self.errors.pop(0)) is not None:
            raise error
        self.got.append(record)

    def close(self):
        self._called("close")

    def _called(self, name: str) -> None:
        self.calls.append(name)
        self.threads.add(threading.current_thread().name)

    @property
    def numbers(self) -> list[int]:
        return [record.value["sequence"] for record in self.got if record.type is RecordType.VERDICT]


@pytest.fixture
def run():
    """Start a sink and return its runner and what was said of it."""
    gates = []

    def start(sink) -> tuple[SinkRunner, list[tuple[str, str]]]:
        said: list[tuple[str, str]] = []
        runner = SinkRunner(sink, "one", lambda name, text: said.append((name, text)))
        runner.start(session())
        gates.append(sink.gate)
        return runner, said

    yield start
    for gate in gates:
        gate.set()


def hold(sink: Sink, runner: SinkRunner) -> None:
    """Have the sink hang in the write of an event."""
    sink.gate.clear()
    runner.put(event())
    assert sink.writing.wait(5)


def test_everything_in_order_in_a_thread_of_its_own(run):
    sink = Sink()
    runner, said = run(sink)
    records = [selftest(), *(verdict(i) for i in range(500)), summary()]
    for record in records:
        runner.put(record)
    assert runner.close(10)
    assert [r.type for r in sink.got] == [r.type for r in records]
    assert sink.numbers == list(range(500))
    assert (sink.calls[0], sink.calls[-1], sink.calls.count("close")) == ("start", "close", 1)
    assert sink.threads == {"sink one"}
    assert runner.counts == {"dropped": 0, "failed": 0}
    assert said == []


def test_what_hangs_holds_up_nobody(run):
    sink = Sink()
    runner, _ = run(sink)
    hold(sink, runner)
    started = time.monotonic()
    for i in range(1000):
        runner.put(verdict(i))
    assert not runner.close(0.2)
    assert time.monotonic() - started < 5
    assert "close" not in sink.calls


def test_a_lossless_sink_loses_nothing_until_its_long_queue_is_full(run, monkeypatch):
    monkeypatch.setattr(module, "_LOSSLESS_WAITING", 100)
    sink = Sink()
    runner, _ = run(sink)
    hold(sink, runner)
    for i in range(130):
        runner.put(verdict(i))
    assert runner.counts["dropped"] == 30
    sink.gate.set()
    assert runner.close(10)
    assert sink.numbers == list(range(100))
    kept = [record.frame is not None for record in sink.got if record.type is RecordType.VERDICT]
    assert kept == [True] * 8 + [False] * 92, "what waits long does not hold pixels"
    assert all(record.frame is None and record.verdict is None for record in sink.got[9:])


def test_another_sink_gets_the_newest_verdicts_and_everything_else(run):
    sink = Sink(lossless=False)
    runner, _ = run(sink)
    hold(sink, runner)
    for i in range(50):
        runner.put(verdict(i))
        if i % 10 == 0:
            runner.put(status())
    runner.put(summary())
    assert runner.counts["dropped"] == 48
    sink.gate.set()
    assert runner.close(10)
    assert sink.numbers == [48, 49]
    assert [r.type.value for r in sink.got] == ["event", *["status"] * 5, "verdict", "verdict", "summary"]


def test_its_queue_has_an_end_whatever_comes(run):
    sink = Sink(lossless=False)
    runner, _ = run(sink)
    hold(sink, runner)
    runner.put(selftest())
    for i in range(400):
        runner.put(verdict(i))
        runner.put(status(at_ns=i))
    assert runner.counts["dropped"] == 801 - 256
    for _ in range(300):
        runner.put(event())
    assert runner.counts["dropped"] == 1101 - 256
    sink.gate.set()
    assert runner.close(10)
    assert {record.type for record in sink.got} == {RecordType.EVENT}


def test_a_sink_that_keeps_up_with_a_pause_loses_nothing(run):
    sink = Sink(lossless=False)
    runner, _ = run(sink)
    for i in range(20):
        sink.writing.clear()
        runner.put(verdict(i))
        assert sink.writing.wait(5)
    assert runner.close(10)
    assert sink.numbers == list(range(20))
    assert runner.counts["dropped"] == 0


def test_each_kind_of_failure_is_said_once_and_its_end_too(run):
    full, broken = OSError(errno.ENOSPC, "No space left on device", "/secret/folder/log"), ValueError("no\nnumber")
    sink = Sink()
    sink.errors = [full, full, broken, full, broken, None]
    runner, said = run(sink)
    for i in range(8):
        runner.put(verdict(i))
    assert runner.close(10)
    assert sink.numbers == [5, 6, 7], "the next one is tried all the same"
    assert said == [
        ("one", "No space left on device"),
        ("one", "ValueError: no number"),
        ("one", "works again, after 5 failed"),
    ]
    assert runner.counts == {"dropped": 0, "failed": 5}


def test_one_that_fails_now_and_then_does_not_flood(run):
    sink = Sink()
    sink.errors = [OSError(errno.EIO, "Input/output error"), None] * 50
    runner, said = run(sink)
    for i in range(100):
        runner.put(verdict(i))
    assert runner.close(10)
    assert said == [("one", "Input/output error"), ("one", "works again, after 1 failed")]
    assert runner.counts["failed"] == 50


def test_a_failure_that_lasts_is_said_in_the_end(run, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    said: list[str] = []
    failures = module._Failures(said.append)

    def fail():
        raise OperationError("gone")

    failures.watch(fail)
    failures.recovered()
    failures.watch(fail)
    assert said == ["gone", "works again, after 1 failed"]
    clock[0] = 11.0
    failures.watch(fail)
    assert said[2:] == ["gone"]


def test_one_that_cannot_make_ready_takes_nothing(run):
    class Unready(Sink):
        def start(self, session):
            raise OperationError("no display")

    sink = Unready()
    runner, said = run(sink)
    runner.put(verdict())
    assert runner.close(10)
    assert sink.got == []
    assert sink.calls == ["close"]
    assert said == [("one", "no display")]
    assert runner.counts == {"dropped": 1, "failed": 1}


def test_one_that_cannot_close_is_said(run):
    class Unclosable(Sink):
        def close(self):
            raise OSError(errno.EIO, "Input/output error")

    runner, said = run(Unclosable())
    assert runner.close(10)
    assert said == [("one", "Input/output error")]


def test_a_slow_one_finishes_what_it_can_in_time(run):
    class Slow(Sink):
        def write(self, record):
            time.sleep(0.05)
            super().write(record)

    sink = Slow()
    runner, _ = run(sink)
    for i in range(100):
        runner.put(verdict(i))
    runner.end(0.3)
    assert runner.join(10)
    assert 0 < len(sink.got) < 50
    assert runner.counts["dropped"] == 100 - len(sink.got)
    assert sink.calls[-1] == "close"


def test_after_the_end_nothing_is_taken(run):
    sink = Sink()
    runner, _ = run(sink)
    assert runner.close(10)
    assert runner.close(10)
    runner.put(verdict())
    assert sink.got == []
    assert runner.counts["dropped"] == 1


def test_one_that_never_ran_is_closed():
    sink = Sink()
    assert SinkRunner(sink, "one", lambda name, text: None).close(1)
    assert sink.calls == ["close"]


def test_several_end_side_by_side(run):
    class LongEnd(Sink):
        def close(self):
            time.sleep(0.3)
            super().close()

    runners = [run(LongEnd())[0] for _ in range(5)]
    started = time.monotonic()
    assert close_all(runners, 5)
    assert time.monotonic() - started < 1.2
    hanging = Sink()
    stuck, good = run(hanging)[0], run(Sink())[0]
    hold(hanging, stuck)
    assert not close_all([stuck, good], 0.3)
