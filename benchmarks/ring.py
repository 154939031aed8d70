"""The local door: how long a frame takes through it, and whether anything is torn, lost or left behind.

    python -m benchmarks.ring                       # hand-off, beside a socket copy and ZeroMQ, in turns
    python -m benchmarks.ring --results NAME.cns    # C machine at 60 fps: frame to verdict, 60 s for VGA and 1080p
    python -m benchmarks.ring --kills NAME.cns      # SIGKILL of machine and classifier, 100 times each

The machine is a C program (`ring_machine.c`, built here), the reader Python. Hand-off is the time from a frame that is
ready (drawn in the ring with `ring`, in the machine's own memory otherwise) to an array of it in the reader. ZeroMQ is
pyzmq's own library: pip install pyzmq.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import firmware_bridge
from edge_cns.errors import BadInputError, EdgeCnsError, OperationError
from edge_cns.frames import Frame
from edge_cns.runtime.resident import resident_bytes
from firmware_bridge.ring.client import RingClient
from firmware_bridge.ring.source import open_ring
from firmware_bridge.ring.wire import StateCode

__all__ = ["build_machine", "hand_off", "kills", "main", "results"]

SIZES = {"VGA": (640, 480), "1080p": (1920, 1080)}
_SDK = Path(firmware_bridge.__file__).with_name("sdk")
_ROUNDS = 6
_FRAMES = 180  # of a round
_FPS = 60
_NUMBER = iter(range(10**9))


def build_machine(folder: Path) -> Path:
    """Compile the machine with the SDK's own sources.

    Raises:
        OperationError: no compiler, or it refuses.
    """
    compiler = shutil.which("cc")
    if compiler is None:
        raise OperationError("there is no C compiler; install gcc")
    program = folder / "ring_machine"
    sources = [str(path) for path in (*_SDK.glob("src/*.c"), *_SDK.glob("src/ring/*.c"))]
    command = [
        compiler,
        "-O2",
        "-std=c11",
        f"-I{_SDK / 'include'}",
        f"-I{_SDK / 'src'}",
        str(Path(__file__).with_name("ring_machine.c")),
    ]
    done = subprocess.run(
        [*command, *sources, "-pthread", "-ldl", "-o", str(program)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise OperationError(f"the machine cannot be built: {done.stderr.splitlines()[0]}")
    return program


def hand_off(program: Path, folder: Path, rounds: int = _ROUNDS) -> list[dict[str, Any]]:
    """Ring, Unix-socket copy and ZeroMQ in turns, for each size."""
    library = _zmq_library()
    ways: dict[str, Callable[..., None]] = {"ring": _read_ring, "copy": _read_copied, "unix": _read_unix}
    if library is not None:
        ways["zmq"] = _read_zmq
    rows = []
    for size, (width, height) in SIZES.items():
        spent: dict[str, list[float]] = {way: [] for way in ways}
        torn, missing = dict.fromkeys(ways, 0), dict.fromkeys(ways, 0)
        for round_ in range(rounds):
            order = list(ways)
            random.Random(round_).shuffle(order)
            for way in order:
                seen = _Seen(width, height)
                ways[way](program, folder, width, height, library, seen)
                spent[way] += seen.milliseconds[10:]
                torn[way] += seen.torn
                missing[way] += _FRAMES - len(seen.milliseconds)
        for way in ways:
            p50, p99 = np.percentile(spent[way], (50, 99))
            row = {"size": size, "way": way, "p50_ms": float(p50), "p99_ms": float(p99), "frames": len(spent[way])}
            rows.append(row | {"torn": torn[way], "lost": missing[way]})
    return rows


class _Seen:
    """Looks at each frame as it comes: how old, and whether whole."""

    def __init__(self, width: int, height: int) -> None:
        self._size = width * height
        self.milliseconds: list[float] = []
        self.torn = 0

    def take(self, pixels: NDArray[np.uint8]) -> None:
        now = time.monotonic_ns()
        flat = pixels.reshape(-1)
        ready, number = flat[:16].view(np.int64)
        self.milliseconds.append((now - int(ready)) / 1e6)
        self.torn += flat.size != self._size or not bool((flat[16:] == (int(number) & 0xFF)).all())


def _start(program: Path, way: str, address: str, width: int, height: int, *more: str) -> subprocess.Popen[str]:
    command = [str(program), way, address, str(width), str(height), str(_FPS), str(_FRAMES), *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _read_ring(program: Path, folder: Path, width: int, height: int, library: str | None, seen: _Seen) -> None:
    _serve_ring(program, "ring", width, height, seen)


def _read_copied(program: Path, folder: Path, width: int, height: int, library: str | None, seen: _Seen) -> None:
    _serve_ring(program, "copy", width, height, seen)


def _serve_ring(program: Path, way: str, width: int, height: int, seen: _Seen) -> None:
    name = f"benchmark-{os.getpid()}-{next(_NUMBER)}"
    source = open_ring(f"ring://{name}")
    source.reply.start(_Session())  # type: ignore[arg-type]
    machine: subprocess.Popen[str] | None = None
    for delivery in source:
        if isinstance(delivery, Frame):
            seen.take(delivery.pixels)
        elif machine is None:
            machine = _start(program, way, f"ring://{name}", width, height)
        elif delivery.kind.value == "disconnected":
            source.close()
        del delivery
    assert machine is not None
    machine.wait()


class _Session:
    """What the ring's reply has to know, without a bundle."""

    class bundle:  # noqa: N801
        files = {"model.tflite": b""}  # noqa: RUF012

        class contract:  # noqa: N801
            class_names = ("a", "b")


