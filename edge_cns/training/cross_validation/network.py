"""A fold whose whole network is trained: what ``edge-cns train`` does, with the fold's patients kept for testing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_cns.data.manifest import Manifest
from edge_cns.progress import Progress, silent
from edge_cns.training.cross_validation.choices import Choice, choose_operating
from edge_cns.training.cross_validation.folds import Folds
from edge_cns.training.cross_validation.nested import FoldResult
from edge_cns.training.cross_validation.problem import Labelled
from edge_cns.training.run import FinishedRun, Settings

__all__ = ["NetworkProblem", "train_fold"]

_PART = 512  # frames in memory at once


@dataclass(frozen=True, slots=True, eq=False)
class NetworkProblem:
    """A cross-validation in which every fold trains a network.

    Attributes:
        manifest: all rows.
        known: what is known of them.
        folds: who is tested when.
        settings: of each training.
        target_sensitivity: for the thresholds of every fold.
        folder: where the trainings stand until they are finished; every worker must see it.
        progress: told of each training's own progress.
    """

    manifest: Manifest
    known: Labelled
    folds: Folds
    settings: Settings
    target_sensitivity: float
    folder: Path
    progress: Progress = silent


def train_fold(problem: NetworkProblem, fold: int) -> FoldResult:
    """Train on all patients but the fold's, or go on with that; then predict the fold.

    The training draws its own sets among its patients. Its *calibrate* patients, which taught it nothing and stopped
    nothing, choose temperature, aggregation rule and thresholds.

    Raises:
        BadInputError: what `edge_cns.training.train.train` raises: a class with fewer than four training patients, say.
    """
    from edge_cns.training.keras import keras
    from edge_cns.training.model import read_classifier
    from edge_cns.training.run import read_run
    from edge_cns.training.train import train

    tested = problem.folds.fold == fold
    rows = [replace(row, split="test" if t else "train") for row, t in zip(problem.manifest.rows, tested, strict=True)]
    path = problem.folder / f"network-{fold}"

    def progress(task: str, done: int, total: int, note: str = "") -> None:
        problem.progress(f"fold {problem.folds.names[fold]}: {task}", done, total, note)

    if not (path / "run.json").exists():
        train(replace(problem.manifest, rows=tuple(rows)), path, problem.settings, progress)
    run = read_run(path)
    calibrates = np.array([run.sets.get(patient) == "calibrate" for patient in problem.known.patients])
    logits = np.zeros((len(rows), len(problem.known.classes)), np.float32)
    wanted = np.flatnonzero(tested | calibrates)
    logits[wanted] = _logits(read_classifier(run.model), run, problem.manifest, wanted, progress)
    keras.backend.clear_session()  # the next fold's network would be a second one in memory
    operating = choose_operating(logits, problem.known, calibrates, problem.target_sensitivity)
    chosen = np.flatnonzero(tested)
    return FoldResult(fold, chosen, logits[chosen], Choice(0, operating))


def _logits(
    model: object, run: FinishedRun, manifest: Manifest, wanted: NDArray[np.int64], progress: Progress
) -> NDArray[np.float32]:
    from edge_cns.training.dataset import load_images
    from edge_cns.training.model import predict_logits

    parts: Sequence[NDArray[np.int64]] = [wanted[start : start + _PART] for start in range(0, len(wanted), _PART)]
    found = []
    for i, part in enumerate(parts):
        images = load_images([manifest.rows[j] for j in part], run.contract, "reading frames to predict").images
        found.append(predict_logits(model, images))
        progress("predicting", i + 1, len(parts))
    return np.concatenate(found)
