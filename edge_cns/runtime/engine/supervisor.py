"""Keeps an engine at work: replaces the process when it dies, hangs, grows or lies, and says so each time.

Lies are found by a check: four times a second a golden picture is run between the frames, and its outputs must be, to
the bit, those of the self-test on this machine.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from statistics import median
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edge_cns.bundle import Bundle, read_arrays
from edge_cns.contract import OUTPUTS
from edge_cns.errors import EdgeCnsError, InitialisationError, OperationError, OperationTimeoutError
from edge_cns.preprocess import quantise_into
from edge_cns.runtime.engine.process import EngineProcess
from edge_cns.runtime.fit import check_model
from edge_cns.runtime.selftest import check_golden
from edge_cns.runtime.target import choose

__all__ = ["CPU_BACKEND", "Answer", "Checked", "Lost", "Outcome", "SelfTest", "Started", "Supervisor"]

CPU_BACKEND = "litert"
"""What ``auto`` takes, and what a failing accelerator falls back to."""

_CHECK = 2  # slot of the check; 0 and 1 are the frames'
_CHECK_EVERY_NS = 250_000_000
_HANGS_NS = 300_000_000  # at least; a slow machine gets `_PATIENCE` times its warm-up
_PATIENCE = 20
_PAUSES_S = (0.0, 0.1, 0.3, 1.0, 2.0)  # before a restart; their number is the budget
_BUDGET_S = 60.0
_RETRY_S = 10.0  # between attempts when the budget is spent
_START_S = 30.0  # for an engine to load at power-on; an accelerator may compile its model
_RESTART_S = 5.0  # at least, later on; an engine that took longer at power-on gets `_PATIENCE_TO_LOAD` times that
_PATIENCE_TO_LOAD = 5
_ANSWER_S = 1.0  # at least, for a run of the self-test at a restart
_GROWTH_BYTES = 512 * 2**20  # above what it needed after its warm-up
_WARM_UP = 5
_REMEMBERED = 512  # runs whose time is remembered


@dataclass(frozen=True, slots=True)
class SelfTest:
    """What was found at power-on.

    Attributes:
        backend, version: the engine that runs.
        pid: of its process.
        exact: whether the golden vectors came out to the bit, as on the machine that recorded them.
        load_ms: until the engine was loaded.
        warm_up_ms: a run, once warm; median of five.
        fallback: why it is not the backend that was asked for; empty if it is.
    """

    backend: str
    version: str
    pid: int
    exact: bool
    load_ms: float
    warm_up_ms: float
    fallback: str


@dataclass(frozen=True, slots=True, eq=False)
class _Examined:
    """What a self-test found of a process: golden vectors exact or not, ns of warm runs, outputs for the picture."""

    exact: bool
    spent: list[int]
    said: dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """A frame was run: its slot, int8 outputs by name, and the nanoseconds of the run."""

    slot: int
    outputs: dict[str, NDArray[np.int8]]
    nanoseconds: int


@dataclass(frozen=True, slots=True)
class Checked:
    """The engine has just been found right: what it said before this stands."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The engine is gone with all that it was running; what it said since it was last found right may be wrong."""

    reason: str


@dataclass(frozen=True, slots=True)
class Started:
    """An engine is there again. ``fallback`` is empty unless it is another than was asked for."""

    pid: int
    backend: str
    fallback: str


Outcome: TypeAlias = "Answer | Checked | Lost | Started"


