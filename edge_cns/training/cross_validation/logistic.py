"""Many regularised logistic regressions at once, each on all frames but a few: the folds of a cross-validation.

The problem is `edge_cns.training.head.fit_head`'s: multinomial, class-weighted, on features standardised within the
fold. To standardise a fold's own way is to give each column of *one* matrix a penalty of its own, with the intercept
free. So all folds share that matrix, and a step of all of them is one matrix product (`newton`). They start from the
solution on all frames, which a fold that leaves out one patient hardly changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_cns.errors import BadInputError
from edge_cns.training.cross_validation.newton import Array, System, contrasts_of, solve, to_classes
from edge_cns.training.head import DEVIATION_FLOOR

__all__ = ["ABSENT", "TOLERANCE", "Base", "Design", "Heads", "fit_path", "refit", "standardise"]

ABSENT = -30.0
"""How far below the largest logit a class stands that no frame taught: its probability is about 1e-13."""
TOLERANCE = 1e-3
"""Largest change of a probability in the last step of a fit whose predictions are kept."""


@dataclass(frozen=True, slots=True, eq=False)
class Design:
    """Labelled frames in the solver's coordinates.

    Attributes:
        x: ``(N, C + 1)`` float32, features standardised once and for all, then a column of ones.
        floor: ``(C,)`` float64, the head's floor of a standard deviation in the units of ``x``.
        labels: ``(N,)`` int64.
        classes: number K.
    """

    x: Array
    floor: NDArray[np.float64]
    labels: NDArray[np.int64]
    classes: int

    def take(self, rows: NDArray[np.int64]) -> Design:
        """Some of the frames, in the same coordinates."""
        return Design(np.ascontiguousarray(self.x[rows]), self.floor, self.labels[rows], self.classes)


@dataclass(frozen=True, slots=True, eq=False)
class Heads:
    """Fitted regressions.

    Attributes:
        coordinates: ``(C + 1, K - 1, F)`` float32.
        present: ``(K, F)`` bool, classes that had frames to learn from.
    """

    coordinates: Array
    present: NDArray[np.bool_]

    def logits(self, x: Array) -> Array:
        """Logits ``(F, N, K)`` float32 of frames ``(N, C + 1)``; a class that no frame taught stands `ABSENT` below."""
        logits = to_classes(contrasts_of(x, self.coordinates))
        absent = ~self.present[:, None, :]
        if absent.any():
            top = np.where(absent, -np.inf, logits).max(axis=0)
            logits = np.where(absent, top + np.float32(ABSENT), logits)
        return np.ascontiguousarray(np.moveaxis(logits, (2, 1), (0, 1)))


@dataclass(frozen=True, slots=True, eq=False)
class Base:
    """The regression on all of ``design``, from which those on nearly all of them are reached.

    Attributes:
        design: what it was fitted on.
        inverse_penalty: scikit-learn's C.
        head: the solution, F = 1.
        preconditioner: ``(C + 1, C + 1)`` float32, inverse of the curvature there.
    """

    design: Design
    inverse_penalty: float
    head: Heads
    preconditioner: Array


def standardise(features: NDArray[np.float32], labels: NDArray[np.int64], classes: int) -> Design:
    """Bring features ``(N, C)`` into the solver's coordinates. They are a choice of units: no result depends on them.

    Raises:
        BadInputError: a feature that is not finite; the text names the frame's row.
    """
    finite = np.isfinite(features).all(axis=1)
    if not finite.all():
        row = int(np.flatnonzero(~finite)[0])
        raise BadInputError(
            f"the features of frame {row} (of {len(features)}, from 0) are not all finite numbers; "
            "check the weights file they were computed with"
        )
    mean = features.mean(axis=0, dtype=np.float64)
    deviation = features.std(axis=0, dtype=np.float64) + DEVIATION_FLOOR
    x = np.ones((len(features), features.shape[1] + 1), np.float32)
    np.divide(features - mean, deviation, out=x[:, :-1], casting="same_kind")
    return Design(x, DEVIATION_FLOOR / deviation, labels, classes)


def fit_path(design: Design, inverse_penalties: Sequence[float], *, tolerance: float = TOLERANCE) -> tuple[Base, ...]:
    """Fit all frames with each penalty, strongest first: one solution is the start of the next.

    Args:
        design: what teaches.
        inverse_penalties: scikit-learn's C, ascending.
        tolerance: see `refit`.

    Raises:
        OperationError: no convergence.
    """
    coordinates = np.zeros((design.x.shape[1], design.classes - 1, 1), np.float32)
    preconditioner: Array | None = None
    path = []
    for inverse_penalty in inverse_penalties:
        system = _system(design, inverse_penalty, [np.empty(0, np.int64)])
        if preconditioner is None:
            preconditioner = system.preconditioner(coordinates)
        coordinates = solve(system, coordinates, preconditioner, tolerance)
        preconditioner = system.preconditioner(coordinates)
        path.append(Base(design, inverse_penalty, Heads(coordinates, system.present), preconditioner))
    return tuple(path)


def refit(base: Base, removed: Sequence[NDArray[np.int64]], *, tolerance: float = TOLERANCE) -> Heads:
    """Fit all of a base's frames but some, for F sets of frames at once.

    Args:
        base: the fit on all of them.
        removed: F arrays of rows of ``base.design`` that do not teach.
        tolerance: largest change of a probability in the last step, over removed frames as well. The error that is
            left is about a tenth of it.

    Raises:
        OperationError: no convergence.
    """
    system = _system(base.design, base.inverse_penalty, removed)
    start = np.repeat(base.head.coordinates, len(removed), axis=2)
    return Heads(solve(system, start, base.preconditioner, tolerance), system.present)


def _system(design: Design, inverse_penalty: float, removed: Sequence[NDArray[np.int64]]) -> System:
    """Weights and penalties as scikit-learn has them on each fold's standardised features."""
    n, d = design.x.shape
    folds, classes = len(removed), design.classes
    columns = design.x[:, :-1]
    total = np.stack([columns.sum(axis=0, dtype=np.float64), _squares(columns)])
    weights = np.empty((n, folds), np.float32)
    penalty = np.zeros((d, folds), np.float32)
    present = np.empty((classes, folds), bool)
    counts = np.bincount(design.labels, minlength=classes)
    for f, rows in enumerate(removed):
        kept = counts - np.bincount(design.labels[rows], minlength=classes)
        present[:, f] = kept > 0
        of_class = kept.sum() / (np.count_nonzero(kept) * np.maximum(kept, 1))
        weights[:, f] = of_class[design.labels]
        weights[rows, f] = 0
        gone = columns[rows].astype(np.float64)
        mean, square = (total - np.stack([gone.sum(axis=0), (gone**2).sum(axis=0)])) / kept.sum()
        deviation = np.sqrt(np.maximum(square - mean**2, 0)) + design.floor
        # Of two classes scikit-learn penalises one weight, the difference, which is sqrt(2) times the contrast.
        penalty[:-1, f] = deviation**2 / inverse_penalty * (2 if np.count_nonzero(kept) == 2 else 1)
    target = (np.arange(classes)[:, None] == design.labels).astype(np.float32)[:, :, None]
    return System(design.x, target, weights, penalty, present)


def _squares(columns: Array) -> NDArray[np.float64]:
    """Sums of squares by column, ``(C,)``, in blocks that keep float64 copies small."""
    total = np.zeros(columns.shape[1])
    for start in range(0, len(columns), 1024):
        total += np.square(columns[start : start + 1024].astype(np.float64)).sum(axis=0)
    return total
