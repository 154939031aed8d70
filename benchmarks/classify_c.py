"""Classifying in C against Python: the same verdicts, how long each takes, and how much memory.

    cmake -S firmware_bridge/sdk -B build -DEDGE_CNS_CLASSIFY=ON && cmake --build build
    python -m benchmarks.classify_c NAME.cns --program build/edge_cns_classify_raw

Phantom fans lie on screens of several sizes. Each frame goes to the C program, through a pipe, and to
`edge_cns.load(...).classify`, in turn and first to one, then to the other. Latency is what each side says of itself:
from the call to the verdict. Both run the engine on one thread.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

import edge_cns
from edge_cns.data import phantom
from edge_cns.decision.verdict import Verdict
from edge_cns.frames import Frame
from edge_cns.runtime.resident import resident_bytes

SIZES = ((256, 256), (640, 480), (1280, 720), (1920, 1080))
CHILD = """
import sys, numpy as np, edge_cns
from edge_cns.runtime.resident import resident_bytes
with edge_cns.load(sys.argv[1]) as classifier:
    for _ in range(20):
        classifier.classify(np.zeros((1080, 1920), np.uint8))
    print(resident_bytes())
"""


@dataclass
class Timed:
    """What was found at one size."""

    ours: list[float] = field(default_factory=list)
    python: list[float] = field(default_factory=list)
    equal: int = 0
    probability: float = 0.0
    novelty: float = 0.0
    resident: int = 0


class Program:
    """The C example, fed through its standard input."""

    def __init__(self, program: Path, bundle: Path, library: Path, width: int, height: int) -> None:
        command = [str(program), str(bundle), str(library), str(width), str(height), "grey8", "-"]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )

    def classify(self, pixels: NDArray[np.uint8]) -> list[str]:
        """Fields of the program's line about a frame."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(pixels.tobytes())
        self.process.stdin.flush()
        line = self.process.stdout.readline().decode()
        if not line:
            raise SystemExit("the program ended; run it by hand to see why")
        return line.rstrip("\n").split("\t")

    def close(self) -> None:
        """End it."""
        self.process.communicate()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--program", type=Path, required=True, help="the example edge_cns_classify_raw")
    parser.add_argument("--library", type=Path, help="libLiteRt.so; that of the installed wheel without it")
    parser.add_argument("--rounds", type=int, default=4, help="times that each of the 30 fans is shown")
    arguments = parser.parse_args()
    library = arguments.library or wheel_library()
    print("| frame | equal | C p50 | C p99 | Python p50 | Python p99 | C / Python | resident, C |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    worst = Timed()
    for width, height in SIZES:
        found = measure(arguments.bundle, arguments.program, library, (width, height), arguments.rounds)
        c50, c99 = np.percentile(found.ours, [50, 99])
        p50, p99 = np.percentile(found.python, [50, 99])
        print(
            f"| {width}x{height} | {found.equal} of {len(found.ours)} | {c50:.2f} | {c99:.2f} | {p50:.2f} | {p99:.2f} "
            f"| {c50 / p50:.2f} | {found.resident / 2**20:.0f} MiB |"
        )
        worst.probability = max(worst.probability, found.probability)
        worst.novelty = max(worst.novelty, found.novelty)
    python = subprocess.run([sys.executable, "-c", CHILD, str(arguments.bundle)], capture_output=True, check=True)
    print(f"\nms; resident memory of the same in Python: {int(python.stdout) / 2**20:.0f} MiB.")
    print(f"Largest differences: probability {worst.probability:.1e}, novelty {worst.novelty:.1e} (printed to 1e-6).")


def wheel_library() -> Path:
    """The library of the installed wheel."""
    found = find_spec("ai_edge_litert")
    assert found is not None
    return Path(str(found.origin)).with_name("libLiteRt.so")


def measure(bundle: Path, program: Path, library: Path, size: tuple[int, int], rounds: int) -> Timed:
    """Show every fan to both, in turn."""
    found, ours = Timed(), Program(program, bundle, library, *size)
    with edge_cns.load(bundle) as theirs:
        screens = [screen(fan, *size) for fan in fans()]
        for pixels in screens[:3]:  # warm caches, count nothing
            ours.classify(pixels)
            theirs.classify(Frame(pixels))
        for number in range(rounds * len(screens)):
            pixels = screens[number % len(screens)]
            if number % 2:
                verdict, line = theirs.classify(Frame(pixels)), ours.classify(pixels)
            else:
                line, verdict = ours.classify(pixels), theirs.classify(Frame(pixels))
            compare(found, line, verdict)
    found.resident = resident_bytes(ours.process.pid)
    ours.close()
    return found


def compare(found: Timed, line: list[str], verdict: Verdict) -> None:
    """Count a frame."""
    _, state, label, probability, novelty, latency, reason = line
    found.ours.append(float(latency))
    found.python.append(verdict.latency_ms)
    found.equal += (state, label, reason) == (verdict.state.value, verdict.label or "", verdict.reason)
    if verdict.probability is not None:
        found.probability = max(found.probability, abs(float(probability) - verdict.probability))
    if verdict.novelty is not None:
        found.novelty = max(found.novelty, abs(float(novelty) - verdict.novelty))


def fans() -> list[NDArray[np.uint8]]:
    """A phantom fan of each class in each plane."""
    return [
        phantom.render(phantom.draw_patient(name, seed=i), plane, view=i).pixels
        for name in phantom.CLASSES
        for i, plane in enumerate(phantom.PLANES)
    ]


def screen(fan: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """A fan in the middle of a black screen."""
    side = min(width, int(0.95 * height))
    shown = np.zeros((height, width), np.uint8)
    shown[(height - side) // 2 :, (width - side) // 2 :][:side, :side] = cv2.resize(fan, (side, side))
    return shown


if __name__ == "__main__":
    main()
