"""The pictures of README and docs, made from a bundle: no picture is drawn by hand.

python -m benchmarks.figures demo/phantom.cns demo/bench.json
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

import edge_cns
from edge_cns.data import phantom
from edge_cns.frames import Frame
from edge_cns.latency.stages import STAGES, cart_frames
from edge_cns.preprocess import image, region_of
from edge_cns.runtime.overlay import draw_overlay

IMAGES = Path(__file__).parent.parent / "docs" / "images"


def main() -> None:
    """Write the pictures to docs/images."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path, help="a bundle trained on the phantom")
    parser.add_argument("bench", type=Path, help="output of edge-cns bench --json")
    arguments = parser.parse_args()
    with edge_cns.load(arguments.bundle) as classifier:
        write("overlay.png", overlays(classifier))
        write("preprocess.png", preprocessing(classifier))
    (IMAGES / "bench.png").write_bytes(bench(json.loads(arguments.bench.read_text())))


def write(name: str, picture: NDArray[np.uint8]) -> None:
    """Write a PNG."""
    cv2.imwrite(str(IMAGES / name), picture, [cv2.IMWRITE_PNG_COMPRESSION, 9])


def overlays(classifier: edge_cns.Classifier) -> NDArray[np.uint8]:
    """The verdict on two phantom frames that no training has seen and that it gets right, side by side."""
    pictures = []
    for name, plane in (("encephalocele", "transthalamic"), ("anencephaly", "coronal_face")):
        for seed in range(900, 1000):
            patient = phantom.draw_patient(name, seed=seed, gestational_age_weeks=22.0)
            frame = Frame(phantom.render(patient, plane, view=seed).pixels)
            verdict = classifier.classify(frame)
            if verdict.label == name:
                break
        pictures.append(draw_overlay(frame, verdict, classifier.contract.input))
    return np.hstack(pictures)


def preprocessing(classifier: edge_cns.Classifier) -> NDArray[np.uint8]:
    """A cart's screen, the region found in it, and the network's image."""
    frame, spec = cart_frames()[1], classifier.contract.input
    region = region_of(frame, spec)
    screen = cv2.cvtColor(frame.pixels, cv2.COLOR_GRAY2BGR)
    corner = (region.x + region.width, region.y + region.height)
    cv2.rectangle(screen, (region.x, region.y), corner, (80, 220, 80), 6)
    seen = cv2.cvtColor(image(frame, spec), cv2.COLOR_GRAY2BGR)
    seen = cv2.resize(seen, (540, 540), interpolation=cv2.INTER_NEAREST)
    gap = np.full((540, 12, 3), 255, np.uint8)
    return np.hstack([cv2.resize(screen, (960, 540), interpolation=cv2.INTER_AREA), gap, seen])


def bench(result: dict) -> bytes:
    """Median and 90th percentile of each stage as bars."""
    import io

    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 2.6), dpi=120, layout="constrained")
    axes = figure.subplots()
    medians = [result["stages"][name]["p50_ms"] for name in STAGES]
    tails = [result["stages"][name]["p90_ms"] - m for name, m in zip(STAGES, medians, strict=True)]
    axes.barh(STAGES, medians, color="#0072B2", label="median")
    axes.barh(STAGES, tails, left=medians, color="#56B4E9", label="to the 90th percentile")
    for i, median in enumerate(medians):
        axes.text(median + tails[i], i, f"  {median:.2f} ms", va="center", fontsize=8)
    axes.invert_yaxis()
    axes.set(xlabel="ms")
    axes.set_xlim(0, max(m + t for m, t in zip(medians, tails, strict=True)) * 1.15)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(0.35, 0.3), ncols=2, fontsize=8)
    width, height = result["frame_size"]
    axes.set_title(f"{result['frames']} frames of {width}x{height} px, {result['threads']} thread", fontsize=9)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


if __name__ == "__main__":
    main()
