"""A data set that a small network really learns, and a small network to start from: what training and conversion
are tested on.

Frames are drawn, not simulated: a disc, bars or nothing on speckle. Float accuracy is near 1 within seconds, so what
a broken quantisation does can be seen in figures.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

CLASSES = ("bars", "disc", "plain")
SIZE = 64


def draw_frame(label: str, rng: np.random.Generator) -> np.ndarray:
    """``(72, 80)`` uint8: a sign on speckle, anywhere but at the edge, in any brightness."""
    height, width = 72, 80
    envelope = np.hypot(*rng.normal(size=(2, height, width)))
    speckle = cv2.GaussianBlur(envelope, (0, 0), 1.0) * rng.uniform(40, 60)
    gain = np.ones((height, width))
    x, y = int(rng.integers(28, 53)), int(rng.integers(26, 47))
    if label == "disc":
        cv2.circle(gain, (x, y), int(rng.integers(13, 18)), rng.uniform(2.3, 3.0), -1)
    if label == "bars":
        for offset in range(-20, 21, 8):
            cv2.line(gain, (x - 20, y + offset), (x + 20, y + offset), rng.uniform(2.3, 3.0), 3)
    return np.clip(speckle * gain, 10, 255).astype(np.uint8)


def write_set(folder: Path, *, patients: int = 66, frames: int = 3, test_patients: int = 12, seed: int = 0) -> Path:
    """Write ``labels.csv`` and its images: a class a patient in turn; the last patients have ``split`` = ``test``."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["path,label,patient_id,split"]
    for patient in range(patients + test_patients):
        label, split = CLASSES[patient % len(CLASSES)], "train" if patient < patients else "test"
        for frame in range(frames):
            name = f"p{patient:03d}-{frame}.png"
            pixels = draw_frame(label, np.random.default_rng([seed, patient, frame]))
            (folder / name).write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
            lines.append(f"{name},{label},p{patient:03d},{split}")
    labels = folder / "labels.csv"
    labels.write_text("\n".join(lines) + "\n")
    return labels


def write_weights(path: Path, *, alpha: float = 0.35) -> Path:
    """Write Keras weights of a MobileNetV2 for RGB: random, but with batch normalisation that fits its activations.

    The toolkit freezes batch normalisation, so a start from plain random numbers would have none.
    """
    from edge_cns.training.keras import keras

    keras.utils.set_random_seed(0)
    network = keras.applications.MobileNetV2((SIZE, SIZE, 3), alpha=alpha, include_top=False, weights=None)
    rng = np.random.default_rng(0)
    frames = np.stack([draw_frame(CLASSES[i % 3], rng)[:SIZE, :SIZE] for i in range(24)])
    pictures = np.repeat(frames[..., None].astype(np.float32) / 127.5 - 1, 3, axis=-1)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    for _ in range(1):
        network(pictures, training=True)
    network.save_weights(path)
    return path
