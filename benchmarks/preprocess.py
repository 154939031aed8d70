"""Preprocessing: how near to INTER_AREA, and how long beside the network.

    python -m benchmarks.preprocess NAME.cns [--frames FOLDER]

Frames are enlarged to each size (phantom frames, or the images of a folder), resized by `edge_cns.preprocess.resize`
and by OpenCV's INTER_AREA, and compared; the two and the network's `invoke()` are timed in turn, in one process.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

import edge_cns
from edge_cns.data import phantom
from edge_cns.data.images import IMAGE_SUFFIXES, read_image
from edge_cns.frames import Frame
from edge_cns.grey import grey8
from edge_cns.preprocess import fit_within, resize
from edge_cns.region import find_region

SIZES = ((256, 256), (500, 500), (800, 700), (880, 880), (1000, 900), (1440, 1080), (2200, 2000), (3840, 2160))
ROUNDS = 40


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--frames", type=Path, help="folder of images; phantom frames without it")
    parser.add_argument("--count", type=int, default=24)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    frames = load_frames(arguments.frames, arguments.count)
    with edge_cns.load(arguments.bundle) as classifier:
        spec = classifier.contract.input
        print(f"{len(frames)} frames, target {spec.width}x{spec.height}; times are medians over {ROUNDS} rounds, ms")
        print("| region | mean difference | largest | resize | INTER_AREA | find region | invoke | resize / invoke |")
        print("| --- | --- | --- | --- | --- | --- | --- | --- |")
        for width, height in SIZES:
            pictures = [cv2.resize(f, (width, height), interpolation=cv2.INTER_CUBIC) for f in frames]
            _, _, w, h = fit_within(width, height, spec)
            out = np.empty((h, w), np.uint8)
            mean, largest = difference(pictures, out)
            whole = Frame(pictures[0])
            ours, area, found, invoke = interleaved(
                lambda p=pictures[0], o=out: resize(p, o),
                lambda p=pictures[0], s=(w, h): cv2.resize(p, s, interpolation=cv2.INTER_AREA),
                lambda f=whole: find_region(f),
                classifier.backend.invoke,
            )
            print(
                f"| {width}x{height} | {mean:.2f} | {largest} | {ours:.3f} | {area:.3f} | {found:.3f} | {invoke:.3f} "
                f"| {ours / invoke:.2f} |"
            )


def load_frames(folder: Path | None, count: int) -> list[NDArray[np.uint8]]:
    """Grey frames: evenly spread over a folder's images, or phantom ones."""
    if folder is None:
        return [
            phantom.render(phantom.draw_patient(name, seed=i), plane, view=i).pixels
            for name in phantom.CLASSES
            for i, plane in enumerate(phantom.PLANES)
        ][:count]
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
    chosen = np.linspace(0, len(paths) - 1, min(count, len(paths))).astype(int)
    return [grey8(read_image(paths[i]).pixels) for i in chosen]


def difference(pictures: list[NDArray[np.uint8]], out: NDArray[np.uint8]) -> tuple[float, int]:
    """Mean and largest difference from INTER_AREA in grey levels."""
    means, largest = [], 0
    for picture in pictures:
        resize(picture, out)
        area = cv2.resize(picture, out.shape[::-1], interpolation=cv2.INTER_AREA)
        delta = np.abs(out.astype(int) - area)
        means.append(delta.mean())
        largest = max(largest, int(delta.max()))
    return float(np.mean(means)), largest


def interleaved(*calls: Callable[[], object]) -> list[float]:
    """Median milliseconds of each call, the calls taking turns."""
    times = np.empty((ROUNDS, len(calls)))
    for i in range(-3, ROUNDS):
        for j, call in enumerate(calls):
            start = time.perf_counter_ns()
            call()
            if i >= 0:
                times[i, j] = (time.perf_counter_ns() - start) / 1e6
    return [float(m) for m in np.median(times, axis=0)]


if __name__ == "__main__":
    main()
