"""From the folds' results to predictions, decisions, and a record of what was chosen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_cns.decision.aggregation import RULES
from edge_cns.evaluation.predictions import CaseDecisions
from edge_cns.training.cross_validation.choices import Choice, Operating, statement
from edge_cns.training.cross_validation.nested import FoldResult
from edge_cns.training.cross_validation.problem import Labelled

__all__ = ["Gathered", "chosen_by_folds", "gather", "pack", "unpack"]


@dataclass(frozen=True, slots=True, eq=False)
class Gathered:
    """What was said of every frame and case, each by a model and by rules that had not met its patient.

    Attributes:
        probabilities: ``(N, K)`` float64.
        decisions: of the cases, or ``None`` where nothing was chosen.
        choices: of every fold.
    """

    probabilities: NDArray[np.float64]
    decisions: CaseDecisions | None
    choices: tuple[Choice, ...]


def pack(results: Sequence[FoldResult]) -> dict[str, NDArray[Any]]:
    """Results as arrays by name; `unpack` is the inverse."""
    operating = [result.choice.operating for result in results]
    return {
        "fold": np.array([result.fold for result in results]),
        "frames": np.array([len(result.rows) for result in results]),
        "rows": np.concatenate([result.rows for result in results]),
        "logits": np.concatenate([result.logits for result in results]),
        "penalty": np.array([result.choice.penalty for result in results]),
        "temperature": np.array([one.temperature for one in operating]),
        "rule": np.array([RULES.index(one.rule) for one in operating]),
        "thresholds": np.stack([one.thresholds for one in operating]),
    }


def unpack(arrays: Mapping[str, NDArray[Any]]) -> list[FoldResult]:
    """The results that `pack` took apart."""
    ends = np.cumsum(arrays["frames"])[:-1]
    rows, logits = np.split(arrays["rows"], ends), np.split(arrays["logits"], ends)
    return [
        FoldResult(
            int(fold),
            rows[i],
            logits[i],
            Choice(
                int(arrays["penalty"][i]),
                Operating(float(arrays["temperature"][i]), RULES[arrays["rule"][i]], arrays["thresholds"][i]),
            ),
        )
        for i, fold in enumerate(arrays["fold"])
    ]


def gather(results: Sequence[FoldResult], known: Labelled, target_sensitivity: float | None) -> Gathered:
    """Put the folds together: every row is in one.

    Args:
        results: of all folds.
        known: the N frames.
        target_sensitivity: of the thresholds, or ``None`` where nothing was chosen.
    """
    k, m = len(known.classes), len(known.case_labels)
    probabilities = np.full((len(known.labels), k), np.nan)
    scores, calls = np.full((m, k), np.nan), np.zeros((m, k), bool)
    rules = [""] * m
    for result in results:
        said = statement(result.logits, known, result.rows, result.choice.operating)
        probabilities[result.rows], cases, scores[cases], calls[cases] = said[0], said[1], said[2], said[3]
        for case in cases:
            rules[case] = result.choice.operating.rule
    decisions = None
    if target_sensitivity is not None:
        decisions = CaseDecisions(scores, calls, tuple(rules), target_sensitivity)
    return Gathered(probabilities, decisions, tuple(r.choice for r in sorted(results, key=lambda r: r.fold)))


def chosen_by_folds(
    choices: Sequence[Choice], classes: Sequence[str], inverse_penalties: Sequence[float]
) -> dict[str, Any]:
    """How often each penalty and rule was chosen, and how far temperatures and thresholds spread.

    Args:
        choices: of every fold.
        classes: K names.
        inverse_penalties: what could be chosen; none where the head was not fitted by itself.
    """
    operating = [choice.operating for choice in choices]
    thresholds = np.stack([one.thresholds for one in operating])
    picked = Counter(choice.penalty for choice in choices)
    return {
        **(
            {"inverse_penalty": {f"{value:g}": picked[i] for i, value in enumerate(inverse_penalties)}}
            if inverse_penalties
            else {}
        ),
        "temperature": _spread(np.array([one.temperature for one in operating])),
        "rule": {rule: sum(one.rule == rule for one in operating) for rule in RULES},
        "thresholds": {name: _spread(thresholds[:, c]) for c, name in enumerate(classes)},
    }


def _spread(values: NDArray[np.float64]) -> dict[str, float | int | None]:
    """Median and range over the folds; folds that had nothing to set the value from are counted apart."""
    finite = values[np.isfinite(values)]
    spread: dict[str, float | int | None] = dict.fromkeys(("median", "lowest", "highest"))
    if finite.size:
        spread = {"median": float(np.median(finite)), "lowest": float(finite.min()), "highest": float(finite.max())}
    return spread | ({"folds_without": int(len(values) - finite.size)} if finite.size < len(values) else {})
