"""What is said of whole exams: how often, how often wrongly, and what is said where nothing listed fits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_cns.contract import Contract
from edge_cns.decision.exam import Exam
from edge_cns.decision.statement import ExamStatement, Outcome
from edge_cns.decision.verdict import State, Verdict
from edge_cns.errors import BadInputError
from edge_cns.evaluation.rows import Rows, make_rows
from edge_cns.evaluation.selective import selective

__all__ = ["ExamFrames", "exam_figures", "exam_statements", "frames_of_verdicts"]

_RIGHT, _WRONG = "right_finding", "wrong_finding"


@dataclass(frozen=True, slots=True, eq=False)
class ExamFrames:
    """What was found on the N frames of M exams.

    Attributes:
        probabilities: ``(N, K)`` calibrated.
        supported: ``(N,)`` bool, whether the frame is a supported view.
        single: N classes: that of the frame's conformal set, or ``None`` unless it has exactly one.
        views: N recognised planes, or ``None``.
        novelty: N scores, or ``None``.
        exam: ``(N,)`` int64, exam of each frame, 0 to M - 1.
        seconds: ``(N,)`` capture times within the exam, in any order; ``None`` for stills.

    Raises:
        BadInputError: lengths that differ, or an exam without a frame.
    """

    probabilities: NDArray[np.float64]
    supported: NDArray[np.bool_]
    single: Sequence[int | None]
    views: Sequence[str | None]
    novelty: Sequence[float | None]
    exam: NDArray[np.int64]
    seconds: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        columns = (self.supported, self.single, self.views, self.novelty, self.exam)
        if self.probabilities.ndim != 2 or {len(column) for column in columns} != {len(self.probabilities)}:
            raise BadInputError(f"exams: probabilities {self.probabilities.shape} and columns of other lengths")
        if self.seconds is not None and self.seconds.shape != (len(self.probabilities),):
            raise BadInputError(f"exams: seconds {self.seconds.shape} for {len(self.probabilities)} frames")
        if len(self.exam) == 0 or np.bincount(self.exam).min() == 0:
            raise BadInputError("exams: an exam has no frame; number the exams from 0 without a gap")

    def __len__(self) -> int:
        return int(self.exam.max()) + 1


def frames_of_verdicts(
    verdicts: Sequence[Verdict],
    classes: Sequence[str],
    exam: NDArray[np.int64],
    seconds: NDArray[np.float64] | None = None,
) -> ExamFrames:
    """Gather the verdicts of frames; those without a probability (frozen, no signal) must be left out before.

    Args:
        verdicts: N of a calibrated bundle.
        classes: K names.
        exam: ``(N,)`` exam of each frame.
        seconds: ``(N,)`` capture times within the exam; ``None`` for stills.
    """
    index = {name: c for c, name in enumerate(classes)}
    return ExamFrames(
        probabilities=np.array([[verdict.probabilities[name] for name in classes] for verdict in verdicts]),
        supported=np.array([verdict.state is not State.NOT_SUPPORTED_VIEW for verdict in verdicts], bool),
        single=[None if verdict.label is None else index[verdict.label] for verdict in verdicts],
        views=[verdict.view for verdict in verdicts],
        novelty=[verdict.novelty for verdict in verdicts],
        exam=exam,
        seconds=seconds,
    )


def exam_statements(contract: Contract, frames: ExamFrames) -> tuple[list[ExamStatement], NDArray[np.float64]]:
    """The statement at the end of each exam, from the object that the live runtime uses.

    Returns:
        M statements, and ``(M, K)`` aggregated scores; all classes score alike where no frame was supported. The frames
        that a statement names are row numbers.
    """
    statements = []
    scores = np.full((len(frames), len(contract.class_names)), 1 / len(contract.class_names))
    order = np.arange(len(frames.exam)) if frames.seconds is None else np.argsort(frames.seconds, kind="stable")
    for m in range(len(frames)):
        exam = Exam(contract)
        for i in order[frames.exam[order] == m].tolist():
            exam.add(
                frames.probabilities[i],
                supported=bool(frames.supported[i]),
                single=frames.single[i],
                view=frames.views[i],
                seconds=None if frames.seconds is None else float(frames.seconds[i]),
                sequence=i,
                novelty=frames.novelty[i],
            )
        statements.append(exam.statement())
        found = exam.scores()
        if found is not None:
            scores[m] = found
    return statements, scores


def exam_figures(
    contract: Contract,
    frames: ExamFrames,
    truths: Sequence[str],
    patients: Sequence[str],
    *,
    seed: int = 0,
    resamples: int = 2000,
) -> dict[str, Any]:
    """How good the statements are.

    An exam is *answered* when a finding is stated or excluded. The answer is wrong when another finding than the true
    one is stated, or a listed one is excluded. Exams of an anomaly that the model does not know are counted apart.

    Args:
        contract: of a calibrated bundle.
        frames: of M exams.
        truths: M labels; one that the contract does not have is an unlisted anomaly.
        patients: M patient ids.
        seed: of the resampling of patients.
        resamples: how many times the patients are drawn.

    Returns:
        JSON-ready. Proportions have ``value``, ``n``, ``interval`` (patients resampled) and ``wilson``.

    Raises:
        BadInputError: truths or patients of another length, or a bundle that is not calibrated.
    """
    rule = contract.decision.exam
    if rule is None:
        raise BadInputError("the bundle is not calibrated, so it says nothing of exams; use edge-cns calibrate")
    if not len(truths) == len(patients) == len(frames):
        raise BadInputError(f"exams: {len(truths)} truths and {len(patients)} patients for {len(frames)} exams")
    statements, scores = exam_statements(contract, frames)
    names = contract.class_names
    kinds = [_kind(statement, truth) for statement, truth in zip(statements, truths, strict=True)]
    labels = np.array([names.index(truth) if truth in names else -1 for truth in truths], np.int64)
    rows = make_rows(labels, patients, names, seed=seed, resamples=resamples)
    return {
        "n": len(truths),
        "n_patients": rows.n_patients(np.ones(len(truths), bool)),
        "unit": "exams",
        "rule": rule.aggregation.rule,
        "negative": rule.negative,
        "required_views": list(rule.required_views),
        **_rates(rows, kinds, rule.negative),
        "outcomes": {
            truth: dict(Counter(k for k, t in zip(kinds, truths, strict=True) if t == truth))
            for truth in sorted(set(truths))
        },
        "views_missing": dict(Counter(view for statement in statements for view in statement.views_missing)),
        "selective": _curve(rows, scores, seed, resamples, patients),
    }


def _kind(statement: ExamStatement, truth: str) -> str:
    """What a statement turned out to be: a right or wrong finding, or its outcome."""
    if statement.outcome is not Outcome.FINDING:
        return str(statement.outcome.value)
    return _RIGHT if statement.label == truth else _WRONG


def _rates(rows: Rows, kinds: Sequence[str], negative: str | None) -> dict[str, Any]:
    kind = np.array(kinds)
    listed = rows.labels >= 0
    clear, found = kind == Outcome.NO_LISTED_FINDING.value, np.isin(kind, (_RIGHT, _WRONG))
    without = rows.labels == (rows.classes.index(negative) if negative is not None else -2)
    ill, strange = listed & ~without, ~listed
    wrong = (kind == _WRONG) | (clear & ill)
    figures = {
        "answered": (found | clear, listed),
        "error": (wrong, listed & (found | clear)),
        "found": (kind == _RIGHT, ill),
        "missed": (clear, ill if negative else np.zeros_like(ill)),  # where nothing can be excluded, nothing is missed
        "false_finding": (found, without),
        "cleared": (clear, without),
        "unlisted_clear": (clear, strange),
        "unlisted_found": (found, strange),
    }
    masks = [among for _, among in figures.values()]
    return dict(zip(figures, rows.rates([event & among for event, among in figures.values()], masks), strict=True))


def _curve(
    rows: Rows, scores: NDArray[np.float64], seed: int, resamples: int, patients: Sequence[str]
) -> dict[str, Any] | None:
    """Risk against the share answered if the surest exams of listed classes were answered with their leading class."""
    listed = np.flatnonzero(rows.labels >= 0).tolist()
    if not listed:
        return None
    own = make_rows(rows.labels[listed], [patients[m] for m in listed], rows.classes, seed=seed, resamples=resamples)
    return selective(own, scores[listed])
