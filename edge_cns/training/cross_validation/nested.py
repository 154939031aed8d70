"""The work of a cross-validation on frozen features, in tasks that any process can do.

For the fold of patient i and inner group g, a model is taught by all patients but i and those of g, and predicts g.
Whether i is among g or not, that is the model of "all but g" with at most one fold taken away, so one fit for each
group and penalty is the start of all of them. From these predictions a fold chooses its settings; one more fit, on all
its training patients, predicts its test patients.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_cns.training.cross_validation.choices import Choice, Operating, choose
from edge_cns.training.cross_validation.folds import INNER_GROUPS
from edge_cns.training.cross_validation.logistic import Base, Heads, fit_path, refit
from edge_cns.training.cross_validation.problem import Problem

__all__ = [
    "FOLDS_A_TASK",
    "FoldResult",
    "FoldTask",
    "GroupTask",
    "fit_groups",
    "fold_tasks",
    "group_tasks",
    "predict_folds",
]

FOLDS_A_TASK = 128
"""Folds of an inner task, four test tasks: whatever the number of processes, the sums are the same."""
_AT_ONCE = 32  # folds in one batch of the solver
_CHOOSING_TOLERANCE = 0.02  # of a probability, see logistic.refit: predictions that only choose settings

_LAST = threading.local()  # the fits that the last task of this thread began with


@dataclass(frozen=True, slots=True)
class GroupTask:
    """Predict inner group ``group`` for the folds ``start`` to ``stop``."""

    group: int
    start: int
    stop: int


@dataclass(frozen=True, slots=True, eq=False)
class FoldTask:
    """Choose the settings of the folds ``start`` to ``stop`` and test them.

    Attributes:
        inner: ``(P, F, N, K)`` float32 logits for each penalty and fold; ``None`` where nothing is chosen.
    """

    start: int
    stop: int
    inner: NDArray[np.float32] | None


@dataclass(frozen=True, slots=True, eq=False)
class FoldResult:
    """One fold: the logits ``(R, K)`` of its test frames ``rows (R,)``, and what it chose."""

    fold: int
    rows: NDArray[np.int64]
    logits: NDArray[np.float32]
    choice: Choice


def group_tasks(problem: Problem) -> list[GroupTask]:
    """All inner tasks, those of a group in a row; none where nothing is chosen."""
    if problem.target_sensitivity is None:
        return []
    parts = _parts(len(problem.folds.names), FOLDS_A_TASK)
    groups = [g for g in range(INNER_GROUPS) if (problem.folds.group == g).any()]
    return [GroupTask(g, start, stop) for g in groups for start, stop in parts]


def fold_tasks(problem: Problem) -> list[FoldTask]:
    """All test tasks, still without inner logits."""
    return [FoldTask(start, stop, None) for start, stop in _parts(len(problem.folds.names), _AT_ONCE)]


def fit_groups(problem: Problem, task: GroupTask) -> NDArray[np.float32]:
    """Logits ``(P, F, H, K)`` float32 of the group's H frames, for each penalty and fold of the task."""
    held = np.flatnonzero(problem.folds.group == task.group)
    teachers = np.flatnonzero((problem.folds.group != task.group) & problem.known.teaches)
    removed = _removed(problem, teachers, task.start, task.stop)
    changed = [f for f, rows in enumerate(removed) if rows.size]
    x = problem.design.x[held]
    logits = np.empty((len(problem.inverse_penalties), len(removed), len(held), problem.design.classes), np.float32)
    for p, base in enumerate(_path(problem, task.group, teachers)):
        logits[p] = base.head.logits(x)[0]
        for some in _batches(changed):
            heads = refit(base, [removed[f] for f in some], tolerance=_CHOOSING_TOLERANCE)
            logits[p, some] = heads.logits(x)
    return logits


def predict_folds(problem: Problem, task: FoldTask) -> list[FoldResult]:
    """Choose and test; one result for each fold that tests a frame."""
    rows = {f: np.flatnonzero(problem.folds.fold == f) for f in range(task.start, task.stop)}
    rows = {f: of_fold for f, of_fold in rows.items() if of_fold.size}
    choices = {f: _choice(problem, task, f) for f in rows}
    teachers = np.flatnonzero(problem.known.teaches)
    removed = _removed(problem, teachers, task.start, task.stop)
    logits: dict[int, NDArray[np.float32]] = {}
    for p, base in enumerate(_path(problem, None, teachers)):
        for some in _batches([f for f in rows if choices[f].penalty == p]):
            heads = refit(base, [removed[f - task.start] for f in some])
            for i, f in enumerate(some):
                head = Heads(heads.coordinates[:, :, [i]], heads.present[:, [i]])
                logits[f] = head.logits(problem.design.x[rows[f]])[0]
    return [FoldResult(f, rows[f], logits[f], choices[f]) for f in rows]


def _choice(problem: Problem, task: FoldTask, fold: int) -> Choice:
    """The fold's choice; without inner logits there is one penalty and nothing is calibrated."""
    k = problem.design.classes
    if task.inner is None or problem.target_sensitivity is None:
        return Choice(0, Operating(1.0, "mean_softmax", np.full(k, np.nan)))
    train = problem.folds.fold != fold
    inner = task.inner[:, fold - task.start]
    return choose(inner, problem.known, train, _learnable(problem, train), problem.target_sensitivity)


def _learnable(problem: Problem, train: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """``(N,)``: whether the model that predicted a row within a fold had been taught the row's class."""
    labels, group = problem.known.labels, problem.folds.group
    teachers = train & problem.known.teaches
    k = problem.design.classes
    taught = np.bincount(group[teachers] * k + labels[teachers], minlength=INNER_GROUPS * k).reshape(INNER_GROUPS, k)
    return np.asarray((taught.sum(axis=0) - taught)[group, labels] > 0)


def _removed(problem: Problem, teachers: NDArray[np.int64], start: int, stop: int) -> list[NDArray[np.int64]]:
    """For each fold, which of the teachers it tests, counted among the teachers."""
    fold = problem.folds.fold[teachers]
    return [np.flatnonzero(fold == f) for f in range(start, stop)]


def _path(problem: Problem, group: int | None, teachers: NDArray[np.int64]) -> tuple[Base, ...]:
    """The fits on ``teachers``, kept until the next group: the tasks of a group come in a row."""
    known = getattr(_LAST, "path", None)
    if known is None or known[0] is not problem or known[1] != group:
        _LAST.path = None  # before the next ones are made: two groups at once would be twice the memory
        _LAST.path = known = (problem, group, fit_path(problem.design.take(teachers), problem.inverse_penalties))
    path: tuple[Base, ...] = known[2]
    return path


def _parts(count: int, size: int) -> list[tuple[int, int]]:
    return [(start, min(start + size, count)) for start in range(0, count, size)]


def _batches(folds: Sequence[int]) -> Iterator[list[int]]:
    for start in range(0, len(folds), _AT_ONCE):
        yield list(folds[start : start + _AT_ONCE])
