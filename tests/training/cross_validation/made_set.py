"""A small data set on disk, and the command line with features that are drawn from the pixels, not computed.

Run as a program (``python -m tests.training.cross_validation.made_set ARGUMENTS``) it is ``edge-cns`` with such
features and without pictures.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from edge_cns.data.images import read_image
from edge_cns.progress import Progress, silent
from edge_cns.training.cross_validation.features import Features

__all__ = ["made_features", "without_pictures", "write_images"]

_CLASSES = ("coarse", "fine", "normal")


def write_images(folder: Path, *, patients: int = 24, frames: int = 2, columns: str = "", value: str = "") -> Path:
    """Write ``labels.csv`` and noise images whose first pixel tells the class."""
    folder.mkdir(parents=True)
    lines = ["path,label,patient_id,site" + columns]
    for patient in range(patients):
        label = patient % len(_CLASSES)
        for frame in range(frames):
            pixels = np.random.default_rng([patient, frame]).integers(40, 200, (64, 64)).astype(np.uint8)
            pixels[0, 0] = label
            name = f"p{patient:03d}-{frame}.png"
            (folder / name).write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
            lines.append(f"{name},{_CLASSES[label]},p{patient:03d},{'north' if patient % 2 else 'south'}{value}")
    labels = folder / "labels.csv"
    labels.write_text("\n".join(lines) + "\n")
    return labels


def made_features(paths: Sequence[Path], settings: object, progress: Progress = silent) -> Features:
    """16 numbers from the pixels alone; the class shows in three of them."""
    pixels = [read_image(path).pixels for path in paths]
    values = np.stack([np.random.default_rng(list(p[1, :8])).normal(size=16) for p in pixels])
    for value, p in zip(values, pixels, strict=True):
        value[int(p[0, 0])] += 3
    digest = hashlib.sha256(b"".join(p.tobytes() for p in pixels)).hexdigest()
    return Features(values.astype(np.float32), digest)


@contextmanager
def without_pictures() -> Iterator[None]:
    """No figures and no report, and few resamples: they have their own tests, and take seconds."""
    import pytest  # here: every worker process imports this module again

    from edge_cns.evaluation import figures, metrics, report

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "draw", lambda *_: {})
        patch.setattr(report, "write_report", lambda *_: None)
        patch.setattr(metrics, "evaluate", partial(metrics.evaluate, resamples=200))
        yield


if __name__ == "__main__":
    from edge_cns.cli import run as command_line
    from edge_cns.training.cross_validation import run

    run.frozen_features = made_features
    with without_pictures():
        sys.exit(command_line(sys.argv[1:]))