def _read_unix(program: Path, folder: Path, width: int, height: int, library: str | None, seen: _Seen) -> None:
    path = folder / f"{next(_NUMBER)}.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        machine = _start(program, "unix", str(path), width, height)
        connection, _ = listening.accept()
    frame = np.empty((height, width), np.uint8)
    view = memoryview(frame).cast("B")
    with connection:
        while True:
            at = 0
            while at < len(view) and (got := connection.recv_into(view[at:])):
                at += got
            if at < len(view):
                break
            seen.take(frame)
    machine.wait()


def _read_zmq(program: Path, folder: Path, width: int, height: int, library: str | None, seen: _Seen) -> None:
    import zmq

    endpoint = f"ipc://{folder}/{next(_NUMBER)}.zmq"
    assert library is not None
    with zmq.Context() as context, context.socket(zmq.PULL) as pull:
        pull.bind(endpoint)
        machine = _start(program, "zmq", endpoint, width, height, library)
        while pull.poll(2000):
            seen.take(np.frombuffer(pull.recv(copy=False).buffer, np.uint8))
        machine.wait()


def _zmq_library() -> str | None:
    """The shared library that pyzmq brings, or ``None``."""
    try:
        import zmq
    except ModuleNotFoundError:
        print("pyzmq is not installed: ZeroMQ is left out", file=sys.stderr)
        return None
    found = sorted(Path(zmq.__file__).parents[1].glob("pyzmq.libs/libzmq*.so*"))
    return str(found[0]) if found else None


def results(program: Path, bundle: Path, seconds: float = 60) -> list[dict[str, Any]]:
    """A C machine at 60 fps against `edge-cns run`: frame to verdict."""
    rows = []
    for size, (width, height) in SIZES.items():
        frames = round(seconds * _FPS)
        log = program.with_name(f"{size}.jsonl")
        with _classifier(bundle, log) as name:
            command = [str(program), "result", f"ring://{name}", str(width), str(height), str(_FPS), str(frames)]
            said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
        milliseconds = [int(line.split()[1]) / 1e6 for line in said[:-1]][_FPS:]
        p50, p99 = np.percentile(milliseconds, (50, 99))
        lost = re.match(r"lost (\d+) of", said[-1])
        assert lost is not None
        counts = [json.loads(line) for line in log.read_text().splitlines()][-1]["frames"]
        row = {"size": size, "frames": frames, "verdicts": len(said) - 1, "p50_ms": float(p50), "p99_ms": float(p99)}
        rows.append(row | {"lost_by_machine": int(lost[1]), "missed_by_classifier": counts["missed"], "counts": counts})
    return rows


@contextmanager
def _classifier(bundle: Path, log: Path) -> Iterator[str]:
    """`edge-cns run` behind a ring, whose name is yielded."""
    name = f"benchmark-{os.getpid()}-{next(_NUMBER)}"
    process = _run(bundle, name, log)
    try:
        _await(name)
        yield name
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def _run(bundle: Path, name: str, log: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "edge_cns", "run", str(bundle), "--source", f"ring://{name}"]
    return subprocess.Popen([*command, "--sink", f"jsonl://{log}?max_mb=100000"], stderr=subprocess.DEVNULL)


def _await(name: str, **options: Any) -> float:
    """Until the ring is served; seconds that took."""
    begun = time.monotonic()
    while True:
        try:
            RingClient(name, **options).close()
        except BadInputError:
            if time.monotonic() - begun > 20:
                raise
            time.sleep(0.01)
        else:
            return time.monotonic() - begun


def kills(bundle: Path, times: int = 100) -> dict[str, Any]:
    """SIGKILL of the machine, then of the classifier, each with frames under way."""
    shm = set(os.listdir("/dev/shm"))
    report = {"machine": _kill_machines(bundle, times), "classifier": _kill_classifiers(bundle, times)}
    return report | {"left_in_dev_shm": sorted(set(os.listdir("/dev/shm")) - shm)}


