"""How far a column tells the class without a look at the anatomy.

A class that only one site has is a shortcut, not a sign: the network may learn the site. Cases, not frames, are
counted: a patient with fifty frames of one class at one site counts once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["MAX_VALUES", "Association", "Confined", "associate", "cramers_v"]

MAX_VALUES = 20
"""Columns with more different values are taken for numbers or identifiers."""

_CHANCE = 0.05  # a class is confined only where independence would rarely do it
_RESTATES = 0.10  # share of a class's patients who also have other classes, from which a column goes with the label


@dataclass(frozen=True, slots=True)
class Confined:
    """A class seen with one value only, while other classes have that value and others.

    Attributes:
        label: the class.
        value: the one value.
        patients: how many have the class.
        elsewhere: share of the other classes' patients who have the value too, 0 to 1.
    """

    label: str
    value: str
    patients: int
    elsewhere: float


@dataclass(frozen=True, slots=True)
class Association:
    """Class against one column.

    Attributes:
        column: name.
        table: patients by value, then by class.
        cramers_v: 0 (independent) to 1 (the column tells the class), corrected for bias.
        separated: classes whose values no other class has: the column alone finds them without an error.
        confined: classes with one value only, where chance would do so in less than 5 % of draws.
        restates_label: the column changes with the label inside a patient, as what is seen on a frame does, and not
            as the site or the machine of an examination does.
    """

    column: str
    table: Mapping[str, Mapping[str, int]]
    cramers_v: float
    separated: tuple[str, ...]
    confined: tuple[Confined, ...]
    restates_label: bool

    def as_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "column": self.column,
            "cramers_v": round(self.cramers_v, 4),
            "separated": list(self.separated),
            "confined": [
                {"label": c.label, "value": c.value, "patients": c.patients, "elsewhere": round(c.elsewhere, 4)}
                for c in self.confined
            ],
            "restates_label": self.restates_label,
            "patients": {value: dict(row) for value, row in self.table.items()},
        }


def associate(column: str, cases: Iterable[tuple[str, str, str]]) -> Association | None:
    """Compare a column with the class.

    Args:
        column: its name.
        cases: (patient id, label, value) of each frame; repeats count once; an empty value is a value.

    Returns:
        ``None`` where there is nothing to compare: one class, one value, too many values, or more than half as many
        values as patients.
    """
    unique = sorted(set(cases))
    patients = {patient for patient, _, _ in unique}
    labels = sorted({label for _, label, _ in unique})
    values = sorted({value for _, _, value in unique})
    if len(labels) < 2 or len(values) < 2 or len(values) > min(MAX_VALUES, len(patients) // 2):
        return None
    counts = np.zeros((len(values), len(labels)), np.int64)
    for _, label, value in unique:
        counts[values.index(value), labels.index(label)] += 1
    separated = tuple(
        label for j, label in enumerate(labels) if not np.any((counts[:, j] > 0) & (np.delete(counts, j, 1).sum(1) > 0))
    )
    confined = _confined(unique, [label for label in labels if label not in separated])
    return Association(
        column=column,
        table={v: dict(zip(labels, map(int, counts[i]), strict=True)) for i, v in enumerate(values)},
        cramers_v=cramers_v(counts),
        separated=separated,
        confined=confined,
        restates_label=_restates(unique, [*separated, *(c.label for c in confined)]),
    )


def _confined(cases: list[tuple[str, str, str]], labels: Iterable[str]) -> tuple[Confined, ...]:
    """Classes with a single value that chance does not explain."""
    found = []
    for label in labels:
        values = {value for _, other, value in cases if other == label}
        if len(values) > 1:
            continue
        (value,) = values
        patients = len({patient for patient, other, _ in cases if other == label})
        rest = {patient for patient, other, _ in cases if other != label}
        with_value = {patient for patient, other, seen in cases if other != label and seen == value}
        elsewhere = len(with_value) / len(rest)
        if elsewhere**patients < _CHANCE:
            found.append(Confined(label, value, patients, elsewhere))
    return tuple(found)


def _restates(cases: list[tuple[str, str, str]], labels: Iterable[str]) -> bool:
    """Whether patients of these classes commonly have another class too, always with other values there."""
    labels = list(labels)
    for label in labels:
        own = {patient for patient, other, _ in cases if other == label}
        both = own & {patient for patient, other, _ in cases if other != label}
        if len(both) < max(2.0, _RESTATES * len(own)):
            return False
    return bool(labels)


def cramers_v(counts: NDArray[np.int64]) -> float:
    """Cramér's V with the bias correction of Bergsma (J. Korean Stat. Soc. 42, 2013, 323-328).

    Args:
        counts: ``(R, C)`` contingency table; empty rows and columns are left out.

    Returns:
        0.0 to 1.0; 0.0 for a table with fewer than two rows or columns.
    """
    table = counts[counts.sum(axis=1) > 0][:, counts.sum(axis=0) > 0].astype(np.float64)
    n = float(table.sum())
    rows, columns = table.shape
    if rows < 2 or columns < 2:
        return 0.0
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0, keepdims=True) / n
    phi2 = float(((table - expected) ** 2 / expected).sum()) / n
    corrected = max(0.0, phi2 - (rows - 1) * (columns - 1) / (n - 1))
    side = min(rows - (rows - 1) ** 2 / (n - 1), columns - (columns - 1) ** 2 / (n - 1)) - 1
    return float(min(1.0, np.sqrt(corrected / side))) if side > 0 else 0.0
