"""What an answer is worth where a finding is rare: predictive values and false alarms at a stated prevalence.

In a labelled data set findings are common, in screening they are not: a test with 95 % sensitivity and specificity that
looks for one case in a thousand raises about fifty false alarms for each case it finds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_cns.errors import BadInputError
from edge_cns.evaluation.rows import Rows

__all__ = ["at_prevalence", "negative_predictive_value", "positive_predictive_value"]


def positive_predictive_value(sensitivity: float, specificity: float, prevalence: float) -> float | None:
    """Share of alarms that are true, by Bayes (Altman & Bland 1994, BMJ 309:102); ``None`` without alarms."""
    true, false = sensitivity * prevalence, (1 - specificity) * (1 - prevalence)
    return true / (true + false) if true + false > 0 else None


def negative_predictive_value(sensitivity: float, specificity: float, prevalence: float) -> float | None:
    """Share of all-clears that are true, by Bayes (Altman & Bland 1994, BMJ 309:102); ``None`` without all-clears."""
    return positive_predictive_value(specificity, sensitivity, 1 - prevalence)


def at_prevalence(rows: Rows, called: NDArray[np.bool_], *, negative: str | None, prevalence: float) -> dict[str, Any]:
    """Predictive values and false alarms of each finding, and of any finding, where one exam in so many has it.

    False alarms are counted over the cases of the negative class, where there is one: in screening nearly nobody has
    another finding. Both classes' limits together give those of a figure that rises with either, so its interval is on
    the wide side.

    Args:
        rows: M cases; an exam stands for one case.
        called: ``(M, K)`` whether the class was said.
        negative: the class that means none of the findings, or ``None``.
        prevalence: share of exams with the finding, above 0 and below 1.

    Raises:
        BadInputError: the prevalence is not such a share.
    """
    if not 0 < prevalence < 1:
        raise BadInputError(f"prevalence is {prevalence}; give a share between 0 and 1, such as 0.001")
    findings = [c for c, name in enumerate(rows.classes) if name != negative]
    own = list(rows.one_hot.T[findings])
    said = list(called.T[findings])
    without = [~mask for mask in own]
    if negative is not None:
        (clear,) = rows.one_hot.T[[rows.classes.index(negative)]]
        own.append(~clear)
        said.append(called[:, findings].any(axis=1))
        without = [clear] * len(own)
    found = rows.rates([p & q for p, q in zip(own, said, strict=True)], own)
    spared = rows.rates([p & ~q for p, q in zip(without, said, strict=True)], without)
    figures = [_figures(*pair, prevalence) for pair in zip(found, spared, strict=True)]
    return {
        "prevalence": prevalence,
        "specificity_over": "all other cases" if negative is None else f"cases of {negative}",
        "per_class": {rows.classes[c]: figures[i] for i, c in enumerate(findings)},
        **({} if negative is None else {"any_finding": figures[-1]}),
    }


def _figures(sensitivity: dict[str, Any], specificity: dict[str, Any], prevalence: float) -> dict[str, Any]:
    """All figures of one finding from its two rates."""

    def bayes(formula: Callable[[float, float], float | None], *, rising: bool = True) -> dict[str, Any]:
        """Value and interval of a formula that rises, or falls, with both rates."""

        def at(se: float | None, sp: float | None) -> float | None:
            return None if se is None or sp is None else formula(se, sp)

        pairs = zip(sensitivity["interval"] or (), specificity["interval"] or (), strict=False)
        limits = [at(se, sp) for se, sp in pairs]
        usable = len(limits) == 2 and all(limit is not None for limit in limits)
        return {
            "value": at(sensitivity["value"], specificity["value"]),
            "interval": (limits if rising else limits[::-1]) if usable else None,
        }

    return {
        "prevalence": prevalence,
        "sensitivity": sensitivity,
        "specificity": specificity,
        "ppv": bayes(lambda se, sp: positive_predictive_value(se, sp, prevalence)),
        "npv": bayes(lambda se, sp: negative_predictive_value(se, sp, prevalence)),
        "false_alarms_per_exam": _false_alarms(specificity, prevalence),
        "false_alarms_per_finding": bayes(
            lambda se, sp: _ratio((1 - sp) * (1 - prevalence), se * prevalence), rising=False
        ),
    }


def _false_alarms(specificity: dict[str, Any], prevalence: float) -> dict[str, Any]:
    """Expected false alarms in an exam."""
    value, interval = specificity["value"], specificity["interval"]
    healthy = 1 - prevalence
    return {
        "value": None if value is None else (1 - value) * healthy,
        "interval": interval and [(1 - interval[1]) * healthy, (1 - interval[0]) * healthy],
    }


def _ratio(above: float, below: float) -> float | None:
    ratio = above / below if below > 0 else math.inf
    return ratio if math.isfinite(ratio) else None
