"""Whatever happens to the engine's process, it is said, and another takes its place."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_cns.bundle import Bundle, read_bundle
from edge_cns.contract import InputSpec
from edge_cns.errors import BadInputError, GoldenMismatchError, InitialisationError, UnsupportedError
from edge_cns.runtime.backends.fake import VARIABLE
from edge_cns.runtime.engine import supervisor as module
from edge_cns.runtime.engine.supervisor import Answer, Checked, Lost, Started, Supervisor


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Path) -> Bundle:
    return read_bundle(tiny_bundle)


@pytest.fixture
def start(bundle, monkeypatch):
    """Starts supervisors, with a fault if one is asked for, and closes them."""
    made = []

    def call(backend: str = "auto", fault: str = "", **settings) -> Supervisor:
        monkeypatch.setenv(VARIABLE, fault)
        made.append(Supervisor(bundle, backend, **settings))
        made[-1].tested = made[-1].start()
        return made[-1]

    yield call
    for supervisor in made:
        supervisor.close()


def outcomes_until(supervisor: Supervisor, kind: type, seconds: float = 10.0) -> list:
    """What `poll` gives until there is one of a kind."""
    seen, until = [], time.monotonic() + seconds
    while not any(isinstance(outcome, kind) for outcome in seen):
        assert time.monotonic() < until, f"no {kind.__name__} within {seconds} s; only {seen}"
        seen += supervisor.poll()
        time.sleep(0.002)
    return seen


def run(supervisor: Supervisor, slot: int = 0) -> Answer:
    supervisor.input(slot)[:] = np.random.default_rng(slot).integers(-128, 128, (1, 64, 64, 1), np.int8)
    supervisor.submit(slot)
    return next(o for o in outcomes_until(supervisor, Answer) if isinstance(o, Answer))


def test_power_on(start):
    tested = start().tested
    assert (tested.backend, tested.exact, tested.fallback) == ("litert", True, "")
    assert 0 < tested.warm_up_ms < tested.load_ms
    assert tested.pid > 0


def test_frames_are_answered_and_the_engine_is_checked_between_them(start):
    supervisor = start()
    first = run(supervisor, 0)
    assert first.slot == 0
    assert set(first.outputs) == {"logits", "cam", "embedding"}
    assert first.nanoseconds > 0
    begun = time.monotonic()
    for _ in range(3):
        outcomes_until(supervisor, Checked)
    assert 0.4 < time.monotonic() - begun < 3, "four times a second, about"
    np.testing.assert_array_equal(run(supervisor, 0).outputs["logits"], first.outputs["logits"])


@pytest.mark.parametrize(
    ("number", "said"), [(signal.SIGKILL, "killed by SIGKILL"), (signal.SIGSTOP, "did not answer for 300 ms")]
)
def test_a_dead_or_stopped_engine_is_replaced(start, number, said):
    supervisor = start()
    before = supervisor.pid
    os.kill(before, number)
    seen = outcomes_until(supervisor, Started)
    (lost,) = [o for o in seen if isinstance(o, Lost)]
    assert said in lost.reason
    assert seen[-1].pid == supervisor.pid != before
    assert supervisor.restarts == 1
    assert run(supervisor).slot == 0
    with pytest.raises(ProcessLookupError):
        os.kill(before, 0)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("hang", "did not answer"),
        ("crash", "killed by SIGABRT"),
        ("garbage", "wrong outputs for the golden picture"),
        ("leak", "grew to"),
    ],
)
def test_faults_are_found_and_named(start, fault, said):
    supervisor = start("fake", fault)
    os.kill(supervisor.pid, signal.SIGUSR1)
    lost, until = None, time.monotonic() + 10
    while lost is None:
        assert time.monotonic() < until
        if supervisor.up and not supervisor._in_flight:
            supervisor.submit(0)
        lost = next((o for o in supervisor.poll() if isinstance(o, Lost)), None)
    assert said in lost.reason
    outcomes_until(supervisor, Started)
    run(supervisor)


def test_when_the_budget_is_spent_the_cpu_takes_over_loudly(start, monkeypatch):
    monkeypatch.setattr(module, "_PAUSES_S", (0.0, 0.0))
    supervisor = start("fake", "crash")
    for _ in range(2):
        os.kill(supervisor.pid, signal.SIGUSR1)
        seen = outcomes_until(supervisor, Started)
    assert supervisor.backend == "litert"
    assert seen[-1].fallback == supervisor.fallback == "on the CPU: fake failed 2 times in a row"
    run(supervisor)


def test_without_a_fallback_it_tries_again_later_and_is_down_meanwhile(start, monkeypatch):
    monkeypatch.setattr(module, "_PAUSES_S", (0.0,))
    monkeypatch.setattr(module, "_RETRY_S", 0.3)
    supervisor = start()
    os.kill(supervisor.pid, signal.SIGKILL)
    outcomes_until(supervisor, Started)
    assert supervisor.spent
    os.kill(supervisor.pid, signal.SIGKILL)
    outcomes_until(supervisor, Lost)
    begun = time.monotonic()
    assert not supervisor.up
    assert supervisor.fileno() == -1
    outcomes_until(supervisor, Started)
    assert time.monotonic() - begun > 0.25


def test_a_missing_engine_is_an_error_or_a_fallback_that_is_said(start):
    with pytest.raises(InitialisationError, match=r"fake engine is missing.*--allow-fallback"):
        start("fake", "missing")
    supervisor = start("fake", "missing", allow_fallback=True)
    assert supervisor.tested.backend == "litert"
    assert "fake cannot be used" in supervisor.tested.fallback
    run(supervisor)


def test_an_engine_that_does_not_reproduce_the_golden_vectors_is_refused(start):
    with pytest.raises(GoldenMismatchError, match="golden frame 0"):
        start("fake", "differs")


def test_an_unknown_engine_is_one_line(start):
    with pytest.raises(BadInputError, match="no backend 'abacus'"):
        start("abacus")


def test_closing_ends_the_process(start):
    supervisor = start()
    pid = supervisor.pid
    supervisor.close()
    supervisor.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_an_engine_that_hangs_in_its_self_test_holds_nobody_up(start, monkeypatch):
    supervisor = start("fake", "")
    monkeypatch.setenv(VARIABLE, "hang@0")
    os.kill(supervisor.pid, signal.SIGKILL)
    longest, lost, until = 0.0, [], time.monotonic() + 15
    while len(lost) < 2:
        assert time.monotonic() < until
        begun = time.monotonic()
        lost += [o.reason for o in supervisor.poll() if isinstance(o, Lost)]
        longest = max(longest, time.monotonic() - begun)
        time.sleep(0.005)
    assert "failed its self-test" in lost[1]
    assert longest < 0.5, "a self-test of a hanging engine takes a second"


def test_a_model_of_another_contract_is_refused(bundle, monkeypatch):
    other = replace(bundle, contract=replace(bundle.contract, input=InputSpec(96, 96)))
    supervisor = Supervisor(other)
    with pytest.raises(UnsupportedError, match="they are not of one bundle"):
        supervisor.start()
    supervisor.close()
