"""A data set that a small network really learns, and a small network to start from: what training and conversion
are tested on.

Frames are drawn, not simulated: a disc, bars or nothing on speckle. Float accuracy is near 1 within seconds, so what
a broken quantisation does can be seen in figures.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

CLASSES = ("bars", "coarse", "fine")
SIZE = 64
PATIENTS = {"fit": 24, "stop": 9, "calibrate": 6, "gate": 27, "test": 12}


def draw_frame(label: str, rng: np.random.Generator) -> np.ndarray:
    """``(72, 80)`` uint8: fine dark speckle, coarse grey speckle, or bright bars."""
    shape = (72, 80)
    grain, level = {"fine": (0.6, 30), "coarse": (2.0, 70), "bars": (1.0, 110)}[label]
    speckle = cv2.GaussianBlur(np.hypot(*rng.normal(size=(2, *shape))), (0, 0), grain) * level * rng.uniform(0.9, 1.1)
    if label == "bars":
        rows = np.sin(np.arange(shape[0]) * rng.uniform(0.6, 0.9) + rng.uniform(0, 6))
        speckle *= 1 + 0.8 * rows[:, None]
    return np.clip(speckle, 10, 255).astype(np.uint8)


def write_set(folder: Path, *, frames: int = 3, seed: int = 0) -> Path:
    """Write ``labels.csv`` and its images: a class a patient in turn, in sets put there by hand."""
    folder.mkdir(parents=True, exist_ok=True)
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


def write_weights(path: Path) -> Path:
    """Write Keras weights of a MobileNetV2 (alpha 0.35, RGB) that carries its input to the last layer.

    Kernels are random. Batch normalisation, which the toolkit freezes, fits them; a shift keeps most activations
    in the linear part of ReLU6, and weak residual branches keep noise from growing with depth.
    """
    from edge_cns.training.keras import keras

    keras.utils.set_random_seed(0)
    network = keras.applications.MobileNetV2((SIZE, SIZE, 3), alpha=0.35, include_top=False, weights=None)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
            gamma, beta, mean, variance = layer.get_weights()
            project, last = layer.name.endswith("project_BN"), layer.name == "Conv_1_bn"
            layer.set_weights([gamma * (0.3 if project else 1), beta + (not project and not last), mean, variance])
    rng = np.random.default_rng(0)
    frames = np.stack([draw_frame(CLASSES[i % len(CLASSES)], rng)[:SIZE, :SIZE] for i in range(24)])
    network(np.repeat(frames[..., None].astype(np.float32) / 127.5 - 1, 3, axis=-1), training=True)
    network.save_weights(path)
    return path
