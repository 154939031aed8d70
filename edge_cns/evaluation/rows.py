"""Rows to count, frames or cases, and the patients behind them, who are resampled."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_cns.evaluation.intervals import (
    Interval,
    clustered_ratios,
    logit_interval,
    patient_weights,
    pooled_freedom,
    wilson,
)

__all__ = ["LEVEL", "Rows", "listed", "make_rows"]

LEVEL = 0.95
"""Two-sided confidence of every interval of an evaluation."""


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """N rows of P patients.

    Attributes:
        labels: ``(N,)`` int64, index of the true class.
        patient: ``(N,)`` int64, column of ``weights``.
        weights: ``(R, P)`` from `patient_weights`.
        classes: K names.
    """

    labels: NDArray[np.int64]
    patient: NDArray[np.int64]
    weights: NDArray[np.float64]
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def one_hot(self) -> NDArray[np.bool_]:
        """``(N, K)``: whether the row is of the class."""
        hot: NDArray[np.bool_] = self.labels[:, None] == np.arange(len(self.classes))
        return hot

    def by_patient(self, counted: Sequence[NDArray[np.bool_]]) -> NDArray[np.float64]:
        """``(P, S)``: how many rows of each patient are true in each of the S masks ``(N,)``."""
        n_patients = self.weights.shape[1]
        totals = [np.bincount(self.patient[mask], minlength=n_patients) for mask in counted]
        return np.stack(totals, axis=1).astype(np.float64)

    def n_patients(self, mask: NDArray[np.bool_]) -> int:
        """Patients with a row in the mask ``(N,)``."""
        return len(np.unique(self.patient[mask]))

    def sums(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """``(P,)``: sum of the ``(N,)`` values over the rows of each patient."""
        return np.bincount(self.patient, values, self.weights.shape[1]).astype(np.float64)

    def rates(self, events: Sequence[NDArray[np.bool_]], trials: Sequence[NDArray[np.bool_]]) -> list[dict[str, Any]]:
        """Proportions, each with the interval over patients and Wilson's; S masks ``(N,)`` of each kind."""
        intervals = clustered_ratios(self.by_patient(events), self.by_patient(trials), self.weights, LEVEL)
        rates = []
        for event, trial, interval in zip(events, trials, intervals, strict=True):
            hits, n = int(event.sum()), int(trial.sum())
            rates.append(
                {
                    "value": hits / n if n else None,
                    "n": n,
                    "interval": listed(interval),
                    "wilson": listed(wilson(hits, n, LEVEL)),
                }
            )
        return rates

    def mean(self, values: NDArray[np.float64], *, top: float = 1.0) -> tuple[float, list[float] | None]:
        """Mean of the ``(N,)`` values, each from 0 to ``top``, with its interval over patients."""
        ones = np.ones(len(self))
        samples = (self.weights @ self.sums(values)) / (self.weights @ self.sums(ones))
        value = float(values.mean())
        return value, self.interval(value, samples, len(np.unique(self.patient)), top=top)

    def interval(
        self, value: float, samples: NDArray[np.float64], n_patients: int, *, top: float = 1.0
    ) -> list[float] | None:
        """Interval of a figure from its resamples ``(R,)``, as JSON has it."""
        return listed(logit_interval(value, samples, n_patients - 1, LEVEL, top=top))

    def macro(
        self, values: Sequence[float], samples: NDArray[np.float64], n_patients: Sequence[int]
    ) -> tuple[float | None, list[float] | None]:
        """Mean of the figures of K classes, and its interval.

        Args:
            values: K figures, 0 to 1.
            samples: ``(R, K)`` their resamples, NaN where a class was not drawn: the mean is over those that were.
            n_patients: K counts of the patients behind each.

        Returns:
            The mean (``None`` without classes) and its interval: ``None`` where a class has one patient only, who shows
            nothing about other patients.
        """
        if not values:
            return None, None
        value = math.fsum(values) / len(values)
        if min(n_patients) < 2:
            return value, None
        present = np.isfinite(samples)
        known = present.sum(axis=1)
        with np.errstate(invalid="ignore"):
            means = np.where(present, samples, 0.0).sum(axis=1) / known
        variances = np.array([np.var(column[np.isfinite(column)]) for column in samples.T if np.isfinite(column).any()])
        if len(variances) < len(values):
            return value, None
        freedom = pooled_freedom(variances, np.array(n_patients, np.float64) - 1)
        return value, listed(logit_interval(value, means, freedom, LEVEL))


def make_rows(
    labels: NDArray[np.int64], patient_ids: Sequence[str], classes: tuple[str, ...], *, seed: int, resamples: int
) -> Rows:
    """Rows whose patients are drawn ``resamples`` times."""
    patients, index = np.unique(np.array(patient_ids), return_inverse=True)
    weights = patient_weights(len(patients), resamples, np.random.default_rng(seed))
    return Rows(labels, index.astype(np.int64), weights, classes)


def listed(interval: Interval | None) -> list[float] | None:
    """An interval as JSON has it."""
    return None if interval is None else [float(limit) for limit in interval]
