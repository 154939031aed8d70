"""Who is tested when: folds of whole patients, and inner groups that know no label."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from edge_cns.data.manifest import Row
from edge_cns.errors import BadInputError

__all__ = ["INNER_GROUPS", "SCHEMES", "Folds", "Scheme", "make_folds"]

Scheme = Literal["leave-one-patient-out", "grouped-k-fold", "leave-one-site-out"]
SCHEMES: tuple[Scheme, ...] = get_args(Scheme)
INNER_GROUPS = 5
"""Groups of patients in which settings are chosen, within the training patients of every fold."""


@dataclass(frozen=True, slots=True, eq=False)
class Folds:
    """Where each of N rows stands.

    Attributes:
        names: name of each fold: its patient (or patients that share pixels), its number, or its site.
        fold: ``(N,)`` int64, the fold that tests the row; -1 for a row that is never tested.
        group: ``(N,)`` int64, inner group of its patient. It depends on patient ids and seed alone: a grouping that
            looked at labels would let a tested patient's label decide who is grouped with whom.
    """

    names: tuple[str, ...]
    fold: NDArray[np.int64]
    group: NDArray[np.int64]


def make_folds(
    rows: Sequence[Row], scheme: Scheme, *, folds: int = 5, seed: int = 0, together: Iterable[Iterable[str]] = ()
) -> Folds:
    """Deal rows into folds; a patient is in one, and so are patients that must stay together.

    Args:
        rows: of a manifest; the column ``split`` is not looked at.
        scheme: ``grouped-k-fold`` deals patients so that every class is spread evenly, the rarest first.
        folds: number of folds of ``grouped-k-fold``.
        seed: of the dealing.
        together: groups of patient ids that share pixels.

    Raises:
        BadInputError: one class only; a class that some fold would have to learn from nobody; more folds than
            patients; a row without a site, one site only, or a patient of two sites.
    """
    units = _units(sorted({row.patient_id for row in rows}), together)
    unit_of = {patient: u for u, patients in enumerate(units) for patient in patients}
    unit = np.array([unit_of[row.patient_id] for row in rows])
    _check_classes(rows, unit)
    order = sorted(range(len(units)), key=lambda u: hashlib.sha256(f"{seed}:{units[u][0]}".encode()).digest())
    group = np.empty(len(units), np.int64)
    group[order] = np.arange(len(units)) % INNER_GROUPS
    if scheme == "leave-one-patient-out":
        names, fold = tuple(" and ".join(patients) for patients in units), unit.astype(np.int64)
    elif scheme == "grouped-k-fold":
        names, fold = tuple(str(k + 1) for k in range(folds)), _deal(rows, unit, order, folds)[unit]
    else:
        names, fold = _sites(rows, units, unit)
    _check_teachers(rows, names, fold)
    return Folds(names, fold, group[unit])


def _units(patients: Sequence[str], together: Iterable[Iterable[str]]) -> list[tuple[str, ...]]:
    """Patients joined as ``together`` says, sorted."""
    members = {patient: [patient] for patient in patients}
    for linked in together:
        joined = sorted({member for patient in linked if patient in members for member in members[patient]})
        members |= dict.fromkeys(joined, joined)
    return sorted({tuple(group) for group in members.values()})


def _check_classes(rows: Sequence[Row], unit: NDArray[np.int64]) -> None:
    """Two classes or more, each with two independent patients or more to learn from."""
    patients: dict[str, set[int]] = {row.label: set() for row in rows}
    for row, u in zip(rows, unit, strict=True):
        if row.evidence is not False:
            patients[row.label].add(int(u))
    if len(patients) < 2:
        raise BadInputError(f"there is only the class {next(iter(patients))!r}; give rows of two classes or more")
    label, count = min(((label, len(found)) for label, found in patients.items()), key=lambda one: (one[1], one[0]))
    if count < 2:
        raise BadInputError(
            f"class {label!r} has {count or 'no'} patient{'' if count == 1 else 's'} to learn from: while a patient is "
            "tested, another must teach the class; add patients or remove the class"
        )


def _deal(rows: Sequence[Row], unit: NDArray[np.int64], order: Sequence[int], folds: int) -> NDArray[np.int64]:
    """Fold of each unit, ``(U,)``: iterative stratification (Sechidis et al. 2011), the rarest class dealt first."""
    if not 2 <= folds <= len(order):
        raise BadInputError(f"--folds is {folds}; give 2 to the number of independent patients, which is {len(order)}")
    classes = sorted({row.label for row in rows})
    has = np.zeros((len(order), len(classes)), bool)
    for row, u in zip(rows, unit, strict=True):
        has[u, classes.index(row.label)] = True
    dealt = np.full(len(order), -1, np.int64)
    held = np.zeros((folds, len(classes)), np.int64)
    for c in np.argsort(has.sum(axis=0), kind="stable"):
        for u in order:
            if dealt[u] < 0 and has[u, c]:
                load = [(held[k, c], held[k, has[u]].sum(), held[k].sum(), k) for k in range(folds)]
                dealt[u] = min(load)[-1]
                held[dealt[u]] += has[u]
    return dealt


def _sites(
    rows: Sequence[Row], units: Sequence[tuple[str, ...]], unit: NDArray[np.int64]
) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Names of the sites and the site of each row."""
    nowhere = next((row for row in rows if not row.site), None)
    if nowhere is not None:
        raise BadInputError(f"line {nowhere.line} has no site; leave-one-site-out needs the column 'site' filled in")
    names = tuple(sorted({row.site for row in rows}))
    if len(names) < 2:
        raise BadInputError(f"all rows are of site {names[0]!r}; leave-one-site-out needs two sites or more")
    first: dict[int, str] = {}
    for row, u in zip(rows, unit, strict=True):
        if first.setdefault(int(u), row.site) != row.site:
            who = " and ".join(map(repr, units[u]))
            raise BadInputError(
                f"patient {who} is at two sites, {first[int(u)]!r} and {row.site!r} (line {row.line}); give one site"
            )
    return names, np.array([names.index(row.site) for row in rows], np.int64)


def _check_teachers(rows: Sequence[Row], names: Sequence[str], fold: NDArray[np.int64]) -> None:
    """No class is wholly in one fold: that fold's model would never have seen it."""
    folds: dict[str, set[int]] = {}
    for row, k in zip(rows, fold, strict=True):
        if row.evidence is not False:
            folds.setdefault(row.label, set()).add(int(k))
    for label, found in sorted(folds.items()):
        if len(found) == 1:
            (only,) = found
            raise BadInputError(
                f"class {label!r} is in fold {names[only]!r} only: while that fold is tested nobody teaches the class; "
                "use another --scheme, or remove the class"
            )
