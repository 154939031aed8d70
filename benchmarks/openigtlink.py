"""OpenIGTLink against its own C++ programs, both ways, and against peers that misbehave.

    tests/peers/install.sh
    python -m benchmarks.openigtlink --runs 10
    python -m benchmarks.openigtlink --speed

Prints tables as Markdown. The exit status is 1 if a pixel differs, a frame is missing or a checksum fails.
"""

from __future__ import annotations

import argparse
import itertools
import socket
import statistics
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from edge_cns.errors import BadInputError
from edge_cns.frames import EventKind, Frame, MachineEvent
from firmware_bridge.igtl.source import IgtlSource, open_igtl, open_igtl_client
from firmware_bridge.igtl.wire import crc64, encode
from tests.peers.openigtlink import FRAMES, program, sent_images, start

_PACE = 200  # frames a second that the C++ programs are asked for
_WAIT = 30.0  # seconds
_BESIDE = 7.0  # seconds that a good client sends beside a bad one
_SIZES = {"640x480": (480, 640), "1920x1080": (1080, 1920)}
_TIMED = 300  # frames


class Watched:
    """A source that is iterated, and its frames.

    Args:
        source: open.
        again: whether to begin with the second connection. The first one's peer sends before anybody looks, and a live
            source lets go what nobody looks at.
    """

    def __init__(self, source: IgtlSource, *, again: bool = False) -> None:
        self.source, self.frames = source, list[Frame]()
        self._looking = not again
        self._thread = threading.Thread(target=self._take, daemon=True)
        self._thread.start()
        while not source.endpoint.floor or not source.endpoint.floor.wants_images(2**31):
            time.sleep(0.001)

    def _take(self) -> None:
        for one in self.source:
            if isinstance(one, Frame) and self._looking:
                self.frames.append(one)
            elif isinstance(one, MachineEvent) and one.kind is EventKind.CONNECTED:
                self._looking = True

    def equal(self) -> int:
        """Frames that are, pixel by pixel, the ones that were sent, in their order."""
        images = sent_images()
        return sum(np.array_equal(frame.pixels, images[i % 5]) for i, frame in enumerate(self.frames))

    def row(self, what: str, sent: int) -> tuple[str, bool]:
        """A line of the table, and whether all is well."""
        counts = self.source.endpoint.counts
        arrived, equal, damaged = len(self.frames), self.equal(), counts["damaged"]
        return f"| {what} | {sent} | {arrived} | {equal} | {damaged} |", arrived == equal == sent and not damaged


@contextmanager
def watching(source: IgtlSource, *, again: bool = False) -> Iterator[Watched]:
    """Close it behind."""
    watched = Watched(source, again=again)
    try:
        yield watched
    finally:
        source.close()


def from_clients(runs: int) -> tuple[str, bool]:
    """ImagerClient, run after run, to one listening source."""
    with watching(open_igtl("igtl://127.0.0.1:0")) as watched:
        for run in range(1, runs + 1):
            start("ImagerClient", "127.0.0.1", _port(watched.source), _PACE).wait(_WAIT)
            _until(lambda: len(watched.frames) >= run * FRAMES)  # noqa: B023
        return watched.row(f"`ImagerClient`, {runs} runs, to `igtl://`", runs * FRAMES)


def from_server(runs: int) -> tuple[str, bool]:
    """ImagerServer, which closes after a hundred frames, so that each hundred is a connection of its own."""
    port = _free_port()
    with _running("ImagerServer", port, _PACE), watching(_patiently(port), again=True) as watched:
        _until(lambda: len(watched.frames) >= runs * FRAMES, runs * _WAIT)
        watched.source.close()
        del watched.frames[runs * FRAMES :]
        return watched.row(f"`ImagerServer`, {runs} connections, to `igtl-client://`", runs * FRAMES)


def misbehaving() -> Iterator[tuple[str, bool]]:
    """Peers that send nonsense, each beside a good one that sends at 100 frames a second."""
    pixels = np.random.default_rng(1).integers(0, 256, (256, 256), np.uint8)
    good = image_message(pixels)
    flipped = bytearray(good)
    flipped[9_999] ^= 1
    cases: dict[str, bytes] = {
        "10 bytes, then nothing": good[:10],
        "a length of 4 GiB": struct.pack(">H12s20sQQQ", 1, b"IMAGE", b"", 0, 2**32, 0),
        "a flipped byte": bytes(flipped),
    }
    for what, data in cases.items():
        with watching(open_igtl("igtl://127.0.0.1:0")) as watched:
            port = _port(watched.source)
            with _another(port) as one, _another(port) as bad:
                one.sendall(good)
                bad.sendall(data)
                began, sent, closed = time.monotonic(), 1, "stays"
                while time.monotonic() - began < _BESIDE:
                    one.sendall(good)
                    sent += 1
                    time.sleep(0.01)
                    if closed == "stays" and _ended(bad):
                        closed = f"closed after {time.monotonic() - began:.2f} s"
                _until(lambda: len(watched.frames) >= sent)  # noqa: B023
            equal = sum(np.array_equal(frame.pixels, pixels) for frame in watched.frames)
            damaged = watched.source.endpoint.counts["damaged"]
            yield f"| {what} | {closed} | {damaged} | {equal} of {sent} |", equal == sent


