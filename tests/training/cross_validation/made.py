"""Made-up features and rows: patients with habits of their own, and as much of the class as is asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edge_cns.data.manifest import Row
from edge_cns.training.cross_validation.folds import make_folds
from edge_cns.training.cross_validation.journal import Journal
from edge_cns.training.cross_validation.nested import FoldResult
from edge_cns.training.cross_validation.pool import open_pool
from edge_cns.training.cross_validation.problem import Problem, labelled, make_problem
from edge_cns.training.cross_validation.run import solve_problem
from edge_cns.training.cross_validation.settings import INVERSE_PENALTIES

__all__ = ["draw", "features_of", "nested_problem", "probabilities_of", "rows_of", "solved"]


def draw(
    patients: int = 30, frames: int = 3, channels: int = 20, classes: int = 3, signal: float = 1.0, seed: int = 0
) -> tuple[np.ndarray, list[Row]]:
    """Features ``(N, C)`` float32 with unlike scales, and their rows; the classes are not equally common."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(classes, patients, p=np.arange(1, classes + 1) / (classes * (classes + 1) / 2))
    labels[: 3 * classes] = np.repeat(np.arange(classes), 3)
    person = np.repeat(np.arange(patients), frames)
    return features_of(labels, person, channels, signal, rng), rows_of(labels[person], person)


def features_of(labels, person, channels: int, signal: float, rng: np.random.Generator) -> np.ndarray:
    centres = signal * rng.normal(size=(labels.max() + 1, channels))
    habits = rng.normal(size=(len(labels), channels))
    values = centres[labels][person] + habits[person] + rng.normal(size=(len(person), channels))
    return (values * rng.uniform(0.1, 10, channels) + rng.uniform(-5, 50, channels)).astype(np.float32)


def rows_of(labels, person, **columns) -> list[Row]:
    """A row for each frame; ``columns`` have a value for each."""
    return [
        Row(i + 2, Path(f"{i}.png"), "abcdefgh"[label], f"p{who:03d}", **{k: v[i] for k, v in columns.items()})
        for i, (label, who) in enumerate(zip(labels, person, strict=True))
    ]


def nested_problem(features, rows, scheme: str = "leave-one-patient-out", **settings) -> Problem:
    folds = make_folds(rows, scheme, **settings)
    return make_problem(features, labelled(rows, None), folds, INVERSE_PENALTIES, 0.9)


def solved(problem: Problem, folder: Path, jobs: int = 1) -> list[FoldResult]:
    (folder / "journal").mkdir(parents=True)
    with open_pool(jobs) as pool:
        return solve_problem(problem, Journal(folder, resumed=False), pool)


def probabilities_of(logits) -> np.ndarray:
    values = np.exp(np.asarray(logits, float) - np.max(logits, axis=-1, keepdims=True))
    return values / values.sum(axis=-1, keepdims=True)
