"""Does a bundle hold when a scanner stores its pixels in another shape? Accuracy on squeezed frames.

    python -m benchmarks.squeeze NAME.cns LABELS.csv [--json]

Every frame is classified as it is, and squeezed by 1.3 along x and along y. Patients whom the model has seen are left
out, unless there are no others. Intervals resample patients.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

import edge_cns
from edge_cns.data.images import read_image
from edge_cns.data.manifest import Row, read_manifest
from edge_cns.data.splits import set_of
from edge_cns.decision.verdict import Verdict
from edge_cns.errors import BadInputError, EdgeCnsError
from edge_cns.evaluation.intervals import clustered_ratios, patient_weights
from edge_cns.frames import MIN_SIDE
from edge_cns.runtime.classifier import Classifier

__all__ = ["main", "measure", "squeezed", "table"]

RATIO = 1.3
SHAPES = ("as it is", "squeezed along x", "squeezed along y")
_RESAMPLES = 2000


def measure(bundle: Path, labels: Path, *, seed: int = 0) -> dict[str, Any]:
    """Classify every frame in each shape.

    Args:
        bundle: ``NAME.cns``.
        labels: ``labels.csv`` with the bundle's classes.
        seed: of the resampling of patients.

    Returns:
        JSON-ready: ``frames``, ``patients``, ``unseen`` (whether the model has met none of them), and by name of a
        shape ``accuracy``, ``interval`` (95 %, or ``None``) and ``agreement`` with the frame as it is.

    Raises:
        EdgeCnsError: a bundle, a label or an image that cannot be used.
    """
    with edge_cns.load(bundle) as classifier:
        rows, unseen = _rows(classifier, labels)
        answers: dict[str, list[str]] = {shape: [] for shape in SHAPES}
        for row in rows:
            pixels = read_image(row.path).pixels
            for shape in SHAPES:
                answers[shape].append(_leading(classifier.classify(squeezed(pixels, shape))))
    patients, index = np.unique([row.patient_id for row in rows], return_inverse=True)
    weights = patient_weights(len(patients), _RESAMPLES, np.random.default_rng(seed))
    truth, plain = np.array([row.label for row in rows]), np.array(answers[SHAPES[0]])
    trials = np.bincount(index)[:, None].astype(np.float64)
    result: dict[str, Any] = {"bundle": bundle.name, "frames": len(rows), "patients": len(patients), "unseen": unseen}
    for shape, given in answers.items():
        right = np.array(given) == truth
        events = np.bincount(index, weights=right)[:, None].astype(np.float64)
        (interval,) = clustered_ratios(events, trials, weights)
        agreement = float((np.array(given) == plain).mean())
        result[shape] = {"accuracy": float(right.mean()), "interval": interval, "agreement": agreement}
    return result


def squeezed(pixels: NDArray[Any], shape: str) -> NDArray[Any]:
    """Change the aspect of ``(H, W)`` or ``(H, W, 3)`` pixels by `RATIO`; a small frame grows along the other axis."""
    if shape == SHAPES[0]:
        return pixels
    height, width = pixels.shape[:2]
    x, y = (1 / RATIO, 1.0) if shape == SHAPES[1] else (1.0, 1 / RATIO)
    if min(width * x, height * y) < MIN_SIDE:
        x, y = x * RATIO, y * RATIO
    method = cv2.INTER_AREA if min(x, y) < 1 else cv2.INTER_LINEAR
    return cv2.resize(pixels, (round(width * x), round(height * y)), interpolation=method)


def table(result: dict[str, Any]) -> str:
    """The measurement for a person."""
    whose = "patients new to the model" if result["unseen"] else "patients the model has SEEN"
    lines = [
        f"{result['bundle']}: {result['frames']} frames of {result['patients']} {whose}",
        f"{'frame':<18}{'accuracy':>9}  {'95 % interval':<18}{'as before':>9}",
    ]
    for shape in SHAPES:
        row = result[shape]
        interval = "not defined" if row["interval"] is None else "{:.4f} to {:.4f}".format(*row["interval"])
        lines.append(f"{shape:<18}{row['accuracy']:>9.4f}  {interval:<18}{row['agreement']:>9.4f}")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path, metavar="NAME.cns")
    parser.add_argument("labels", type=Path, metavar="LABELS.csv")
    parser.add_argument("--json", action="store_true", help="print JSON")
    asked = parser.parse_args(arguments)
    try:
        result = measure(asked.bundle, asked.labels)
    except EdgeCnsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(json.dumps(result) if asked.json else table(result))
    return 0


def _leading(verdict: Verdict) -> str:
    """The most probable class, also where a calibrated bundle would rather say nothing."""
    return max(verdict.probabilities, key=verdict.probabilities.__getitem__)


def _rows(classifier: Classifier, labels: Path) -> tuple[list[Row], bool]:
    """Rows of patients new to the model, or all rows; and which of the two."""
    rows, patients = list(read_manifest(labels).rows), classifier.bundle.patients
    for row in rows:
        if row.label not in classifier.contract.class_names:
            raise BadInputError(f"{labels} line {row.line}: label {row.label!r} is not in the bundle's contract")
    new = [row for row in rows if set_of(patients["salt"], row.patient_id, patients["sets"]) is None]
    return (new, True) if new else (rows, False)


if __name__ == "__main__":
    sys.exit(main())
