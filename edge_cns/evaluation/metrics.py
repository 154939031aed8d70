"""Every figure of an evaluation, by frame and by patient, as one JSON-ready dictionary.

What each figure means, and from where its formula is, stands in ``docs/statistics.md``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_cns.contract import Aggregation
from edge_cns.decision.aggregation import RULES
from edge_cns.errors import BadInputError
from edge_cns.evaluation.predictions import SEEN_SETS, SETS, UNSEEN, CaseDecisions, Predictions
from edge_cns.evaluation.prevalence import at_prevalence
from edge_cns.evaluation.probability import probability_quality
from edge_cns.evaluation.ranking import curve_points, ranking
from edge_cns.evaluation.rates import agreement, class_rates
from edge_cns.evaluation.rows import LEVEL, Rows, make_rows
from edge_cns.evaluation.selective import selective
from edge_cns.evaluation.subgroups import subgroup_figures

__all__ = ["PREVALENCE", "SCHEMA_VERSION", "evaluate", "headline", "probability_figures"]

SCHEMA_VERSION = 1
"""Version of the dictionary that ``evaluate`` returns: raised when a key changes its meaning or goes."""

PREVALENCE = 0.001
"""Share of exams with a finding in screening, unless another is stated."""

_INTERVALS = (
    "95 %; interval: patients resampled with replacement, log odds with Student's t; the exact limit over patients "
    "where all or none of the rows are right; wilson: Wilson score, takes rows as independent; null: cannot be computed"
)


def evaluate(
    predictions: Predictions,
    *,
    seed: int = 0,
    resamples: int = 2000,
    decisions: CaseDecisions | None = None,
    prevalence: float = PREVALENCE,
    aggregation: Aggregation | None = None,
) -> dict[str, Any]:
    """Compute all figures.

    Args:
        predictions: what the model said about labelled frames.
        seed: of the resampling of patients.
        resamples: how many times the patients are drawn.
        decisions: what was stated of each case at thresholds that were fitted elsewhere.
        prevalence: share of exams with a finding for which predictive values and false alarms are stated.
        aggregation: numbers of the rules that make one score of a case's frames; its own rule is not looked at.

    Returns:
        Numbers, strings, lists, dictionaries and ``None`` only. Beside the figures over all rows (``frame``,
        ``patient``) stand the same figures by set (``by_set``): ``unseen`` are patients new to the model,
        ``seen`` those that training or conversion has met, each ``None`` where there are none. ``curves`` and
        ``subgroups`` are of the patients that `headline` names.

    Raises:
        BadInputError: decisions of other cases, or a prevalence that is not between 0 and 1.
        MissingExtraError: scikit-learn or SciPy is not installed.
    """
    _check_decisions(predictions, decisions)
    settings = _Settings(seed, resamples, prevalence, aggregation or Aggregation())
    whole = _summary(predictions, decisions, settings)
    by_set: dict[str, Any] = {}
    present = set(predictions.sets)
    groups = {
        UNSEEN: (UNSEEN,),
        "seen": SEEN_SETS,
        **{name: (name,) for name in SEEN_SETS if name in present},
    }
    done = {frozenset(present): whole}
    for name, members in groups.items():
        key = frozenset(members) & present
        if key and key not in done:
            done[key] = _summary(*_of_sets(predictions, decisions, members), settings)
        by_set[name] = done[key] if key else None
    metrics = {
        "schema_version": SCHEMA_VERSION,
        "classes": list(predictions.classes),
        "phantom": predictions.phantom,
        "level": LEVEL,
        "intervals": _INTERVALS,
        "resamples": resamples,
        "seed": seed,
        "prevalence": prevalence,
        "negative": predictions.negative,
        **whole,
        "sets": {name: predictions.sets.count(name) for name in SETS if name in present},
        "by_set": by_set,
    }
    whose, figures = headline(metrics)
    quoted = _quoted(predictions)
    cases = quoted.cases()
    return metrics | {
        "curves": {
            "whose": whose,
            "frame": curve_points(quoted.labels, quoted.probabilities, quoted.classes),
            "patient": curve_points(cases.labels, quoted.case_scores(settings.of("mean_softmax")), quoted.classes),
        },
        "subgroups": {"whose": whose} | subgroup_figures(quoted, figures["frame"], seed=seed, resamples=resamples),
    }


def headline(metrics: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The figures to quote first and whose they are: patients new to the model if there are any, else all."""
    unseen = metrics["by_set"][UNSEEN]
    return ("unseen patients", unseen) if unseen else ("patients the model has seen", metrics)


def probability_figures(predictions: Predictions, *, seed: int = 0, resamples: int = 2000) -> dict[str, Any]:
    """Brier score, log loss and calibration by frame, of the patients to quote first: for a model as it was before.

    Raises:
        MissingExtraError: scikit-learn or SciPy is not installed.
    """
    rows = _quoted(predictions)
    frames = make_rows(rows.labels, rows.patient_ids, rows.classes, seed=seed, resamples=resamples)
    return probability_quality(frames, rows.probabilities, seed=seed)


