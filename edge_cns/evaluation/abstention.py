"""What abstaining costs and what it buys: conformal coverage, states of frame verdicts, and novelty, by patient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_cns.contract import ConformalRule, NoveltyRule
from edge_cns.decision.conformal import prediction_set
from edge_cns.decision.verdict import State
from edge_cns.evaluation.auroc import auroc, auroc_resampled
from edge_cns.evaluation.intervals import percentile_interval
from edge_cns.evaluation.rows import Rows, listed, make_rows

__all__ = ["conformal_figures", "novelty_figures", "state_figures"]

_STATES = (State.CLASS.value, State.INDETERMINATE.value, State.NOT_SUPPORTED_VIEW.value)


def conformal_figures(rows: Rows, probabilities: NDArray[np.float64], rule: ConformalRule) -> dict[str, Any]:
    """Whether the sets hold what they promise, and how often they are a single class.

    Args:
        rows: N frames that show what their label says.
        probabilities: ``(N, K)`` calibrated.
        rule: the contract's.

    Returns:
        JSON-ready. Proportions have ``value``, ``n``, ``interval`` (patients resampled) and ``wilson``.
    """
    members = prediction_set(probabilities, rule)
    covered, size = members[np.arange(len(rows)), rows.labels], members.sum(axis=1)
    everything, single = np.ones(len(rows), bool), size == 1
    own = list(rows.one_hot.T)
    overall, one, none, wrong, *each = rows.rates(
        [covered, single, size == 0, ~covered & single, *(covered & mask for mask in own)],
        [everything, everything, everything, single, *own],
    )
    return {
        "coverage": rule.coverage,
        "pooled": list(rule.pooled),
        "overall": overall,
        "per_class": dict(zip(rows.classes, each, strict=True)),
        "single": one,
        "empty": none,
        "error_of_single": wrong,
    }


def state_figures(rows: Rows, states: Sequence[str], right: NDArray[np.bool_]) -> dict[str, dict[str, Any]]:
    """How often each state was the verdict, and how often a class that was stated is wrong.

    Args:
        rows: N frames.
        states: N values of `edge_cns.decision.verdict.State`.
        right: ``(N,)`` whether the most probable class is the true one.
    """
    found, everything = np.array(states), np.ones(len(rows), bool)
    stated = found == State.CLASS.value
    *shares, wrong = rows.rates(
        [*(found == name for name in _STATES), stated & ~right], [*(everything for _ in _STATES), stated]
    )
    return dict(zip(_STATES, shares, strict=True)) | {"error_of_class": wrong}


def novelty_figures(
    rows: Rows,
    scores: NDArray[np.float64],
    rule: NoveltyRule,
    others: Mapping[str, NDArray[np.float64]] | None = None,
) -> dict[str, Any]:
    """How many supported frames are held back, and how well other pictures are told from them.

    Args:
        rows: N frames of the training anatomy.
        scores: ``(N,)`` of them.
        rule: the contract's.
        others: by name, the scores ``(M,)`` of pictures that are no supported view; each is taken for a patient of
            its own.
    """
    flagged = ~(scores <= rule.threshold)
    own = list(rows.one_hot.T)
    overall, *each = rows.rates([flagged, *(flagged & mask for mask in own)], [np.ones(len(rows), bool), *own])
    return {
        "threshold": rule.threshold,
        "false_alarm": rule.false_alarm,
        "flagged": overall,
        "per_class": dict(zip(rows.classes, each, strict=True)),
        "others": {name: _told_apart(rows, scores, other, rule) for name, other in (others or {}).items()},
    }


def _told_apart(
    rows: Rows, scores: NDArray[np.float64], other: NDArray[np.float64], rule: NoveltyRule
) -> dict[str, Any]:
    strange = np.repeat([False, True], [len(scores), len(other)])
    ids = [f"known {p}" for p in rows.patient] + [f"other {i}" for i in range(len(other))]
    both = make_rows(strange.astype(np.int64), ids, ("known", "other"), seed=0, resamples=len(rows.weights))
    pooled = np.concatenate([scores, other])
    flagged = ~(pooled <= rule.threshold)
    samples = auroc_resampled(pooled, strange, both.patient, both.weights)
    return {
        "n": len(other),
        "flagged": both.rates([flagged & strange], [strange])[0],
        "auroc": {"value": auroc(pooled, strange), "interval": listed(percentile_interval(samples))},
    }
