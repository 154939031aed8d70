"""Make a real bundle around a network of three convolutions: ``python make_tiny_bundle.py NAME.cns``.

Beside it lies ``another.tflite``, a valid model of another kind.

Run in a process of its own, so that the tests that load the bundle have no TensorFlow beside them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from converters.tflite import to_float, to_int8
from edge_cns.atomic import json_bytes
from edge_cns.bundle import write_arrays, write_bundle
from edge_cns.contract import ClassDefinition, Contract, InputSpec, IntendedUse
from edge_cns.data.phantom import PLANES, draw_patient, render
from edge_cns.data.splits import hashes_by_set, new_salt
from edge_cns.frames import Frame
from edge_cns.preprocess import image
from edge_cns.runtime.backends.litert import LiteRT
from edge_cns.runtime.selftest import engine_identity, record_golden
from edge_cns.training.keras import keras, tf
from edge_cns.training.model import make_classifier

SIDE = 64
CLASSES = ("anencephaly", "encephalocele", "normal")


def network():
    """Random weights, but such that the three logits use their range and depend on the frame."""
    keras.utils.set_random_seed(3)
    layers = keras.layers
    image_in = x = layers.Input((SIDE, SIDE, 1), name="image")
    for number, filters in enumerate((8, 16, 32)):
        x = layers.Conv2D(filters, 3, 2, padding="same", kernel_initializer="he_normal", name=f"conv{number}")(x)
        x = layers.ReLU(6.0, name=f"relu{number}")(x)
    return make_classifier(keras.Model(image_in, x), len(CLASSES))


def another_model() -> bytes:
    """Doubles four numbers."""

    @tf.function(input_signature=[tf.TensorSpec((1, 4), tf.float32, name="x")])
    def double(x):
        return {"y": x * 2.0}

    return tf.lite.TFLiteConverter.from_concrete_functions([double.get_concrete_function()], tf.Module()).convert()


def main(path: Path) -> None:
    contract = Contract(
        classes=tuple(ClassDefinition(name, f"frames labelled {name}") for name in CLASSES),
        input=InputSpec(height=SIDE, width=SIDE),
        intended_use=IntendedUse("For tests of this software only.", planes=("transthalamic",), phantom=True),
    )
    frames = [
        render(draw_patient(name, seed=i), plane, view=i, size=128).pixels
        for i, (name, plane) in enumerate(zip(CLASSES * 2, PLANES, strict=True))
    ]
    calibration = np.stack([image(Frame(frame), contract.input) for frame in frames])
    model = network()
    int8_model = to_int8(model, calibration)
    engine = LiteRT(int8_model)
    salt = new_salt()
    quantisation = {
        "outcome": "undecided",
        "drift_allowed": False,
        "method": "ptq",
        "written": True,
        "margin": 0.02,
        "reason": "too few patients to decide on: anencephaly, encephalocele, normal",
        "agreement": 1.0,
        "n_frames": 6,
        "n_patients": 3,
        "golden": {"engine": engine_identity(engine), "tolerance_steps": {"logits": 3, "cam": 3, "embedding": 3}},
        "shortcut_warnings": [],
    }
    files = {
        "model.tflite": int8_model,
        "contract.json": json_bytes(contract.to_json()),
        "golden.npz": write_arrays(record_golden(engine, frames[:2], contract.input)),
        "quantisation.json": json_bytes(quantisation),
        "model_card.md": b"# A tiny network with random weights\n",
        "patients.json": json_bytes({"salt": salt, "sets": hashes_by_set(salt, {"a": "fit", "b": "fit", "c": "gate"})}),
        "float.tflite": to_float(model),
        "calibration.npz": write_arrays({"images": calibration}),
    }
    write_bundle(path, files)
    path.with_name("another.tflite").write_bytes(another_model())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
