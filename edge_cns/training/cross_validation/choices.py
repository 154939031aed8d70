"""What a fold chooses among its training patients, from predictions of models that had not met them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_cns.contract import Aggregation, Decision, Rule
from edge_cns.decision.aggregation import aggregate_cases
from edge_cns.decision.calibration import choose_aggregation, fit_temperature, fit_thresholds, patient_shares
from edge_cns.decision.verdict import softmax
from edge_cns.training.cross_validation.problem import Labelled

__all__ = ["Choice", "Operating", "balanced_log_loss", "choose", "choose_operating", "statement"]

NEVER = np.inf
"""Threshold of a class of which no training patient is left to set one: it is never called."""


@dataclass(frozen=True, slots=True, eq=False)
class Operating:
    """How a fold's logits become a statement.

    Attributes:
        temperature: divisor of the logits.
        rule: of `edge_cns.decision.aggregation.RULES`.
        thresholds: ``(K,)`` float64, of the aggregated scores; `NEVER` where there was nobody to set one from.
    """

    temperature: float
    rule: Rule
    thresholds: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """All that one fold chose: the index of its penalty, and how its logits become a statement."""

    penalty: int
    operating: Operating


def choose(
    logits: NDArray[np.float32],
    known: Labelled,
    train: NDArray[np.bool_],
    learnable: NDArray[np.bool_],
    target_sensitivity: float,
) -> Choice:
    """Choose penalty, temperature, rule and thresholds of one fold.

    The penalty is the strongest whose loss is within one standard error of the best (Breiman et al. 1984,
    *Classification and Regression Trees*, 3.4.3): what chance could have decided, it does not decide.

    Args:
        logits: ``(P, N, K)`` for each of P penalties, strongest first, of models that had met neither the row's inner
            group nor the fold's test patients.
        known: the N rows.
        train: ``(N,)`` rows of the fold's training patients; nothing else is looked at.
        learnable: ``(N,)`` rows whose class that model had been taught. Of the others no model could have known.
        target_sensitivity: share of each class's cases that the thresholds find.
    """
    teachers = train & learnable & known.teaches
    patient = np.unique(np.array(known.patients)[teachers], return_inverse=True)[1]
    losses, error = balanced_log_loss(logits[:, teachers], known.labels[teachers], patient)
    best = int(np.argmin(losses))
    penalty = int(np.flatnonzero(losses <= losses[best] + error[best])[0])
    return Choice(penalty, choose_operating(logits[penalty], known, train & learnable, target_sensitivity))


def choose_operating(
    logits: NDArray[np.float32], known: Labelled, rows: NDArray[np.bool_], target_sensitivity: float
) -> Operating:
    """Temperature, aggregation rule and thresholds from frames ``rows (N,)`` of logits ``(N, K)``.

    As `edge_cns.calibrate` does: the temperature from the frames that show their label's sign, each patient counted
    once; rule and thresholds from whole cases.
    """
    temperature = _temperature(logits, known, np.flatnonzero(rows & known.teaches))
    probabilities = softmax(logits[rows], Decision(temperature=temperature))
    present, case = np.unique(known.case[rows], return_inverse=True)
    labels = known.case_labels[present]
    seconds = None if known.seconds is None else known.seconds[rows]
    aggregation, _ = choose_aggregation(probabilities, labels, case, negative=known.negative, seconds=seconds)
    scores = aggregate_cases(probabilities, case, aggregation, negative=known.negative, seconds=seconds)
    thresholds = np.full(len(known.classes), NEVER)
    for c in np.unique(labels):
        own = np.zeros(len(labels), np.int64)  # the one class of a table with one column
        of_class = labels == c
        thresholds[c] = fit_thresholds(scores[of_class][:, [c]], own[of_class], target_sensitivity)[0]
    return Operating(temperature, aggregation.rule, thresholds)


def _temperature(logits: NDArray[np.float32], known: Labelled, rows: NDArray[np.int64]) -> float:
    """The temperature on the frames ``rows``, each patient counting once.

    Its prior matters here: where labels say little, a temperature without one is anything, and were it to jump from
    fold to fold, ranking patients of different folds by their probabilities would rank the temperatures.
    """
    patients = [known.patients[i] for i in rows]
    shares, count = patient_shares(patients), len(set(patients))
    return fit_temperature(logits[rows], known.labels[rows], weights=shares, trials=count)


def _log_losses(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """``(..., N)``: cross-entropy of each frame of logits ``(..., N, K)``."""
    values = np.asarray(logits, np.float64)
    values = values - values.max(axis=-1, keepdims=True)
    own = values[..., np.arange(len(labels)), labels]
    return np.asarray(np.log(np.exp(values).sum(axis=-1)) - own)


def balanced_log_loss(
    logits: NDArray[np.float32], labels: NDArray[np.int64], patient: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Cross-entropy with each class weighing the same, as the head is taught, and its standard error over patients.

    Args:
        logits: ``(P, N, K)``.
        labels: ``(N,)``.
        patient: ``(N,)`` number of each frame's patient.

    Returns:
        Loss and standard error, both ``(P,)``; frames of a patient are not taken for independent.
    """
    losses = _log_losses(logits, labels)
    weights = 1 / np.bincount(labels)[labels]
    weights /= weights.sum()
    mean = losses @ weights
    shares = [np.bincount(patient, weights * (row - m)) for row, m in zip(losses, mean, strict=True)]
    return mean, np.sqrt(np.square(shares).sum(axis=1))


def statement(
    logits: NDArray[np.float32], known: Labelled, rows: NDArray[np.int64], operating: Operating
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64], NDArray[np.bool_]]:
    """A fold's test patients as its choices have them.

    Args:
        logits: ``(R, K)`` of the frames ``rows (R,)``, whole cases.
        known: all frames.
        operating: what the fold chose.

    Returns:
        Probabilities ``(R, K)``, the cases ``(M,)``, their scores ``(M, K)`` and calls ``(M, K)``.
    """
    probabilities = softmax(logits, Decision(temperature=operating.temperature))
    cases, case = np.unique(known.case[rows], return_inverse=True)
    seconds = None if known.seconds is None else known.seconds[rows]
    scores = aggregate_cases(probabilities, case, Aggregation(operating.rule), negative=known.negative, seconds=seconds)
    return probabilities, cases, scores, scores >= operating.thresholds
