"""The gate: float against int8, on patients that neither training nor quantisation has used.

The int8 side is the runtime itself, from the frame on. The statistics are `edge_cns.evaluation.noninferiority`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.layers import LayerNoise, layer_noise
from edge_cns.bundle import Bundle
from edge_cns.contract import OUTPUTS, Contract
from edge_cns.data.images import read_image
from edge_cns.data.manifest import Row
from edge_cns.decision.verdict import softmax
from edge_cns.evaluation.noninferiority import NonInferiority, compare
from edge_cns.preprocess import as_float, image, quantise_into
from edge_cns.progress import Progress, silent
from edge_cns.runtime.backends.litert import LiteRT
from edge_cns.runtime.classifier import Classifier

__all__ = ["LEAST_TOLERANCE", "GateReport", "run_gate"]

_NOISE_FRAMES = 8
_TOLERANCE_FRAMES = 32
LEAST_TOLERANCE = 3  # steps: what engines were seen to differ by on one model


@dataclass(frozen=True, slots=True)
class GateReport:
    """What the gate found.

    Attributes:
        comparison: the non-inferiority statistics and the outcome.
        float_accuracy, int8_accuracy: on the gate's frames.
        layers: noise by operator, worst first.
        tolerance_steps: by output, how many int8 steps another engine may differ: twice what LiteRT with and without
            XNNPACK differ by on the gate's frames, and at least `LEAST_TOLERANCE`.
    """

    comparison: NonInferiority
    float_accuracy: float
    int8_accuracy: float
    layers: tuple[LayerNoise, ...]
    tolerance_steps: dict[str, int]

    @property
    def outcome(self) -> str:
        """``passed``, ``undecided`` or ``failed``."""
        return self.comparison.outcome

    def to_json(self) -> dict[str, Any]:
        """JSON-ready, the outcome first."""
        return self.comparison.as_dict() | {
            "float_accuracy": self.float_accuracy,
            "int8_accuracy": self.int8_accuracy,
            "layers": [asdict(row) for row in self.layers],
        }


def run_gate(
    float_model: bytes,
    int8_model: bytes,
    contract: Contract,
    rows: Sequence[Row],
    *,
    margin: float,
    uncorrected: bytes | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> GateReport:
    """Compare the two models on the gate's frames.

    Args:
        float_model, int8_model: ``.tflite`` contents.
        contract: of both.
        rows: frames of gate patients.
        margin: largest loss of sensitivity that counts as none.
        uncorrected: the int8 model before bias correction, if it had one: noise is looked for in that, since the
            correction answers in the last layer for what earlier layers did.
        seed: of the resampling.
        progress: told after each frame.
    """
    # The outcome is not known yet, so the runtime is given the bundle as undecided.
    candidate = Bundle(Path("candidate"), {"model.tflite": int8_model}, contract, {"outcome": "undecided"})
    reference = LiteRT(float_model)
    images, exact, quantised = [], [], []
    with Classifier(candidate, LiteRT(int8_model)) as classifier:
        for i, row in enumerate(rows):
            frame = read_image(row.path)
            quantised.append(list(classifier.classify(frame).probabilities.values()))
            images.append(image(frame, contract.input))
            reference.input()[:] = as_float(images[-1][None])
            reference.invoke()
            exact.append(softmax(reference.output("logits")[0], contract.decision))
            progress("gate: float against int8", i + 1, len(rows))
    reference.close()
    labels = np.array([contract.class_names.index(row.label) for row in rows])
    float_probabilities, int8_probabilities = np.array(exact), np.array(quantised)
    float_predicted, int8_predicted = float_probabilities.argmax(axis=1), int8_probabilities.argmax(axis=1)
    comparison = compare(
        labels,
        float_predicted,
        int8_predicted,
        [row.patient_id for row in rows],
        contract.class_names,
        float_probabilities=float_probabilities,
        int8_probabilities=int8_probabilities,
        margin=margin,
        seed=seed,
    )
    pictures = np.stack(images)
    return GateReport(
        comparison=comparison,
        float_accuracy=float((float_predicted == labels).mean()),
        int8_accuracy=float((int8_predicted == labels).mean()),
        layers=layer_noise(float_model, uncorrected or int8_model, _spread(pictures, _NOISE_FRAMES)),
        tolerance_steps=_tolerance(int8_model, _spread(pictures, _TOLERANCE_FRAMES)),
    )


def _tolerance(model: bytes, images: NDArray[np.uint8]) -> dict[str, int]:
    one, other = LiteRT(model), LiteRT(model, xnnpack=False)
    largest = dict.fromkeys(OUTPUTS, 0)
    for picture in images:
        for engine in (one, other):
            quantise_into(picture, engine.input())
            engine.invoke()
        for name in OUTPUTS:
            difference = np.abs(one.output(name).astype(np.int64) - other.output(name).astype(np.int64)).max()
            largest[name] = max(largest[name], int(difference))
    return {name: max(LEAST_TOLERANCE, 2 * value) for name, value in largest.items()}


def _spread(images: NDArray[np.uint8], count: int) -> NDArray[np.uint8]:
    """At most ``count`` of the images, evenly spread."""
    chosen: NDArray[np.uint8] = images[np.unique(np.linspace(0, len(images) - 1, min(count, len(images))).astype(int))]
    return chosen