_VICTIM = """
import sys, time
import numpy as np
from firmware_bridge.ring.client import RingClient
machine = RingClient(sys.argv[1], largest=(480, 640))
generator = np.random.default_rng()
print("up", flush=True)
while True:
    machine.send(generator.integers(0, 256, (480, 640), np.uint8))
    time.sleep(1 / 60)
"""


def _kill_machines(bundle: Path, times: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder, _classifier(bundle, Path(folder) / "log.jsonl") as name:
        session = _session_of(name)
        before: tuple[int, int] | None = None
        for n in range(times):
            machine = subprocess.Popen([sys.executable, "-c", _VICTIM, name], stdout=subprocess.PIPE)
            assert machine.stdout is not None
            machine.stdout.readline()
            time.sleep(0.15 + 0.1 * random.random())
            machine.kill()
            machine.wait()
            if n == min(4, times - 1):
                time.sleep(0.3)
                before = _usage(session)
        with RingClient(name, largest=(480, 640)) as last:
            answered = _is_answered(last)
        time.sleep(0.3)
        after = _usage(session)
        assert before is not None
    return {
        "times": times,
        "answers_afterwards": answered,
        "descriptors": [before[0], after[0]],
        "rss_mib": [before[1] / 2**20, after[1] / 2**20],
    }


def _kill_classifiers(bundle: Path, times: int) -> dict[str, Any]:
    """The machine must notice each time, and be answered again by the next classifier."""
    name = f"benchmark-{os.getpid()}-{next(_NUMBER)}"
    noticed: list[float] = []
    answered = 0
    descriptors: list[int] = []
    killed_pids: set[bytes] = set()
    with tempfile.TemporaryDirectory() as folder:
        for n in range(times):
            process = _run(bundle, name, Path(folder) / f"{n}.jsonl")
            try:
                _await(name, largest=(480, 640))
                with RingClient(name, largest=(480, 640), instance=1) as machine:
                    answered += _is_answered(machine)
                    killed = time.monotonic()
                    process.kill()
                    noticed.append((_gone_at(machine) - killed) * 1000)
            finally:
                process.kill()
                process.wait()
            killed_pids.add(str(process.pid).encode())
            descriptors.append(len(os.listdir("/proc/self/fd")))
        orphans = _engines_of(killed_pids)
    return {
        "times": times,
        "answered": answered,
        "noticed_ms": {"median": float(np.median(noticed)), "max": max(noticed)},
        "descriptors": [descriptors[0], descriptors[-1]],
        "engines_left": orphans,
    }


def _gone_at(machine: RingClient) -> float:
    """When the machine noticed that the classifier is gone."""
    while True:
        try:
            machine.result(1.0)
        except OperationError:
            return time.monotonic()


def _is_answered(machine: RingClient) -> bool:
    """Whether frames get verdicts, with none torn."""
    generator = np.random.default_rng(1)
    until = time.monotonic() + 10
    while time.monotonic() < until:
        machine.send(generator.integers(0, 256, (480, 640), np.uint8))
        result = machine.result(0.05)
        if result is not None and result.probabilities.size and result.state != StateCode.NO_SIGNAL:
            return True
    return False


def _session_of(name: str) -> int:
    for pid, words in _processes():
        if f"ring://{name}".encode() in words:
            return pid
    raise OperationError("the classifier's process is not there")


def _usage(pid: int) -> tuple[int, int]:
    return len(os.listdir(f"/proc/{pid}/fd")), resident_bytes(pid)


def _engines_of(runtimes: set[bytes]) -> int:
    """Engine processes that outlived their runtime, whose process id is their last argument."""
    time.sleep(0.5)
    return sum(b"edge_cns.runtime.engine.child" in words and words[-1] in runtimes for _, words in _processes())


def _processes() -> Iterator[tuple[int, list[bytes]]]:
    """Every process with its command line."""
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with suppress(OSError):
                yield int(entry), Path(f"/proc/{entry}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ring", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--results", type=Path, metavar="NAME.cns")
    parser.add_argument("--kills", type=Path, metavar="NAME.cns")
    parser.add_argument("--seconds", type=float, default=60, help="of --results, for each size")
    parser.add_argument("--times", type=int, default=100, help="of --kills, for each side")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory() as folder:
            if asked.kills:
                found: Any = kills(asked.kills, asked.times)
            else:
                program = build_machine(Path(folder))
                found = (
                    results(program, asked.results, asked.seconds) if asked.results else hand_off(program, Path(folder))
                )
    except EdgeCnsError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    if asked.json or isinstance(found, dict):
        print(json.dumps(found, indent=2))
        return
    keys = [key for key in found[0] if key != "counts"]
    print("".join(f"{key:>22}" for key in keys))
    for row in found:
        print("".join(f"{row[key]:>22.3f}" if isinstance(row[key], float) else f"{row[key]:>22}" for key in keys))


if __name__ == "__main__":
    main()
