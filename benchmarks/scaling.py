"""What training on many frames costs: memory and frames per second, with the frames in memory and on disk.

    python -m benchmarks.scaling [--frames 10000] [--image-size 224] [--steps 30] [--folder DIR] [--json]

Draws that many distinct frames (800x600 JPEG, varied from a few phantoms), then times each stage in a process of its
own, so that its peak memory is its own. The last line is what 100,000 frames would take, calculated from the cost of
one.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge_cns.contract import ClassDefinition, Contract, InputSpec, IntendedUse
from edge_cns.data import phantom
from edge_cns.data.manifest import Row
from edge_cns.errors import BadInputError, EdgeCnsError
from edge_cns.latency.environment import cpu_model, memory
from edge_cns.training.batches import batches
from edge_cns.training.dataset import Frames, load_images, stream_images
from edge_cns.training.frame_cache import MEMORY_BYTES
from edge_cns.training.run import Settings

__all__ = ["STAGES", "draw_frames", "main", "measure", "table"]

STAGES: dict[str, str] = {
    "memory": "all frames in memory: read",
    "first": "on disk: read and write the parts",
    "again": "on disk: check the parts again",
    "epoch": "on disk: an epoch's batches, varied",
    "train": "on disk: fine-tuning steps",
}
_CLASSES = ("anencephaly", "normal")
_WIDTH, _HEIGHT = 800, 600
_BASES = 4
_MANY = 100_000


def draw_frames(folder: Path, count: int) -> None:
    """Write ``count`` distinct JPEG frames, 800x600, into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    bases = [
        cv2.resize(phantom.render(phantom.draw_patient(label, seed=i), "transthalamic", view=i).pixels, (600, 600))
        for label in _CLASSES
        for i in range(_BASES)
    ]
    for number in range(count):
        random = np.random.default_rng(number)
        matrix = cv2.getRotationMatrix2D((300, 300), random.uniform(-8, 8), random.uniform(0.9, 1.05))
        matrix[:, 2] += np.array([100, 0]) + random.uniform(-10, 10, 2)
        base = bases[(number % 2) * _BASES + number // 2 % _BASES]
        frame = cv2.warpAffine(base, matrix, (_WIDTH, _HEIGHT))
        content = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, 90])[1]
        (folder / f"{number:06d}.jpg").write_bytes(content.tobytes())


