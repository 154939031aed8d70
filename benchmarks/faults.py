"""How long is the bedside blind? Faults of source, engine and surroundings, injected into a running session.

    python -m benchmarks.faults NAME.cns [--trials 20] [--only NAME ...] [--json]

Each trial is a session of its own: 30 frames a second of phantom, a fault in the middle of it. Blind time runs from
the last verdict before the fault to the first that says so (*no signal*, *frozen*, *not a supported view*), or to the
first verdict on a frame that was captured after it, whichever comes first. `stale` counts verdicts that were given out
as current although their frame was older than half a second: there may be none.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge_cns.bundle import Bundle, read_bundle
from edge_cns.data.phantom import frames as phantom_frames
from edge_cns.decision.verdict import LIFETIME_NS
from edge_cns.errors import EdgeCnsError, OperationError
from edge_cns.frames import Delivery, EventKind, Frame, MachineEvent, UnusableFrame
from edge_cns.runtime.backends.fake import VARIABLE
from edge_cns.runtime.engine.supervisor import Supervisor
from edge_cns.runtime.live.dispatcher import Dispatcher
from edge_cns.runtime.live.limiter import Limiter
from edge_cns.runtime.power import PowerPolicy
from edge_cns.runtime.sinks.base import RecordType, Session
from edge_cns.runtime.sinks.memory import Memory
from edge_cns.runtime.sinks.runner import SinkRunner, close_all
from edge_cns.runtime.sinks.table import open_sink

__all__ = ["FAULTS", "Fault", "main", "run_trial"]

_PAGE = "http://127.0.0.1:8769"
_FPS = 30
_SIZE = 480
_WARM = 15  # verdicts before a fault
_WATCHED_S = 1.6  # after it
_SAID = ("no_signal", "frozen", "not_supported_view")


class Puppet:
    """A source that does as it is told."""

    def __init__(self) -> None:
        film = phantom_frames("anencephaly", fps=_FPS, seed=1, size=_SIZE)
        self._pictures = [next(film).pixels for _ in range(24)]
        self.newest = self._pictures[0]
        self.change: Callable[[Frame], Delivery | None] = lambda frame: frame
        self.say: list[MachineEvent] = []
        self.dies = False
        self._closed = threading.Event()

    def __iter__(self) -> Iterator[Delivery]:
        due = time.monotonic()
        for sequence in range(10**9):
            due += 1 / _FPS
            if self._closed.wait(max(0.0, due - time.monotonic())):
                return
            if self.dies:
                raise OperationError("the cable was pulled")
            while self.say:
                yield self.say.pop()
            delivery = self.change(Frame(self._pictures[abs(sequence % 46 - 23)], time.monotonic_ns(), sequence))
            self.newest = delivery.pixels if isinstance(delivery, Frame) else self.newest
            if delivery is not None:
                yield delivery

    def close(self) -> None:
        self._closed.set()


@dataclass
class Trial:
    """A running session, for a fault to act on."""

    source: Puppet
    engine: Supervisor
    dispatcher: Dispatcher
    heard: Memory
    open_things: ExitStack


@dataclass(frozen=True)
class Fault:
    """One way of going wrong.

    Attributes:
        inject: makes it happen.
        expected: what has to be said; empty where classification simply has to go on.
        lies: whether verdicts after the fault are wrong, and so cannot be the last true one.
        backend: engine of the session.
        variable: which fault the fake engine has when it is told to.
        sinks: more sinks, of which each is opened anew.
    """

    inject: Callable[[Trial], None] = lambda trial: None
    expected: tuple[str, ...] = ()
    lies: bool = False
    backend: str = "auto"
    variable: str = ""
    sinks: Callable[[ExitStack], list[str]] = field(default=lambda stack: [])


def _always(change: Callable[[Frame], Delivery | None]) -> Callable[[Trial], None]:
    def inject(trial: Trial) -> None:
        trial.source.change = change

    return inject


def _die(trial: Trial) -> None:
    trial.source.dies = True


def _hold_pixels(trial: Trial) -> None:
    held = trial.source.newest
    trial.source.change = lambda frame: Frame(held, frame.captured_ns, frame.sequence)


def _announce_freeze(trial: Trial) -> None:
    trial.source.say.append(MachineEvent.now(EventKind.FREEZE))


def _backwards(frame: Frame) -> Frame:
    return Frame(frame.pixels, frame.captured_ns - 3_000_000_000, frame.sequence)


def _other_format(frame: Frame) -> Frame:
    pixels = cv2.resize(frame.pixels, (1024, 768))
    return Frame(cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR), frame.captured_ns, frame.sequence)


def _doppler(frame: Frame) -> Frame:
    pixels = cv2.cvtColor(frame.pixels, cv2.COLOR_GRAY2BGR)
    cv2.circle(pixels, (220, 240), 40, (30, 60, 220), -1)
    cv2.circle(pixels, (280, 260), 30, (220, 90, 30), -1)
    return Frame(pixels, frame.captured_ns, frame.sequence)


def _tiny(frame: Frame) -> UnusableFrame:
    return UnusableFrame("frame is 40x30 px; both sides must be 64 to 8192 px", frame.captured_ns, frame.sequence)


def _signal_engine(number: int) -> Callable[[Trial], None]:
    return lambda trial: os.kill(trial.engine.pid, number)


def _full_disk(stack: ExitStack) -> list[str]:
    """A log on a file system of 64 KiB; where none can be mounted, the device that is always full."""
    folder = stack.enter_context(tempfile.TemporaryDirectory())
    if os.geteuid() == 0 and os.system(f"mount -t tmpfs -o size=64k tmpfs {folder} 2>/dev/null") == 0:
        stack.callback(os.system, f"umount -l {folder}")
        return [f"jsonl://{folder}/full.jsonl"]
    return ["jsonl:///dev/full"]


def _hanging_viewer(trial: Trial) -> None:
    """Three viewers that connect to the page and never read."""
    import aiohttp

    async def watch() -> None:
        async with aiohttp.ClientSession() as session:
            sockets = [await session.ws_connect(f"{_PAGE}/live", origin=_PAGE) for _ in range(3)]
            for socket in sockets:
                socket._response.connection.transport.pause_reading()  # type: ignore[union-attr]
            await asyncio.sleep(_WATCHED_S)

    threading.Thread(target=lambda: asyncio.run(watch()), daemon=True).start()


_begin_fault = _signal_engine(signal.SIGUSR1)

FAULTS: dict[str, Fault] = {
    "source killed": Fault(_die, ("no_signal",)),
    "source silent": Fault(_always(lambda frame: None), ("no_signal",)),
    "source black": Fault(_always(lambda f: Frame(np.zeros_like(f.pixels), f.captured_ns, f.sequence)), ("no_signal",)),
    "source runs backwards": Fault(_always(_backwards), ("no_signal",)),
    "source frozen, unannounced": Fault(_hold_pixels, ("frozen",)),
    "source frozen, announced": Fault(_announce_freeze, ("frozen",)),
    "format changes": Fault(_always(_other_format)),
    "colour Doppler": Fault(_always(_doppler), ("not_supported_view",)),
    "frames under 64 px": Fault(_always(_tiny), ("not_supported_view",)),
    "engine killed": Fault(_signal_engine(signal.SIGKILL), ("no_signal",)),
    "engine stopped": Fault(_signal_engine(signal.SIGSTOP), ("no_signal",)),
    "engine told to end": Fault(_signal_engine(signal.SIGTERM)),
    "engine crashes": Fault(_begin_fault, ("no_signal",), backend="fake", variable="crash"),
    "engine hangs": Fault(_begin_fault, ("no_signal",), backend="fake", variable="hang"),
    "engine returns garbage": Fault(_begin_fault, ("no_signal",), lies=True, backend="fake", variable="garbage"),
    "engine eats memory": Fault(_begin_fault, ("no_signal",), backend="fake", variable="leak"),
    "engine slow by 10x": Fault(_begin_fault, backend="fake", variable="slow"),
    "disk full": Fault(sinks=_full_disk),
    "viewers hang": Fault(_hanging_viewer, sinks=lambda stack: [_PAGE]),
}


@contextmanager
def _session(bundle: Bundle, fault: Fault) -> Iterator[Trial]:
    with ExitStack() as stack:
        os.environ.pop(VARIABLE, None)
        if fault.variable:
            os.environ[VARIABLE] = fault.variable
            stack.callback(os.environ.pop, VARIABLE, None)
        engine = Supervisor(bundle, fault.backend)
        stack.callback(engine.close)
        source, heard = Puppet(), Memory()
        sinks = [open_sink(uri) for uri in fault.sinks(stack)]
        engine.start()
        dispatcher = Dispatcher(bundle, engine, source, policy="latest", limiter=Limiter(None), power=PowerPolicy())
        runners = [SinkRunner(s, f"sink-{i}", dispatcher.sink_said) for i, s in enumerate([heard, *sinks])]
        for runner in runners:
            runner.start(Session(bundle, "puppet", dispatcher))
        session = threading.Thread(target=_quietly, args=(dispatcher, runners))
        session.start()
        try:
            yield Trial(source, engine, dispatcher, heard, stack)
        finally:
            dispatcher.stop()
            session.join()
            close_all(runners, 1.0)


def _quietly(dispatcher: Dispatcher, runners: list[SinkRunner]) -> None:
    with suppress(EdgeCnsError):
        dispatcher.run(runners)


def run_trial(bundle: Bundle, fault: Fault) -> dict[str, Any]:
    """One session with one fault.

    Returns:
        ``blind_ms``: see the module; ``back_ms`` until a frame captured after the fault has its verdict again, or
        ``None``; ``said``: the first state after the fault; ``stale``; ``restarts``; ``adds_up``.
    """
    with _session(bundle, fault) as trial:
        _until(lambda: len(_live(trial.heard.of(RecordType.VERDICT))) >= _WARM, 10)
        at = time.monotonic_ns()
        fault.inject(trial)
        time.sleep(_WATCHED_S)
        verdicts = trial.heard.of(RecordType.VERDICT)
        restarts = trial.engine.restarts
    counts = trial.dispatcher.counts.to_json()
    said = next((v for v in verdicts if v["emitted_ns"] > at and _says_so(v, at, fault)), None)
    until = at if fault.lies or said is None else said["emitted_ns"] - 1
    last = [v for v in _live(verdicts) if v["emitted_ns"] <= until][-1]["emitted_ns"]
    back = next((v for v in _live(verdicts) if v["captured_ns"] > at and _recovered(v, said, fault)), None)
    return {
        "blind_ms": None if said is None else (said["emitted_ns"] - last) / 1e6,
        "back_ms": None if back is None else (back["emitted_ns"] - last) / 1e6,
        "said": None if said is None else said["state"],
        "reason": None if said is None else said["reason"],
        "stale": sum(v["emitted_ns"] - v["captured_ns"] > LIFETIME_NS for v in _live(verdicts)),
        "restarts": restarts,
        "adds_up": counts["pending"] == 0,  # nothing may be left unaccounted for at the end
    }


def _live(verdicts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [v for v in verdicts if v["probabilities"] and v["state"] not in ("frozen", "no_signal")]


def _says_so(verdict: dict[str, Any], at: int, fault: Fault) -> bool:
    if fault.expected:
        return verdict["state"] in fault.expected and not verdict["reason"].startswith("not a supported view (")
    return bool(verdict["captured_ns"] > at)


def _recovered(verdict: dict[str, Any], said: dict[str, Any] | None, fault: Fault) -> bool:
    """Garbage is a verdict on a new frame too, but no recovery: that comes after it was found out."""
    return not fault.expected or (said is not None and verdict["emitted_ns"] > said["emitted_ns"])


def _until(condition: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise OperationError(f"nothing came within {seconds:g} s")
        time.sleep(0.005)


def measure(path: Path, trials: int, only: list[str]) -> dict[str, Any]:
    """Every fault, so many times."""
    bundle = read_bundle(path)
    table: dict[str, Any] = {}
    for name, fault in FAULTS.items():
        if only and name not in only:
            continue
        done = []
        for number in range(trials):
            done.append(run_trial(bundle, fault))
            print(f"\r{name}: {number + 1}/{trials}   ", end="", file=sys.stderr)
        table[name] = _summary(done)
    print(file=sys.stderr)
    return table


def _summary(done: list[dict[str, Any]]) -> dict[str, Any]:
    blind = [t["blind_ms"] for t in done if t["blind_ms"] is not None]
    back = [t["back_ms"] for t in done if t["back_ms"] is not None]
    return {
        "trials": len(done),
        "said": len(blind),
        "state": sorted({t["said"] for t in done if t["said"]}),
        "reason": next((t["reason"] for t in done if t["reason"]), ""),
        "blind_ms_median": float(np.median(blind)) if blind else None,
        "blind_ms_max": max(blind, default=None),
        "back": len(back),
        "back_ms_max": max(back, default=None),
        "stale": sum(t["stale"] for t in done),
        "counts_add_up": all(t["adds_up"] for t in done),
    }


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("bundle", type=Path, metavar="NAME.cns")
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--only", nargs="*", default=[], choices=sorted(FAULTS), metavar="NAME")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args(arguments)
    try:
        table = measure(asked.bundle, asked.trials, asked.only)
    except EdgeCnsError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    if asked.json:
        print(json.dumps(table, indent=2))
        return
    print(f"{'fault':<28}{'said':>7}{'blind, ms':>12}{'at most':>9}{'back after':>12}{'stale':>7}  says")
    for name, row in table.items():
        figures = [_ms(row[key]) for key in ("blind_ms_median", "blind_ms_max", "back_ms_max")]
        said = f"{row['said']}/{row['trials']}"
        print(
            f"{name:<28}{said:>7}{figures[0]:>12}{figures[1]:>9}{figures[2]:>12}{row['stale']:>7}  "
            f"{', '.join(row['state'])}: {row['reason']}"
        )


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"


if __name__ == "__main__":
    main()
