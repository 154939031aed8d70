"""Every figure of an evaluation, by frame and by patient, as one JSON-ready dictionary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_cns.evaluation.auroc import auroc, auroc_resampled
from edge_cns.evaluation.intervals import clustered_ratios, patient_weights, percentile_interval, wilson
from edge_cns.evaluation.predictions import SEEN_SETS, SETS, UNSEEN, Predictions

__all__ = ["SCHEMA_VERSION", "evaluate", "headline"]

SCHEMA_VERSION = 1
"""Version of the dictionary that ``evaluate`` returns: raised when a key changes its meaning or goes."""

LEVEL = 0.95
_INTERVALS = (
    "95 %; interval: patients resampled with replacement, percentiles; the exact limit over patients where all or "
    "none of the rows are right; wilson: Wilson score, takes rows as independent; null: cannot be computed"
)


def evaluate(predictions: Predictions, *, seed: int = 0, resamples: int = 2000) -> dict[str, Any]:
    """Compute all figures.

    Args:
        predictions: what the model said about labelled frames.
        seed: of the resampling of patients.
        resamples: how many times the patients are drawn.

    Returns:
        Numbers, strings, lists, dictionaries and ``None`` only. Beside the figures over all rows (``frame``,
        ``patient``) stand the same figures by set (``by_set``): ``unseen`` are patients new to the model,
        ``seen`` those that training or conversion has met, each ``None`` where there are none.
    """
    whole = _summary(predictions, seed, resamples)
    by_set: dict[str, Any] = {}
    present = set(predictions.sets)
    groups = {
        UNSEEN: (UNSEEN,),
        "seen": SEEN_SETS,
        **{name: (name,) for name in SEEN_SETS if name in present},
    }
    for name, members in groups.items():
        rows = predictions.in_sets(*members)
        if not rows.any():
            by_set[name] = None
        elif rows.all():
            by_set[name] = whole
        else:
            by_set[name] = _summary(predictions.select(rows), seed, resamples)
    return {
        "schema_version": SCHEMA_VERSION,
        "classes": list(predictions.classes),
        "phantom": predictions.phantom,
        "level": LEVEL,
        "intervals": _INTERVALS,
        "resamples": resamples,
        "seed": seed,
        **whole,
        "sets": {name: predictions.sets.count(name) for name in SETS if name in present},
        "by_set": by_set,
    }


def headline(metrics: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The figures to quote first and whose they are: patients new to the model if there are any, else all."""
    unseen = metrics["by_set"][UNSEEN]
    return ("unseen patients", unseen) if unseen else ("patients the model has seen", metrics)


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """Rows to count, frames or cases, and how the patients behind them are resampled.

    ``labels (N,)``, ``patient (N,)`` index into the columns of ``weights (R, P)``.
    """

    labels: NDArray[np.int64]
    patient: NDArray[np.int64]
    weights: NDArray[np.float64]
    classes: tuple[str, ...]

    def by_patient(self, counted: list[NDArray[np.bool_]]) -> NDArray[np.float64]:
        """``(P, S)``: how many rows of each patient are true in each of the S masks ``(N,)``."""
        n_patients = self.weights.shape[1]
        totals = [np.bincount(self.patient[mask], minlength=n_patients) for mask in counted]
        return np.stack(totals, axis=1).astype(np.float64)


def _summary(predictions: Predictions, seed: int, resamples: int) -> dict[str, Any]:
    """Figures of one set of rows: by frame, by case with mean softmax, by case with majority vote."""
    patients, index = np.unique(np.array(predictions.patient_ids), return_inverse=True)
    weights = patient_weights(len(patients), resamples, np.random.default_rng(seed))
    cases = predictions.cases()
    case_index = np.searchsorted(patients, np.array(cases.patient_ids))
    frames = _Rows(predictions.labels, index, weights, predictions.classes)
    by_case = _Rows(cases.labels, case_index, weights, predictions.classes)
    several = len(cases.labels) > len(patients)
    return {
        "n_frames": len(predictions),
        "n_patients": len(patients),
        "n_cases": len(cases.labels),
        "frame": _figures(frames, predictions.predicted, predictions.probabilities),
        "patient": {
            "unit": "cases (patient_id, label)" if several else "patients",
            "aggregation": "mean softmax",
            **_figures(by_case, cases.predicted, cases.mean_softmax),
            "majority_vote": _figures(by_case, cases.predicted_by_vote, None),
        },
    }


def _figures(rows: _Rows, predicted: NDArray[np.int64], probabilities: NDArray[np.float64] | None) -> dict[str, Any]:
    """All figures of one kind of row; without probabilities, all but the AUROC."""
    figures = _agreement(rows, predicted)
    per_class = _rates(rows, predicted)
    if probabilities is not None:
        macro, areas = _ranking(rows, probabilities)
        figures |= macro
        for name, area in zip(rows.classes, areas, strict=True):
            per_class[name]["auroc"] = area
    return {**figures, "per_class": per_class}