def measure(frames: int, image_size: int, steps: int, folder: Path) -> list[dict[str, Any]]:
    """Time every stage.

    Args:
        frames: how many.
        image_size: side of the network's image in px.
        steps: of fine-tuning a MobileNetV2, after one that is not counted.
        folder: for frames and parts.

    Returns:
        A row for each stage: ``stage``, ``frames``, ``seconds``, ``frames_per_second`` and ``peak_mib``.

    Raises:
        EdgeCnsError: a stage failed.
    """
    draw_frames(folder / "frames", frames)
    rows = []
    for stage in STAGES:
        command = [sys.executable, "-m", "benchmarks.scaling", "--stage", stage, "--folder", str(folder)]
        command += ["--frames", str(frames), "--image-size", str(image_size), "--steps", str(steps)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise EdgeCnsError(f"stage {stage} failed: {done.stderr.strip().splitlines()[-1:]}")
        rows.append(json.loads(done.stdout))
    return rows


def _stage(name: str, frames: int, image_size: int, steps: int, folder: Path) -> dict[str, Any]:
    """One stage, in this process."""
    contract = Contract(
        tuple(ClassDefinition(label) for label in _CLASSES),
        InputSpec(image_size, image_size),
        IntendedUse("For measurements.", phantom=True),
    )
    rows = [Row(i, folder / "frames" / f"{i:06d}.jpg", _CLASSES[i % 2], f"p{i}") for i in range(frames)]
    bound = min(MEMORY_BYTES, frames * image_size**2 // 2)  # half of a small trial is on disk, too

    def stored() -> Frames:
        return stream_images(rows, contract, "", folder=folder / "parts", memory_bytes=bound)

    if name == "memory":
        return _timed(name, frames, lambda: load_images(rows, contract, ""))
    if name in ("first", "again"):
        return _timed(name, frames, stored)
    settings, fit = Settings(image_size=image_size, epochs=1), stored()
    if name == "epoch":
        whole = len(fit.labels) // settings.batch_size
        return _timed(name, whole * settings.batch_size, lambda: [None for _ in batches(fit, settings, 0, whole)])
    return _train(fit, settings, steps)


def _timed(stage: str, frames: int, work: Callable[[], object]) -> dict[str, Any]:
    started = time.perf_counter()
    result = work()
    row = _row(stage, frames, time.perf_counter() - started)
    del result
    return row


def _row(stage: str, frames: int, seconds: float) -> dict[str, Any]:
    peak = memory()["peak_rss_mib"]
    return {
        "stage": stage,
        "frames": frames,
        "seconds": seconds,
        "frames_per_second": frames / seconds,
        "peak_mib": peak,
    }


class _EnoughError(Exception):
    """Steps enough."""


def _train(fit: Frames, settings: Settings, steps: int) -> dict[str, Any]:
    """Fine-tune for some steps; the first one builds the graph and is not counted."""
    from edge_cns.training.backbones.build import build
    from edge_cns.training.finetune import finetune
    from edge_cns.training.model import make_classifier

    times: list[float] = []

    def clock(task: str, done: int, total: int, note: str = "") -> None:
        times.append(time.perf_counter())
        if len(times) > min(steps, total - 1):
            raise _EnoughError

    network = build(settings.backbone, alpha=settings.alpha, image_size=settings.image_size, weights=None)
    with tempfile.TemporaryDirectory() as path:
        try:
            finetune(make_classifier(network, len(_CLASSES)), fit, fit, settings, path=Path(path), progress=clock)
        except _EnoughError:
            counted = len(times) - 1
    return _row("train", counted * settings.batch_size, times[-1] - times[0])


def table(rows: list[dict[str, Any]], image_size: int) -> str:
    """The rows as text, and 100,000 frames by calculation."""
    by_stage = {row["stage"]: row for row in rows}
    lines = [
        f"{cpu_model()}; {by_stage['first']['frames']} frames, {image_size} px",
        f"{'stage':40}{'frames/s':>10}{'seconds':>10}{'peak MiB':>10}",
    ]
    for row in rows:
        name, speed = STAGES[row["stage"]], row["frames_per_second"]
        lines.append(f"{name:40}{speed:10.0f}{row['seconds']:10.1f}{row['peak_mib']:10.0f}")
    read, epoch = (_MANY / by_stage[stage]["frames_per_second"] / 60 for stage in ("first", "train"))
    lines.append(
        f"{_MANY:,} frames: {_MANY * image_size**2 / 1e9:.1f} GB on disk, {MEMORY_BYTES >> 20} MiB of them in memory; "
        f"{read:.0f} min to prepare once, {epoch:.0f} min an epoch"
    )
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__.split("\n")[0])
    parser.add_argument("--frames", type=int, default=10_000)
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--steps", type=int, default=30, help="of fine-tuning that are timed")
    parser.add_argument("--folder", type=Path, help="for frames and parts; a temporary one by default")
    parser.add_argument("--stage", choices=tuple(STAGES), help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    try:
        if options.frames < 64 or options.steps < 1:
            raise BadInputError(f"--frames {options.frames} --steps {options.steps}; give at least 64 and 1")
        if options.stage:
            print(json.dumps(_stage(options.stage, options.frames, options.image_size, options.steps, options.folder)))
            return 0
        with tempfile.TemporaryDirectory() as temporary:
            folder = options.folder or Path(temporary)
            rows = measure(options.frames, options.image_size, options.steps, folder)
    except EdgeCnsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(json.dumps(rows) if options.json else table(rows, options.image_size))
    return 0


if __name__ == "__main__":
    sys.exit(main())