class Supervisor:
    """One engine, whatever happens to its process. One thread at a time.

    Args:
        bundle: verified bundle.
        backend: name in the table, or ``auto``.
        threads: CPU threads the engine may use.
        allow_fallback: take the CPU where ``backend`` cannot be had at the start.
        clock: ``CLOCK_MONOTONIC`` ns.

    Raises:
        BadInputError, TamperedError: the model that was converted for the backend is not there, or not the right one.
    """

    def __init__(
        self,
        bundle: Bundle,
        backend: str = "auto",
        *,
        threads: int = 1,
        allow_fallback: bool = False,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._bundle, self._threads, self._clock = bundle, threads, clock
        self._backend = CPU_BACKEND if backend == "auto" else backend
        self._chosen = choose(bundle, self._backend)
        self._allow_fallback = allow_fallback
        golden = read_arrays(bundle.files["golden.npz"], "golden.npz")
        self._picture: NDArray[np.uint8] = golden["image"][0]
        self._right: dict[str, NDArray[Any]] = {}
        self._process: EngineProcess | None = self._spawn()
        self._up = False
        self._in_flight: deque[tuple[int, int, int]] = deque()  # number, slot, ns of submission
        self._answered_ns = self._next_check_ns = self._not_before_ns = self._spawned_ns = self._up_ns = 0
        self._deaths: deque[int] = deque()
        self._limit, self._load_s, self._broken = 0, _START_S, ""
        self._examination: Future[_Examined] | None = None
        self._hangs_ns = _HANGS_NS
        self._times: deque[int] = deque(maxlen=_REMEMBERED)
        self.restarts = 0
        self.fallback = ""

    def start(self) -> SelfTest:
        """Load the engine, run the golden vectors, and warm up. Where there is a fallback, it is tried too.

        Raises:
            InitialisationError: the engine cannot be had here, or does not reproduce the golden vectors.
            BadInputError, UnsupportedError: there is no such engine, or it cannot run the model.
        """
        begun = self._clock()
        if self._backend != CPU_BACKEND:
            self._rehearse_fallback()
        try:
            exact = self._settle(_START_S)
        except InitialisationError as error:
            if not self._allow_fallback or self._backend == CPU_BACKEND:
                if self._backend == CPU_BACKEND:
                    raise
                raise type(error)(f"{error}; or run on the CPU with --allow-fallback") from None
            self._fall_back(f"{self._backend} cannot be used ({error})")
            exact = self._settle(_START_S)
        assert self._process is not None
        loaded = self._clock()
        self._load_s = min(_START_S, max(_RESTART_S, _PATIENCE_TO_LOAD * (loaded - begun) / 1e9))
        return SelfTest(
            backend=self._process.name,
            version=self._process.version,
            pid=self._process.pid,
            exact=exact,
            load_ms=(loaded - begun) / 1e6,
            warm_up_ms=median(self._times) / 1e6,
            fallback=self.fallback,
        )

    @property
    def engine(self) -> EngineProcess:
        """The process that is up.

        Raises:
            OperationError: none is.
        """
        if self._process is None or not self._up:
            raise OperationError("no engine is running")
        return self._process

    @property
    def up(self) -> bool:
        """Whether frames can be submitted."""
        return self._up

    @property
    def backend(self) -> str:
        """Name of the engine that runs, or is to run."""
        return self._backend

    @property
    def pid(self) -> int:
        """Of the engine's process; 0 while there is none."""
        return 0 if self._process is None else self._process.pid

    @property
    def spent(self) -> bool:
        """Whether the restart budget is used up."""
        return len(self._deaths) >= len(_PAUSES_S)

    def memory_bytes(self) -> int:
        """Resident memory of the engine's process; 0 while there is none."""
        return 0 if self._process is None else self._process.memory_bytes()

    def times_ms(self) -> NDArray[np.float64]:
        """Of the last runs, as the engine's process measured them."""
        return np.array(self._times, np.float64) / 1e6

    def fileno(self) -> int:
        """To wait on for the next outcome; -1 while no process is there."""
        waits = self._process is not None and self._examination is None
        return self._process.fileno() if waits and self._process is not None else -1

    def input(self, slot: int) -> NDArray[Any]:
        """Memory of a slot's input, ``(1, H, W, 1)``."""
        return self.engine.input(slot)

    def submit(self, slot: int) -> None:
        """Run a slot (0 or 1). Its answer, or `Lost`, will be among what `poll` returns."""
        try:
            self._in_flight.append((self.engine.submit(slot), slot, self._clock()))
        except OperationError as error:
            self._broken = str(error)  # `poll` says it

    def poll(self) -> list[Outcome]:
        """Look after the engine, and fetch what it has answered. Never waits."""
        now = self._clock()
        if self._process is None:
            if now >= self._not_before_ns:
                try:
                    self._process, self._spawned_ns = self._spawn(), now
                except OSError as error:  # no memory, no descriptor, no process to be had now
                    return [self._lose(f"it cannot be started ({error.strerror})", now)]
            return []
        if not self._up:
            return self._start_again(now)
        outcomes: list[Outcome] = []
        try:
            if self._broken:
                raise OperationError(self._broken)
            while (reply := self._process.reply(0)) is not None:
                outcomes.append(self._take(reply.number, reply.slot, reply.nanoseconds, reply.error))
            if self._in_flight and now - max(self._in_flight[0][2], self._answered_ns) > self._hangs_ns:
                raise OperationError(f"it did not answer for {self._hangs_ns / 1e6:.0f} ms")
            if now >= self._next_check_ns:
                self._check(now)
        except OperationError as error:
            outcomes.append(self._lose(str(error), now))
        return outcomes

    def verify(self, timeout_s: float) -> bool:
        """Whether the engine, with nothing in flight, is found right within a time: for the end of a session."""
        until = self._clock() + int(timeout_s * 1e9)
        self._next_check_ns = 0
        while self._up and self._clock() < until:
            if any(isinstance(outcome, Checked) for outcome in self.poll()):
                return True
            time.sleep(0.001)
        return False

    def close(self) -> None:
        """End the process. May be called twice."""
        self._up, self._broken, self._examination = False, "", None
        if self._process is not None:
            self._process.close()
            self._process = None

    def _spawn(self) -> EngineProcess:
        return EngineProcess(self._chosen.model, self._backend, self._threads)

    def _settle(self, timeout_s: float) -> bool:
        """From a process that loads to an engine that is known to be right; waits for it.

        Returns:
            Whether the golden vectors were exact.
        """
        if self._process is None:
            self._process = self._spawn()
        try:
            if not self._process.connect(timeout_s):
                raise InitialisationError(f"{self._backend} was not ready within {timeout_s:g} s")
            examined = self._examine(self._process)
            self._accept(self._process, examined)
        except EdgeCnsError:
            self.close()
            raise
        return examined.exact

    def _examine(self, process: EngineProcess) -> _Examined:
        """The self-test: the model fits, the golden vectors come out, and how long a warm run takes.

        Raises:
            InitialisationError, UnsupportedError: it failed.
        """
        try:
            check_model(process, self._bundle.contract)
            exact = check_golden(self._chosen.bundle, process)
            spent = []
            for _ in range(_WARM_UP):
                quantise_into(self._picture, process.input())
                begun = self._clock()
                process.invoke()
                spent.append(self._clock() - begun)
            return _Examined(exact, spent, {name: process.output(name)[0] for name in OUTPUTS})
        except (OperationError, OperationTimeoutError) as error:
            raise InitialisationError(f"{self._backend} failed its self-test ({error})") from None

    def _accept(self, process: EngineProcess, examined: _Examined) -> None:
        """Use it from now on.

        Raises:
            InitialisationError: it does not say of a golden picture what it said before.
        """
        if self._right and not _same(examined.said, self._right):
            raise InitialisationError(f"{self._backend} no longer says what it said of a golden picture")
        self._right = examined.said
        self._times.extend(examined.spent)
        self._limit = process.memory_bytes() + _GROWTH_BYTES
        self._hangs_ns = max(_HANGS_NS, _PATIENCE * int(median(examined.spent)))
        now = self._clock()
        self._up, self._up_ns, self._answered_ns, self._next_check_ns = True, now, now, now + _CHECK_EVERY_NS
        self._in_flight.clear()

    def _rehearse_fallback(self) -> None:
        """The CPU has to be right as well, before anybody depends on it."""
        process = EngineProcess(self._bundle.files["model.tflite"], CPU_BACKEND, self._threads)
        try:
            if not process.connect(_START_S):
                raise InitialisationError(f"{CPU_BACKEND}, the fallback, was not ready within {_START_S:g} s")
            check_golden(self._bundle, process)
        finally:
            process.close()

    def _fall_back(self, why: str) -> None:
        self.close()
        self.fallback = f"on the CPU: {why}"
        self._backend, self._right = CPU_BACKEND, {}
        self._chosen = choose(self._bundle, CPU_BACKEND)
        self._times.clear()

    def _start_again(self, now: int) -> list[Outcome]:
        """One step of a restart; the self-test runs in a thread, for an engine may hang in it."""
        process = self._process
        assert process is not None
        try:
            if self._examination is None:
                if process.connect(0):
                    process.answer_seconds = max(_ANSWER_S, self._hangs_ns / 1e9)
                    self._examination = _in_thread(lambda: self._examine(process))
                elif now - self._spawned_ns >= self._load_s * 1e9:
                    raise InitialisationError(f"it was not ready within {self._load_s:g} s")
                return []
            if not self._examination.done():
                return []
            examined, self._examination = self._examination.result(), None
            self._accept(process, examined)
        except (EdgeCnsError, OSError) as error:
            return [self._lose(str(error), now)]
        self.restarts += 1
        return [Started(process.pid, self._backend, self.fallback)]

    def _take(self, number: int, slot: int, nanoseconds: int, error: str) -> Outcome:
        """One reply.

        Raises:
            OperationError: it is an error, an answer that nobody asked for, or a wrong one to the check.
        """
        if error:
            raise OperationError(error)
        if not self._in_flight or self._in_flight.popleft()[:2] != (number, slot):
            raise OperationError("it answered what nobody had asked")
        self._answered_ns = self._clock()
        outputs = self.engine.outputs(slot)
        if slot == _CHECK:
            if not _same(outputs, self._right):
                raise OperationError("it gave wrong outputs for the golden picture")
            return Checked()
        self._times.append(nanoseconds)
        return Answer(slot, outputs, nanoseconds)

    def _check(self, now: int) -> None:
        """Put the golden picture between the frames, and look at the engine's memory."""
        if any(slot == _CHECK for _, slot, _ in self._in_flight):
            return
        used = self.engine.memory_bytes()
        if used > self._limit:
            raise OperationError(f"it grew to {used / 2**20:.0f} MiB")
        quantise_into(self._picture, self.engine.input(_CHECK))
        self._in_flight.append((self.engine.submit(_CHECK), _CHECK, now))
        self._next_check_ns = now + _CHECK_EVERY_NS

    def _lose(self, reason: str, now: int) -> Lost:
        """Kill what is left, and decide when and on what to start again."""
        what, was_up = self._backend, self._up
        self.close()
        self._in_flight.clear()
        if now - self._up_ns > _BUDGET_S * 1e9 and was_up:  # it had been well for a while
            self._deaths.clear()
        pause = _RETRY_S if self.spent else _PAUSES_S[len(self._deaths)]
        self._deaths.append(now)
        if self.spent and self._backend != CPU_BACKEND:
            self._fall_back(f"{what} failed {len(self._deaths)} times in a row")
            self._deaths.clear()
            pause = 0.0
        self._not_before_ns = now + int(pause * 1e9)
        return Lost(f"the engine {what} was lost: {reason}")


def _in_thread(examine: Callable[[], _Examined]) -> Future[_Examined]:
    """Run in a thread that nobody has to wait for: it ends with the process that it examines."""
    future: Future[_Examined] = Future()

    def run() -> None:
        try:
            future.set_result(examine())
        except Exception as error:
            future.set_exception(error)

    threading.Thread(target=run, name="self-test", daemon=True).start()
    return future


def _same(said: dict[str, NDArray[Any]], right: dict[str, NDArray[Any]]) -> bool:
    return all(np.array_equal(said[name], right[name]) for name in OUTPUTS)
