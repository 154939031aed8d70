"""The four patient-disjoint sets of a training, and how a bundle remembers who was in which.

*fit* teaches the weights, *stop* ends the training, *calibrate* sets temperature and thresholds, *gate* compares float
with int8. Every class is in every set, and nobody is in two.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edge_cns.data.manifest import Row
from edge_cns.errors import BadInputError

__all__ = ["FRACTIONS", "SETS", "draw_sets", "hashes_by_set", "new_salt", "patient_hash", "set_of"]

SETS = ("fit", "stop", "calibrate", "gate")
FRACTIONS: Mapping[str, float] = {"fit": 0.70, "stop": 0.10, "calibrate": 0.10, "gate": 0.10}
"""Share of the patients in each set."""


@dataclass(frozen=True, slots=True)
class _Unit:
    """Patients that must stay together, and the labels of their frames."""

    patients: tuple[str, ...]
    labels: frozenset[str]
    fixed: str | None


def draw_sets(
    rows: Iterable[Row],
    *,
    seed: int,
    fractions: Mapping[str, float] = FRACTIONS,
    together: Iterable[Iterable[str]] = (),
) -> dict[str, str]:
    """Draw the set of every patient that is not kept for testing.

    Iterative stratification of multi-label data (Sechidis, Tsoumakas and Vlahavas, "On the stratification of
    multi-label data", ECML PKDD 2011) over patients: the rarest class is dealt first, each time to the set that lacks
    it most. Each set asks for at least one patient of each class, and a last pass moves patients until it has one.

    Args:
        rows: rows of a manifest in any order; ``split`` = ``test`` is left out, and ``fit``, ``stop``, ``calibrate``
            and ``gate`` are kept as they are.
        seed: 0 or more; the same seed gives the same sets, whatever the order of the rows.
        fractions: share of the patients by set; positive, with sum 1.
        together: groups of patient ids that must share a set, such as ids with the same pixels.

    Returns:
        set name by patient id, sorted by patient id.

    Raises:
        BadInputError: no rows or fewer than two classes to train on, a class with fewer than four independent
            patients or absent from a set, a group that ``split`` tears apart, or impossible fractions or seed.
    """
    _check_settings(seed, fractions)
    units = _units([row for row in rows if row.split != "test"], together)
    _check_classes(units)
    generator = np.random.default_rng(seed)
    units = [units[i] for i in generator.permutation(len(units))]
    sets = _deal(units, fractions)
    _repair(units, sets)
    _check_sets(units, sets)
    return dict(sorted((patient, sets[i]) for i, unit in enumerate(units) for patient in unit.patients))


def _check_settings(seed: int, fractions: Mapping[str, float]) -> None:
    """Refuse a seed or fractions that cannot be drawn with."""
    if seed < 0:
        raise BadInputError(f"seed is {seed}; give 0 or more")
    if set(fractions) != set(SETS) or min(fractions.values()) <= 0 or abs(sum(fractions.values()) - 1) > 1e-6:
        raise BadInputError(f"fractions are {dict(fractions)}; give {', '.join(SETS)}, positive, with sum 1")


def _units(rows: Sequence[Row], together: Iterable[Iterable[str]]) -> list[_Unit]:
    """Join the patients of each group, and collect labels and fixed sets; sorted, so that row order cannot matter."""
    labels: dict[str, set[str]] = {}
    fixed: dict[str, str] = {}
    for row in rows:
        labels.setdefault(row.patient_id, set()).add(row.label)
        if row.split != "train":
            fixed[row.patient_id] = row.split
    root = {patient: patient for patient in labels}

    def find(patient: str) -> str:
        while root[patient] != patient:
            patient = root[patient]
        return patient

    for group in together:
        known = sorted({find(patient) for patient in group if patient in root})
        for patient in known[1:]:
            root[patient] = known[0]
    members: dict[str, list[str]] = {}
    for patient in sorted(labels):
        members.setdefault(find(patient), []).append(patient)
    units = []
    for patients in members.values():
        places = sorted({fixed[patient] for patient in patients if patient in fixed})
        if len(places) > 1:
            raise BadInputError(
                f"patients {', '.join(map(repr, patients[:4]))} belong together, but split puts them in "
                f"{' and '.join(places)}; give them one split"
            )
        union = frozenset().union(*(labels[patient] for patient in patients))
        units.append(_Unit(tuple(patients), union, places[0] if places else None))
    return units


def _check_classes(units: Sequence[_Unit]) -> None:
    """Two classes or more, each with a patient for each set."""
    counts = _counts(units)
    if len(counts) < 2:
        found = f"only {next(iter(counts))!r}" if counts else "no row"
        raise BadInputError(f"there is {found} to train on; give rows of two classes or more that are not split=test")
    label, count = min(counts.items(), key=lambda item: (item[1], item[0]))
    if count < len(SETS):
        raise BadInputError(
            f"class {label!r} has {count} patient{'s' if count > 1 else ''} to train on, but {', '.join(SETS)} need "
            f"one each ({len(SETS)}); add patients or remove the class"
        )


def _counts(units: Iterable[_Unit]) -> dict[str, int]:
    """Units by label."""
    counts: dict[str, int] = {}
    for unit in units:
        for label in unit.labels:
            counts[label] = counts.get(label, 0) + 1
    return counts


def _wanted(count: int, fractions: Mapping[str, float]) -> dict[str, float]:
    """How many of ``count`` each set asks for: its share, but at least one; *fit* gets the rest."""
    wanted = {name: max(1.0, fractions[name] * count) for name in SETS[1:]}
    return {"fit": max(1.0, count - sum(wanted.values())), **wanted}


def _deal(units: Sequence[_Unit], fractions: Mapping[str, float]) -> list[str]:
    """Iterative stratification; returns the set of each unit."""
    lack = {label: _wanted(count, fractions) for label, count in _counts(units).items()}
    lack_any = _wanted(len(units), fractions)
    sets = [""] * len(units)

    def put(index: int, name: str) -> None:
        sets[index] = name
        lack_any[name] -= 1
        for label in units[index].labels:
            lack[label][name] -= 1

    for i, unit in enumerate(units):
        if unit.fixed is not None:
            put(i, unit.fixed)
    while True:
        left = _counts(unit for i, unit in enumerate(units) if not sets[i])
        if not left:
            return sets
        rarest = min(left, key=lambda label: (left[label], label))
        for i, unit in enumerate(units):
            if not sets[i] and rarest in unit.labels:
                # max keeps the first of equals: the order of SETS, so fit before the small sets
                put(i, max(SETS, key=lambda name: (lack[rarest][name], lack_any[name])))


def _repair(units: Sequence[_Unit], sets: list[str]) -> None:
    """Move free units, one at a time, into sets that lack a class, never taking the last of a class from a set."""
    held = {(label, name): 0 for label in _counts(units) for name in SETS}
    for unit, name in zip(units, sets, strict=True):
        for label in unit.labels:
            held[label, name] += 1
    for label, name in sorted(pair for pair, count in held.items() if count == 0):
        if held[label, name]:
            continue
        for i, unit in enumerate(units):
            donor = sets[i]
            movable = unit.fixed is None and all(held[other, donor] > 1 for other in unit.labels)
            if label in unit.labels and movable:
                for other in unit.labels:
                    held[other, donor] -= 1
                    held[other, name] += 1
                sets[i] = name
                break


def _check_sets(units: Sequence[_Unit], sets: Sequence[str]) -> None:
    """Every class in every set."""
    for label, count in sorted(_counts(units).items()):
        present = {name for unit, name in zip(units, sets, strict=True) if label in unit.labels}
        for name in SETS:
            if name not in present:
                raise BadInputError(
                    f"class {label!r} ({count} patients) has none for the set {name!r}; "
                    "add patients of it, or empty the split column so that they can be drawn"
                )


def new_salt() -> str:
    """32 random hex digits: one salt for one bundle."""
    return secrets.token_hex(16)


def patient_hash(salt: str, patient_id: str) -> str:
    """SHA-256 of salt and patient id, in hex.

    It keeps ids out of sight and out of searches. It is no anonymisation: whoever holds the bundle can try ids.

    Args:
        salt: hex digits, as :func:`new_salt` gives them.
        patient_id: as the manifest has it.

    Raises:
        BadInputError: the salt is not hex.
    """
    try:
        prefix = bytes.fromhex(salt)
    except ValueError:
        raise BadInputError(f"patient salt is {salt!r}; it must be hex digits") from None
    return hashlib.sha256(prefix + patient_id.encode()).hexdigest()


def hashes_by_set(salt: str, sets: Mapping[str, str]) -> dict[str, list[str]]:
    """Sorted patient hashes by set, for a bundle; ``sets`` is what :func:`draw_sets` returned."""
    return {
        name: sorted(patient_hash(salt, patient) for patient, where in sets.items() if where == name) for name in SETS
    }


def set_of(salt: str, patient_id: str, hashes: Mapping[str, Iterable[str]]) -> str | None:
    """The set in which a patient was, or ``None`` for a patient whom the model has never seen."""
    digest = patient_hash(salt, patient_id)
    return next((name for name, members in hashes.items() if digest in members), None)
