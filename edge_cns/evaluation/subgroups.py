"""The figures apart for each age, site, device, plane and any other column, and where they differ from the whole."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_cns.data.manifest import Row
from edge_cns.evaluation.predictions import Predictions
from edge_cns.evaluation.ranking import ranking
from edge_cns.evaluation.rates import agreement, class_rates
from edge_cns.evaluation.rows import LEVEL, make_rows

__all__ = ["NOT_RECORDED", "four_weeks", "subgroup_columns", "subgroup_figures", "trimester"]

NOT_RECORDED = "not recorded"
"""Group of the rows without a value."""

_COLUMNS = ("site", "device", "plane", "subtype", "reference_standard")
_TRIMESTER, _FOUR_WEEKS = "gestational_age_trimester", "gestational_age_4_weeks"
_TITLES = {_TRIMESTER: "Gestational age, trimester", _FOUR_WEEKS: "Gestational age, 4 weeks"}
_MOST_GROUPS = 20
_FEWEST_NUMBERS = 7  # a column of numbers with fewer values is a column of names
_COMPARED = ("accuracy", "balanced_accuracy", "auroc_macro")


def trimester(weeks: float | None) -> str:
    """First until 14 weeks, second until 28 (ACOG Committee Opinion 700); empty text without an age."""
    if weeks is None:
        return ""
    if weeks < 14:
        return "first (< 14 weeks)"
    return "second (14 to < 28 weeks)" if weeks < 28 else "third (28 weeks or more)"


def four_weeks(weeks: float | None) -> str:
    """Bins of 4 completed weeks, such as ``20 to < 24 weeks``; empty text without an age."""
    if weeks is None:
        return ""
    start = 4 * int(weeks // 4)
    return f"{start:02d} to < {start + 4:02d} weeks"


def subgroup_columns(rows: Sequence[Row]) -> dict[str, tuple[str, ...]]:
    """The columns of a label file by which frames can be grouped, for `Predictions.subgroups`.

    Args:
        rows: N rows.

    Returns:
        N values by column: trimester and 4-week bin of the gestational age, site, device, plane, subtype, reference
        standard, and every column without a meaning of its own. Columns without any value are left out.
    """
    ages = [row.gestational_age_weeks for row in rows]
    columns = {
        _TRIMESTER: tuple(trimester(age) for age in ages),
        _FOUR_WEEKS: tuple(four_weeks(age) for age in ages),
        **{name: tuple(row.value(name) for row in rows) for name in _COLUMNS},
    }
    extra = sorted({name for row in rows for name in row.extra} - set(columns))
    columns |= {name: tuple(row.value(name) for row in rows) for name in extra}
    return {name: values for name, values in columns.items() if any(values)}


def subgroup_figures(predictions: Predictions, overall: dict[str, Any], *, seed: int, resamples: int) -> dict[str, Any]:
    """Figures by frame for each group of each column.

    Columns of numbers with 7 or more values are cut at their quartiles. Left out, with the reason, are columns with one
    value, with more than 20, and with no value that two patients share: those name patients or files.

    Args:
        predictions: the rows to group, by their ``subgroups``.
        overall: accuracy, balanced accuracy and macro AUROC of all these rows.
        seed: of the resampling of patients.
        resamples: how many times the patients of each group are drawn.

    Returns:
        See ``docs/statistics.md``. ``flags`` names the figures of a group whose interval excludes that of all rows; of
        so many comparisons, ``expected_flags`` would be flagged if all groups were alike.
    """
    columns: dict[str, Any] = {}
    skipped: dict[str, str] = {}
    patients = np.array(predictions.patient_ids)
    for name, values in predictions.subgroups.items():
        groups = _groups(values)
        if reason := _useless(groups, patients):
            skipped[name] = reason
            continue
        columns[name] = {
            "title": _TITLES.get(name, name.replace("_", " ").capitalize()),
            "groups": [_group(predictions, rows, text, overall, seed, resamples) for text, rows in groups.items()],
        }
    every = [group for column in columns.values() for group in column["groups"]]
    n_comparisons = sum(group.pop("n_compared") for group in every)
    return {
        "n_groups": len(every),
        "n_comparisons": n_comparisons,
        "n_flags": sum(len(group["flags"]) for group in every),
        "expected_flags": round((1 - LEVEL) * n_comparisons, 2),
        "overall": {key: overall[key] for key in _COMPARED},
        "columns": columns,
        "skipped": skipped,
    }


def _groups(values: Sequence[str]) -> dict[str, NDArray[np.bool_]]:
    """Masks ``(N,)`` by group in a sensible order; rows without a value last."""
    numbers = _numbers(values)
    if numbers is not None:
        values = _quartiles(numbers)
    texts = np.array([value or NOT_RECORDED for value in values])
    names = sorted(set(texts.tolist()) - {NOT_RECORDED})
    if numbers is not None:
        names.sort(key=lambda name: float(name.split(" ")[0]))
    return {name: texts == name for name in [*names, NOT_RECORDED] if (texts == name).any()}


def _numbers(values: Sequence[str]) -> NDArray[np.float64] | None:
    """``(N,)``, NaN where a row has none, if the column holds numbers and enough different ones."""
    try:
        numbers = np.array([float(value) if value else math.nan for value in values])
    except ValueError:
        return None
    finite = numbers[np.isfinite(numbers)]
    recorded = sum(bool(value) for value in values)
    return numbers if len(finite) == recorded and len(np.unique(finite)) >= _FEWEST_NUMBERS else None


def _quartiles(numbers: NDArray[np.float64]) -> list[str]:
    """The range of the quarter in which each number lies; equal numbers share one."""
    recorded = np.isfinite(numbers)
    edges = np.quantile(numbers[recorded], (0.25, 0.5, 0.75))
    quarter = np.searchsorted(edges, numbers, side="left")
    texts = [""] * len(numbers)
    for q in np.unique(quarter[recorded]):
        inside = recorded & (quarter == q)
        name = f"{numbers[inside].min():g} to {numbers[inside].max():g}"
        for i in np.flatnonzero(inside):
            texts[i] = name
    return texts


def _useless(groups: dict[str, NDArray[np.bool_]], patients: NDArray[np.str_]) -> str:
    """Why these groups are not looked at; empty text if they are."""
    if len(groups) < 2:
        return "one value only"
    recorded = [rows for name, rows in groups.items() if name != NOT_RECORDED]
    if len(recorded) > _MOST_GROUPS:
        return f"{len(recorded)} different values, more than {_MOST_GROUPS}"
    if max(len(np.unique(patients[rows])) for rows in recorded) < 2:
        return "no two patients share a value"
    return ""


def _group(
    predictions: Predictions,
    rows: NDArray[np.bool_],
    name: str,
    overall: dict[str, Any],
    seed: int,
    resamples: int,
) -> dict[str, Any]:
    """Figures of one group. What not all classes go into is not compared with what they do."""
    chosen = predictions.select(rows)
    members = make_rows(chosen.labels, chosen.patient_ids, chosen.classes, seed=seed, resamples=resamples)
    figures = agreement(members, chosen.predicted)
    areas, _ = ranking(members, chosen.probabilities, whole=False)
    rates = class_rates(members, chosen.predicted[:, None] == np.arange(len(chosen.classes)))
    complete = figures["classes_without_rows"] == overall["classes_without_rows"]
    values = figures | areas
    compared = [key for key in _COMPARED if values[f"{key}_interval"] and (complete or key == "accuracy")]
    flags = []
    for key in compared:
        low, high = values[f"{key}_interval"]
        if not low <= overall[key] <= high:
            flags.append(key)
    kept = ("accuracy", "accuracy_interval", "accuracy_wilson", "balanced_accuracy", "balanced_accuracy_interval")
    return {
        "name": name,
        "n_frames": len(chosen),
        "n_patients": members.weights.shape[1],
        **{key: values[key] for key in (*kept, "auroc_macro", "auroc_macro_interval", "classes_without_rows")},
        "sensitivity": {name: rate["sensitivity"] for name, rate in rates.items() if rate["n"]},
        "flags": flags,
        "n_compared": len(compared),
    }
