"""A whole cross-validation: labelled frames in, ``DIR/metrics.json`` with predictions, figures and report out."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_cns import __version__
from edge_cns.data.check import check
from edge_cns.data.findings import Findings
from edge_cns.data.manifest import Manifest
from edge_cns.errors import BadInputError
from edge_cns.extras import require
from edge_cns.progress import Progress, silent
from edge_cns.training.cross_validation.features import frozen_features
from edge_cns.training.cross_validation.folds import INNER_GROUPS, Folds, make_folds
from edge_cns.training.cross_validation.journal import Journal, check_out, open_journal, request_of
from edge_cns.training.cross_validation.nested import (
    FOLDS_A_TASK,
    FoldResult,
    FoldTask,
    fit_groups,
    fold_tasks,
    group_tasks,
    predict_folds,
)
from edge_cns.training.cross_validation.network import NetworkProblem, train_fold
from edge_cns.training.cross_validation.output import write_output
from edge_cns.training.cross_validation.pool import Pool
from edge_cns.training.cross_validation.problem import Labelled, Problem, labelled, make_problem
from edge_cns.training.cross_validation.results import Gathered, chosen_by_folds, gather, pack, unpack
from edge_cns.training.cross_validation.settings import CrossValidationSettings
from edge_cns.training.weights import resolve_weights

__all__ = ["cross_validate", "solve_problem"]

_NEGATIVE = "normal"  # the class that means none of the findings, unless somebody says otherwise
_OF_A_TRAINING = ("sets", "duplicate-splits")  # refusals that only concern sets and splits, which are not used here


def cross_validate(
    manifest: Manifest, out: Path, settings: CrossValidationSettings, pool: Pool, progress: Progress = silent
) -> dict[str, Any]:
    """Test every patient once, or go on with a cross-validation that was interrupted.

    Every row is tested, whatever its ``split``. Rows with ``evidence`` = ``false`` teach nothing. Patients that share
    pixels are tested together.

    Args:
        manifest: labelled frames.
        out: folder for the results.
        settings: what is asked for.
        pool: where the folds are computed.
        progress: told as work goes on.

    Returns:
        What was written as ``metrics.json``: the dictionary of `edge_cns.evaluation.metrics.evaluate` with a block
        ``cross_validation``.

    Raises:
        BadInputError: data that cannot be cross-validated, or a folder that holds something else.
        InitialisationError: weights that cannot be fetched.
        MissingExtraError: TensorFlow, scikit-learn or matplotlib is not installed.
        OperationError: a worker died.
    """
    for module in ("matplotlib", "sklearn"):  # now, not after all folds
        require(module, "evaluate")
    started = time.monotonic()
    request = request_of(settings, manifest)
    check_out(out, request)
    negative = _negative(manifest, settings)
    training = settings.training()
    weights = resolve_weights(training.backbone, training.alpha, training.image_size, training.weights)
    _fold(manifest, settings, ())  # refuses what it can before a thousand images are read
    findings = check(manifest, progress=progress)
    _refuse(findings)
    folds = _fold(manifest, settings, findings.linked_patients)
    known = labelled(manifest.rows, negative)
    if settings.finetune:
        content = "none" if weights is None else weights.sha256
        journal = open_journal(out, request, content)
        problem = NetworkProblem(
            manifest=manifest,
            known=known,
            folds=folds,
            settings=training,
            target_sensitivity=settings.target_sensitivity,
            folder=journal.folder("networks"),
            progress=progress if pool.here else silent,
        )
        results = _train_folds(problem, journal, pool, progress)
        target: float | None = settings.target_sensitivity
    else:
        features = frozen_features([row.path for row in manifest.rows], training, progress)
        content = features.sha256
        target = settings.target_sensitivity if settings.nested else None
        linear = make_problem(features.values, known, folds, settings.inverse_penalties, target)
        journal = open_journal(out, request, content)
        results = solve_problem(linear, journal, pool, progress)
    gathered = gather(results, known, target)
    record = _record(settings, manifest, folds, known, findings, gathered)
    record |= {"content_sha256": content, "weights": None if weights is None else weights.origin}
    record |= {"seconds": round(time.monotonic() - started, 1), "resumed": journal.resumed}
    metrics = write_output(out, manifest, known, folds, gathered, record, findings)
    journal.close()
    return metrics


def solve_problem(problem: Problem, journal: Journal, pool: Pool, progress: Progress = silent) -> list[FoldResult]:
    """All folds of a cross-validation on frozen features; what the journal has is not computed again."""
    groups = [task for task in group_tasks(problem) if not journal.has(_name("inner", task.group, task.start))]
    total, done = sum(task.stop - task.start for task in groups), 0
    for task, logits in pool.run(fit_groups, problem, groups):
        journal.write(_name("inner", task.group, task.start), logits)
        done += task.stop - task.start
        progress("choosing settings within each fold", done, total)
    left = [task for task in fold_tasks(problem) if journal.arrays(_name("folds", task.start)) is None]
    total, done = sum(task.stop - task.start for task in left), 0
    for fold_task, results in pool.run(predict_folds, problem, _with_inner(problem, journal, left)):
        journal.write_arrays(_name("folds", fold_task.start), pack(results))
        done += fold_task.stop - fold_task.start
        progress("testing every fold", done, total)
    return [r for task in fold_tasks(problem) for r in unpack(journal.arrays(_name("folds", task.start)) or {})]


def _with_inner(problem: Problem, journal: Journal, tasks: Iterable[FoldTask]) -> Iterator[FoldTask]:
    """Test tasks with the inner logits of their folds, read when they are due."""
    group = problem.folds.group
    for task in tasks:
        if problem.target_sensitivity is None:
            yield task
            continue
        shape = (len(problem.inverse_penalties), task.stop - task.start, len(group), problem.design.classes)
        inner: NDArray[np.float32] = np.empty(shape, np.float32)
        first = task.start // FOLDS_A_TASK * FOLDS_A_TASK
        for g in np.unique(group):
            part = (slice(None), slice(task.start - first, task.stop - first))
            inner[:, :, group == g] = journal.read(_name("inner", int(g), first), part)
        yield FoldTask(task.start, task.stop, inner)


def _train_folds(problem: NetworkProblem, journal: Journal, pool: Pool, progress: Progress) -> list[FoldResult]:
    """All folds of a cross-validation that trains networks."""
    everyone = range(len(problem.folds.names))
    left = [fold for fold in everyone if journal.arrays(_name("folds", fold)) is None]
    for done, (fold, result) in enumerate(pool.run(train_fold, problem, left), start=1):
        journal.write_arrays(_name("folds", fold), pack([result]))
        shutil.rmtree(problem.folder / f"network-{fold}", ignore_errors=True)
        progress("training and testing every fold", done, len(left))
    return [r for fold in everyone for r in unpack(journal.arrays(_name("folds", fold)) or {})]


def _name(kind: str, *numbers: int) -> str:
    return "-".join([kind, *map(str, numbers)])


def _fold(manifest: Manifest, settings: CrossValidationSettings, linked: Iterable[Iterable[str]]) -> Folds:
    return make_folds(manifest.rows, settings.scheme, folds=settings.folds, seed=settings.seed, together=linked)


def _refuse(findings: Findings) -> None:
    for finding in findings.findings:
        if finding.level == "refusal" and finding.kind not in _OF_A_TRAINING:
            raise BadInputError(finding.text)


def _negative(manifest: Manifest, settings: CrossValidationSettings) -> str | None:
    if settings.negative is None:
        return _NEGATIVE if _NEGATIVE in manifest.classes else None
    if settings.negative not in manifest.classes:
        names = ", ".join(manifest.classes)
        raise BadInputError(f"--negative {settings.negative!r} is not a class of {manifest.path} ({names})")
    return settings.negative


def _record(
    settings: CrossValidationSettings,
    manifest: Manifest,
    folds: Folds,
    known: Labelled,
    findings: Findings,
    gathered: Gathered,
) -> dict[str, Any]:
    """How it came about, JSON-ready."""
    penalties = () if settings.finetune else settings.inverse_penalties
    record = {
        "settings": asdict(settings),
        "folds": len(folds.names),
        "inner_groups": INNER_GROUPS if settings.nested and not settings.finetune else None,
        "rows_that_teach_nothing": int(np.count_nonzero(~known.teaches)),
        "split_column": "not looked at: every patient is tested once" if "split" in manifest.columns else "none",
        "patients_tested_together": [list(group) for group in findings.linked_patients],
        "version": __version__,
    }
    if gathered.decisions is not None:
        record["chosen"] = chosen_by_folds(gathered.choices, known.classes, penalties)
    else:
        record["inverse_penalty"] = penalties[0]
    return dict(json.loads(json.dumps(record)))
