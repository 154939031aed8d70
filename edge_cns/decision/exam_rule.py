"""The exam's rule, fitted on whole exams of calibration patients, with the frames that `Exam` would count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edge_cns.contract import ExamRule, Rule
from edge_cns.decision.aggregation import ROUNDING, aggregate_cases
from edge_cns.decision.calibration import choose_aggregation, fit_thresholds
from edge_cns.errors import BadInputError

__all__ = ["fit_clear_limit", "fit_exam_rule"]


def fit_exam_rule(
    probabilities: NDArray[np.float64],
    exam: NDArray[np.int64],
    labels: NDArray[np.int64],
    classes: Sequence[str],
    *,
    supported: NDArray[np.bool_],
    single: NDArray[np.bool_],
    novelty: NDArray[np.float64] | None,
    target_sensitivity: float,
    negative: str | None,
    required_views: Sequence[str] = (),
    seconds: NDArray[np.float64] | None = None,
) -> tuple[ExamRule, dict[Rule, float]]:
    """Choose the aggregation and fit thresholds and limits.

    Frames of no supported view are left out, as at the bedside. An exam that has no other keeps them all: it is one of
    those whose finding is to be found.

    Args:
        probabilities: ``(N, K)`` calibrated, of all frames of the exams, also of those that do not show the sign.
        exam: ``(N,)`` exam of each frame, 0 to M - 1.
        labels: ``(M,)`` index of each exam's class; every class occurs.
        classes: K names.
        supported: ``(N,)`` whether a frame is a supported view.
        single: ``(N,)`` whether its conformal set has exactly one class.
        novelty: ``(N,)`` its score, or ``None`` without a rule for it.
        target_sensitivity: share of each class's exams whose score shall reach its threshold.
        negative: the class that means none of the findings, or ``None``.
        required_views: views without which nothing is excluded.
        seconds: ``(N,)`` capture times within the exam; ``None`` for stills.

    Returns:
        The rule, and the balanced accuracy of each aggregation on these exams.
    """
    counted = supported | (np.bincount(exam, supported, len(labels)) == 0)[exam]
    of_negative = None if negative is None else list(classes).index(negative)
    rows, whose = probabilities[counted], exam[counted]
    times = None if seconds is None else seconds[counted]
    aggregation, accuracies = choose_aggregation(rows, labels, whose, negative=of_negative, seconds=times)
    scores = aggregate_cases(rows, whose, aggregation, negative=of_negative, seconds=times)
    rule = ExamRule(
        aggregation=aggregation,
        thresholds=tuple(fit_thresholds(scores, labels, target_sensitivity).tolist()),
        target_sensitivity=target_sensitivity,
        negative=negative,
        required_views=tuple(required_views),
    )
    if of_negative is None:
        return rule, accuracies
    clear = labels == of_negative
    held_back = _means(~(supported & single), exam, np.ones(len(exam), bool))[clear]
    strange = None if novelty is None else _means(novelty, exam, counted)[clear]
    limit = None if strange is None else fit_clear_limit(strange)
    return replace(rule, clear_abstention=fit_clear_limit(held_back), clear_novelty=limit), accuracies


def fit_clear_limit(values: NDArray[np.float64], answered: float = 0.8) -> float:
    """The largest value that is usual in exams without a finding: of five such patients it may hold one back.

    Args:
        values: ``(M,)`` of the calibration cases of the negative class: the share of their frames that are no supported
            view or have no single class, or the mean novelty of their supported frames.
        answered: share of these cases within the limit.

    Returns:
        The ``ceil(answered * M)``-th smallest value.

    Raises:
        BadInputError: no case.
    """
    if len(values) == 0:
        raise BadInputError("there is no calibration case without a finding; give rows of such patients")
    return float(np.sort(values)[max(1, int(np.ceil(answered * len(values) - ROUNDING))) - 1])


def _means(values: NDArray[np.generic], exam: NDArray[np.int64], counted: NDArray[np.bool_]) -> NDArray[np.float64]:
    """``(M,)``: mean of the ``(N,)`` values over the counted frames of each exam."""
    sums = np.bincount(exam[counted], values[counted].astype(np.float64), int(exam.max()) + 1)
    return np.asarray(sums / np.bincount(exam[counted], minlength=len(sums)), np.float64)