def two_at_once() -> tuple[str, bool]:
    """Two runs of ImagerClient side by side: one is heard at a time, and the last one to its end."""
    with watching(open_igtl("igtl://127.0.0.1:0")) as watched:
        running = [start("ImagerClient", "127.0.0.1", _port(watched.source), _PACE) for _ in range(2)]
        for one in running:
            one.wait(_WAIT)
        _until(lambda: not watched.source.endpoint.peers)
        damaged = watched.source.endpoint.counts["damaged"]
        sent = {image.tobytes() for image in sent_images()}
        heard, equal = len(watched.frames), sum(frame.pixels.tobytes() in sent for frame in watched.frames)
    line = f"| two `ImagerClient` at once: one is heard at a time | {2 * FRAMES} | {heard} | {equal} | {damaged} |"
    return line, FRAMES <= heard == equal and not damaged


def speed() -> Iterator[str]:
    """Receiving over loopback at the greatest rate, and the checksum's share of it."""
    for name, shape in _SIZES.items():
        pixels = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
        message = image_message(pixels)
        with watching(open_igtl("igtl://127.0.0.1:0")) as watched:
            code = (
                "import socket, sys; data = sys.stdin.buffer.read(); "
                f"s = socket.create_connection(('127.0.0.1', {_port(watched.source)})); "
                f"[s.sendall(data) for _ in range({_TIMED})]; s.shutdown(1); s.recv(1)"
            )
            subprocess.run([sys.executable, "-c", code], input=message, check=True, timeout=120)
            _until(lambda: len(watched.frames) >= _TIMED)
        times = [frame.captured_ns for frame in watched.frames[20:]]
        apart = statistics.median(b - a for a, b in itertools.pairwise(times)) / 1e6
        checked = statistics.median(_timed(lambda: crc64(message)) for _ in range(200))  # noqa: B023
        yield f"| {name} | {apart:.2f} | {checked:.3f} |"


def image_message(pixels: np.ndarray) -> bytes:
    """An IMAGE of grey pixels, whole."""
    height, width = pixels.shape
    matrix = np.zeros(12)
    matrix[[0, 4, 8]] = 1.0
    sizes = (width, height, 1)
    head = struct.pack(">HBBBB3H12f3H3H", 1, 1, 3, 2, 1, *sizes, *matrix, 0, 0, 0, *sizes)
    return encode("IMAGE", "benchmark", head + pixels.tobytes())


def _timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) * 1000


def _port(source: IgtlSource) -> int:
    return int(source.endpoint.port)  # type: ignore[attr-defined]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _patiently(port: int) -> IgtlSource:
    """Connect to a program that was just started."""
    deadline = time.monotonic() + _WAIT
    while True:
        try:
            return open_igtl_client(f"igtl-client://127.0.0.1:{port}")
        except BadInputError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


@contextmanager
def _running(name: str, *arguments: object) -> Iterator[None]:
    process = start(name, *arguments)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def _another(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port))


def _ended(sock: socket.socket) -> bool:
    try:
        return sock.recv(1, socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def _until(true: Callable[[], bool], seconds: float = _WAIT) -> None:
    """Wait; what has not happened by then is seen in the table."""
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        time.sleep(0.005)


def main() -> int:
    """See the top of the file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.openigtlink", description="OpenIGTLink against peers.")
    parser.add_argument("--runs", type=int, default=10, help="hundreds of frames each way")
    parser.add_argument("--speed", action="store_true", help="time receiving instead; wants an idle machine")
    asked = parser.parse_args()
    if asked.speed:
        print("| size, 8-bit grey | between two frames, ms, median | of that the checksum, ms |\n| --- | --- | --- |")
        for line in speed():
            print(line, flush=True)
        return 0
    if not program("ImagerClient").exists():
        print("the C++ programs are not there; run tests/peers/install.sh as root", file=sys.stderr)
        return 2
    fine = True
    print("| peer | sent | arrived | pixel-equal | checksum failures |\n| --- | --- | --- | --- | --- |")
    for line, well in (from_clients(asked.runs), from_server(asked.runs), two_at_once()):
        print(line, flush=True)
        fine &= well
    print("\n| beside a good client | that connection | damaged | the good one's frames |\n| --- | --- | --- | --- |")
    for line, well in misbehaving():
        print(line, flush=True)
        fine &= well
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
