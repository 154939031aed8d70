"""Everything the workers of a cross-validation need to know, in arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_cns.data.manifest import Row
from edge_cns.evaluation.predictions import UNSEEN, Predictions
from edge_cns.evaluation.subgroups import subgroup_columns
from edge_cns.training.cross_validation.folds import Folds
from edge_cns.training.cross_validation.logistic import Design, standardise

__all__ = ["Labelled", "Problem", "labelled", "make_problem"]


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """N frames and what is known of them, without their pixels.

    Attributes:
        classes: K names, sorted.
        labels: ``(N,)`` int64.
        teaches: ``(N,)`` bool; a frame on which the sign cannot be seen is tested and teaches nothing.
        patients: N patient ids.
        case, case_labels: ``(N,)`` case of each frame and ``(M,)`` class of each case, as `Predictions.cases` has them.
        seconds: ``(N,)`` capture times within the exam, or ``None``.
        negative: index of the class that means none of the findings, or ``None``.
    """

    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    teaches: NDArray[np.bool_]
    patients: tuple[str, ...]
    case: NDArray[np.int64]
    case_labels: NDArray[np.int64]
    seconds: NDArray[np.float64] | None
    negative: int | None

    def predictions(self, rows: Sequence[Row], probabilities: NDArray[np.float64], *, phantom: bool) -> Predictions:
        """What `edge_cns.evaluation` measures: every patient is new to the model that predicted them."""
        return Predictions(
            classes=self.classes,
            paths=tuple(str(row.path) for row in rows),
            labels=self.labels,
            probabilities=probabilities,
            patient_ids=self.patients,
            sets=(UNSEEN,) * len(rows),
            phantom=phantom,
            subgroups=subgroup_columns(rows),
            seconds=self.seconds,
            negative=None if self.negative is None else self.classes[self.negative],
        )


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """A cross-validation of a linear head on features that do not change.

    Attributes:
        design: all N frames.
        known: what is known of them.
        folds: who is tested when.
        inverse_penalties: scikit-learn's C, ascending; one only if nothing is to be chosen.
        target_sensitivity: for the thresholds of every fold, or ``None`` where nothing is chosen.
    """

    design: Design
    known: Labelled
    folds: Folds
    inverse_penalties: tuple[float, ...]
    target_sensitivity: float | None


def labelled(rows: Sequence[Row], negative: str | None) -> Labelled:
    """Arrays from the rows of a manifest; ``negative`` is a class of it, or ``None``."""
    classes = tuple(sorted({row.label for row in rows}))
    patients = tuple(row.patient_id for row in rows)
    labels = np.array([classes.index(row.label) for row in rows], np.int64)
    number = np.unique(np.array(patients), return_inverse=True)[1]
    keys, case = np.unique(number * len(classes) + labels, return_inverse=True)
    times = [row.seconds for row in rows]
    return Labelled(
        classes=classes,
        labels=labels,
        teaches=np.array([row.evidence is not False for row in rows]),
        patients=patients,
        case=case.astype(np.int64),
        case_labels=(keys % len(classes)).astype(np.int64),
        seconds=None if None in times else np.array(times, np.float64),
        negative=None if negative is None else classes.index(negative),
    )


def make_problem(
    features: NDArray[np.float32],
    known: Labelled,
    folds: Folds,
    inverse_penalties: Sequence[float],
    target_sensitivity: float | None,
) -> Problem:
    """Put the parts together.

    Raises:
        BadInputError: features ``(N, C)`` that are not finite.
    """
    design = standardise(features, known.labels, len(known.classes))
    return Problem(design, known, folds, tuple(inverse_penalties), target_sensitivity)
