"""A small training on frames that a small network really learns: what conversion and evaluation are tested on.

Frames are drawn, not simulated: fine speckle, coarse speckle, or faint bars. Float accuracy is near 1 within seconds,
so what a broken quantisation does shows in the figures. The network is MobileNetV2 with fewer blocks,
under the same layer names.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_cns.bundle import Bundle, read_bundle
from edge_cns.data.manifest import read_manifest
from edge_cns.training.augment import Augmentation
from edge_cns.training.run import FinishedRun, Settings, read_run

__all__ = [
    "CLASSES",
    "PATIENTS",
    "SETTINGS",
    "SIZE",
    "Trained",
    "draw_frame",
    "draw_stripes",
    "small_network",
    "trained",
    "write_set",
]

CLASSES = ("bars", "coarse", "fine")
SIZE = 64
PATIENTS = {"fit": 24, "stop": 6, "calibrate": 6, "gate": 27, "test": 9}
SETTINGS = Settings(
    weights="none",
    image_size=SIZE,
    epochs=12,
    learning_rate=5e-4,
    dropout=0.0,
    augmentation=Augmentation(aspect=1.1, zoom=(0.95, 1.05), rotation_degrees=3, gamma=1.1, contrast=1.1),
)


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished training and the bundle that was made from it."""

    labels: Path
    run: FinishedRun
    bundle: Bundle


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """One for all the tests of a session. Nobody writes to it."""
    return _make(tmp_path_factory.getbasetemp() / "trained")


@cache
def _make(folder: Path) -> Trained:
    pytest.importorskip("tensorflow", reason="needs the train extra")
    from converters.convert import convert
    from edge_cns.training.train import train

    labels = write_set(folder / "set")
    with small_network():
        train(read_manifest(labels), folder / "run", SETTINGS)
    convert(folder / "run", folder / "small.cns", margin=0.4)
    return Trained(labels, read_run(folder / "run"), read_bundle(folder / "small.cns"))


@contextmanager
def small_network() -> Iterator[None]:
    """MobileNetV2 has four blocks in here, and starts with batch normalisation that fits such frames."""
    from edge_cns.training.backbones import build, mobilenet_v2
    from edge_cns.training.keras import keras

    make = build.build

    def fitted(*arguments: object, **settings: object) -> object:
        network = make(*arguments, **settings)
        for layer in network.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.momentum = 0.0  # what a batch shows is kept whole
        frames = [draw_frame(CLASSES[i % 3], np.random.default_rng(i))[:SIZE, :SIZE] for i in range(12)]
        network(np.stack(frames)[..., None] / np.float32(255), training=True)
        return network

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mobilenet_v2, "_STAGES", ((1, 16, 1, 1), (4, 24, 2, 2), (4, 32, 2, 2)))
        patch.setattr(mobilenet_v2, "_LAST_FILTERS", 64)
        patch.setattr(build, "build", fitted)
        yield


def draw_frame(label: str, rng: np.random.Generator) -> np.ndarray:
    """``(72, 80)`` uint8; the mean grey level says nothing about the class."""
    shape = (72, 80)
    grain = {"fine": 0.75, "coarse": 1.05, "bars": 0.9}[label]
    speckle = cv2.GaussianBlur(np.hypot(*rng.normal(size=(2, *shape))), (0, 0), grain)
    if label == "bars":
        rows = np.sin(np.arange(shape[0]) * rng.uniform(0.6, 0.9) + rng.uniform(0, 6))
        speckle *= 1 + 0.2 * rows[:, None]
    return np.clip(speckle / speckle.mean() * rng.uniform(50, 90), 10, 255).astype(np.uint8)


def draw_stripes(width: int) -> np.ndarray:
    """``(90, 90)`` uint8, black and white: like no class, while noise is a speckle of a kind."""
    return np.tile(np.where(np.arange(90) // width % 2, 255, 0).astype(np.uint8), (90, 1)).T.copy()


def write_set(folder: Path, *, frames: int = 3, seed: int = 0) -> Path:
    """Write ``labels.csv`` and its images: a class a patient in turn, in sets put there by hand."""
    folder.mkdir(parents=True)
    lines = ["path,label,patient_id,split"]
    splits = [split for split, count in PATIENTS.items() for _ in range(count)]
    for patient, split in enumerate(splits):
        label = CLASSES[patient % len(CLASSES)]
        for frame in range(frames):
            name = f"p{patient:03d}-{frame}.png"
            pixels = draw_frame(label, np.random.default_rng([seed, patient, frame]))
            (folder / name).write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
            lines.append(f"{name},{label},p{patient:03d},{split}")
    labels = folder / "labels.csv"
    labels.write_text("\n".join(lines) + "\n")
    return labels