@dataclass(frozen=True, slots=True)
class _Settings:
    """What `evaluate` was asked for."""

    seed: int
    resamples: int
    prevalence: float
    aggregation: Aggregation

    def of(self, rule: Any) -> Aggregation:
        """The numbers that were asked for, under another rule."""
        return replace(self.aggregation, rule=rule)


def _quoted(predictions: Predictions) -> Predictions:
    """The rows that `headline` names."""
    unseen = predictions.in_sets(UNSEEN)
    return predictions.select(unseen) if unseen.any() else predictions


def _of_sets(
    predictions: Predictions, decisions: CaseDecisions | None, names: Sequence[str]
) -> tuple[Predictions, CaseDecisions | None]:
    """Rows and decisions of the patients in the named sets; a patient is in one set, so cases stay whole."""
    rows = predictions.in_sets(*names)
    if decisions is not None:
        index = predictions.cases().index
        decisions = decisions.select(np.bincount(index, rows) > 0)
    return predictions.select(rows), decisions


def _check_decisions(predictions: Predictions, decisions: CaseDecisions | None) -> None:
    if decisions is None:
        return
    shape = (len(predictions.cases().labels), len(predictions.classes))
    if decisions.scores.shape != shape:
        raise BadInputError(
            f"decisions have shape {decisions.scores.shape}, the predictions {shape[0]} cases of {shape[1]} classes; "
            "fit them on the same rows"
        )


def _summary(predictions: Predictions, decisions: CaseDecisions | None, settings: _Settings) -> dict[str, Any]:
    """Figures of one set of rows: by frame, and by case."""
    cases = predictions.cases()
    classes = predictions.classes
    frames = make_rows(
        predictions.labels, predictions.patient_ids, classes, seed=settings.seed, resamples=settings.resamples
    )
    n_patients = frames.weights.shape[1]
    patient = np.searchsorted(np.unique(np.array(predictions.patient_ids)), np.array(cases.patient_ids))
    by_case = Rows(cases.labels, patient.astype(np.int64), frames.weights, classes)
    return {
        "n_frames": len(predictions),
        "n_patients": n_patients,
        "n_cases": len(cases.labels),
        "frame": _level(frames, predictions.probabilities, settings.seed),
        "patient": {
            "unit": "cases (patient_id, label)" if len(cases.labels) > n_patients else "patients",
            **_patient(by_case, predictions, decisions, settings),
        },
    }


def _level(rows: Rows, probabilities: NDArray[np.float64], seed: int) -> dict[str, Any]:
    """All figures of one kind of row."""
    return {
        **_ranked(rows, probabilities, whole=True),
        **probability_quality(rows, probabilities, seed=seed),
        "selective": selective(rows, probabilities),
    }


def _ranked(rows: Rows, scores: NDArray[np.float64], *, whole: bool) -> dict[str, Any]:
    """Figures of the class with the largest score, and of the ranking by score."""
    predicted = scores.argmax(axis=1)
    per_class = class_rates(rows, _one_hot(predicted, len(rows.classes)))
    figures, areas = ranking(rows, scores, whole=whole)
    return {
        **agreement(rows, predicted),
        **figures,
        "per_class": {name: entry | areas[name] for name, entry in per_class.items()},
    }


def _patient(
    rows: Rows, predictions: Predictions, decisions: CaseDecisions | None, settings: _Settings
) -> dict[str, Any]:
    """Figures by case: mean softmax in full, every rule in short, and the fitted operating point."""
    scores = {rule: predictions.case_scores(settings.of(rule)) for rule in RULES}
    main = scores["mean_softmax"]
    rules = {rule: _ranked(rows, values, whole=False) for rule, values in scores.items()}

    def screened(called: NDArray[np.bool_]) -> dict[str, Any]:
        return at_prevalence(rows, called, negative=predictions.negative, prevalence=settings.prevalence)

    figures = {
        "aggregation": "mean softmax",
        **_level(rows, main, settings.seed),
        "majority_vote": rules["majority_vote"],
        "rules": rules,
        "at_prevalence": screened(_one_hot(main.argmax(axis=1), main.shape[1])),
    }
    if decisions is not None:
        figures["decisions"] = _decided(rows, decisions) | {"at_prevalence": screened(decisions.calls)}
    return figures


def _decided(rows: Rows, decisions: CaseDecisions) -> dict[str, Any]:
    """Figures of the calls at the fitted operating point."""
    calls = decisions.calls.sum(axis=1)
    return {
        "target_sensitivity": decisions.target_sensitivity,
        "rules": dict(Counter(sorted(decisions.rules, key=RULES.index))),
        "n": len(rows),
        "n_without_call": int(np.count_nonzero(calls == 0)),
        "n_several_calls": int(np.count_nonzero(calls > 1)),
        "per_class": class_rates(rows, decisions.calls, "n_called"),
    }


def _one_hot(predicted: NDArray[np.int64], k: int) -> NDArray[np.bool_]:
    """``(N, K)``: the class that was said."""
    hot: NDArray[np.bool_] = predicted[:, None] == np.arange(k)
    return hot
