"""Predictions with known truth, a patient effect and every set."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from edge_cns.evaluation.predictions import Predictions

MakePredictions = Callable[..., Predictions]


@pytest.fixture(scope="session")
def make_predictions() -> MakePredictions:
    def make(
        classes: tuple[str, ...] = ("cord", "head", "spine"),
        *,
        patients: int = 40,
        frames: int = 4,
        sets: tuple[str, ...] = ("fit", "gate", "unseen"),
        signal: float = 1.5,
        phantom: bool = False,
        several_labels: bool = False,
        seed: int = 0,
    ) -> Predictions:
        rng = np.random.default_rng(seed)
        n, k = patients * frames, len(classes)
        patient = np.repeat(np.arange(patients), frames)
        labels = np.arange(n) % k if several_labels else patient // len(sets) % k
        logits = rng.normal(size=(n, k)) + rng.normal(size=(patients, k))[patient]
        logits[np.arange(n), labels] += signal
        probabilities = np.exp(logits)
        return Predictions(
            classes=classes,
            paths=tuple(f"frame{i}.png" for i in range(n)),
            labels=labels.astype(np.int64),
            probabilities=probabilities / probabilities.sum(axis=1, keepdims=True),
            patient_ids=tuple(f"p{i:03d}" for i in patient),
            sets=tuple(sets[i % len(sets)] for i in patient),
            phantom=phantom,
            subgroups={"site": tuple(f"s{i % 2}" for i in patient)},
        )

    return make