def _agreement(rows: _Rows, predicted: NDArray[np.int64]) -> dict[str, Any]:
    """Accuracy, balanced accuracy (mean sensitivity of the classes present) and the confusion matrix."""
    k = len(rows.classes)
    right = predicted == rows.labels
    confusion = np.bincount(rows.labels * k + predicted, minlength=k * k).reshape(k, k)
    present = np.flatnonzero(confusion.sum(axis=1))
    sensitivity = np.diag(confusion)[present] / confusion.sum(axis=1)[present]
    of_class = [rows.labels == c for c in present]
    balanced = _mean_of_present(
        rows.weights @ rows.by_patient([right & rows_c for rows_c in of_class]),
        rows.weights @ rows.by_patient(of_class),
    )
    accuracy = clustered_ratios(rows.by_patient([right]), rows.by_patient([np.ones_like(right)]), rows.weights, LEVEL)
    return {
        "n": len(right),
        "accuracy": float(right.mean()),
        "accuracy_interval": _listed(accuracy[0]),
        "accuracy_wilson": _listed(wilson(int(right.sum()), len(right), LEVEL)),
        "balanced_accuracy": float(sensitivity.mean()),
        "balanced_accuracy_interval": _listed(percentile_interval(balanced, LEVEL)),
        "classes_without_rows": [name for c, name in enumerate(rows.classes) if c not in present],
        "confusion": confusion.tolist(),
    }


def _rates(rows: _Rows, predicted: NDArray[np.int64]) -> dict[str, dict[str, Any]]:
    """Sensitivity and specificity of each class against the rest, with both intervals."""
    k = len(rows.classes)
    positive = [rows.labels == c for c in range(k)]
    called = [predicted == c for c in range(k)]
    events = [p & q for p, q in zip(positive, called, strict=True)]
    events += [~p & ~q for p, q in zip(positive, called, strict=True)]
    trials = positive + [~p for p in positive]
    trials_by_patient = rows.by_patient(trials)
    intervals = clustered_ratios(rows.by_patient(events), trials_by_patient, rows.weights, LEVEL)

    def rate(s: int) -> dict[str, Any]:
        hits, n = int(events[s].sum()), int(trials[s].sum())
        return {
            "value": hits / n if n else None,
            "n": n,
            "interval": _listed(intervals[s]),
            "wilson": _listed(wilson(hits, n, LEVEL)),
        }

    return {
        name: {
            "n": int(positive[c].sum()),
            "n_patients": int(np.count_nonzero(trials_by_patient[:, c])),
            "n_predicted": int(called[c].sum()),
            "sensitivity": rate(c),
            "specificity": rate(k + c),
        }
        for c, name in enumerate(rows.classes)
    }


def _ranking(
    rows: _Rows, probabilities: NDArray[np.float64]
) -> tuple[dict[str, Any], list[dict[str, float | list[float] | None]]]:
    """One-vs-rest AUROC: the mean over the classes that have positive and negative rows, and each class's."""
    areas: list[float | None] = []
    samples = np.full((len(rows.weights), len(rows.classes)), np.nan)
    for c in range(len(rows.classes)):
        positive = rows.labels == c
        areas.append(auroc(probabilities[:, c], positive))
        # One patient alone on either side cannot show how much patients differ.
        if np.count_nonzero(rows.by_patient([positive, ~positive]), axis=0).min() >= 2:
            samples[:, c] = auroc_resampled(probabilities[:, c], positive, rows.patient, rows.weights)
    usable = [c for c, area in enumerate(areas) if area is not None]
    computed = np.isfinite(samples)
    macro = _mean_of_present(np.where(computed, samples, 0.0), computed.astype(np.float64))
    figures = {
        "auroc_macro": float(np.mean([areas[c] for c in usable])) if usable else None,
        "auroc_macro_interval": _listed(percentile_interval(macro, LEVEL)),
        "auroc_left_out": [name for c, name in enumerate(rows.classes) if areas[c] is None],
    }
    each: list[dict[str, float | list[float] | None]] = [
        {"value": area, "interval": _listed(percentile_interval(samples[:, c], LEVEL))} for c, area in enumerate(areas)
    ]
    return figures, each


def _mean_of_present(events: NDArray[np.float64], trials: NDArray[np.float64]) -> NDArray[np.float64]:
    """``(R,)``: mean over the classes ``(R, K)`` of events by trials, without classes that have no trials."""
    present = trials > 0
    rates = np.divide(events, trials, out=np.zeros_like(events), where=present)
    with np.errstate(invalid="ignore"):
        means: NDArray[np.float64] = rates.sum(axis=1) / present.sum(axis=1)
    return means


def _listed(interval: tuple[float, float] | None) -> list[float] | None:
    """An interval as JSON has it."""
    return None if interval is None else list(interval)
