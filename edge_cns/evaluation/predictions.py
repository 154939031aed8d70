"""What a model said about labelled frames, and the same gathered by patient."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from edge_cns.contract import Aggregation
from edge_cns.decision.aggregation import RULES, aggregate_cases
from edge_cns.errors import BadInputError

__all__ = ["SEEN_SETS", "SETS", "UNSEEN", "CaseDecisions", "Cases", "Predictions"]

SEEN_SETS = ("fit", "stop", "calibrate", "gate")
"""The sets that training and conversion draw: their patients are not new to the model."""
UNSEEN = "unseen"
"""The set of every patient that neither training nor conversion has met."""
SETS = (*SEEN_SETS, UNSEEN)

_SUM_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class Cases:
    """Frames gathered by case; a case is one (patient_id, label), because a patient may carry several labels.

    Attributes:
        labels: ``(M,)`` int64, index of the true class.
        patient_ids: M patients; one with several labels appears several times.
        n_frames: ``(M,)`` int64, frames behind each case.
        index: ``(N,)`` int64, case of each frame.
    """

    labels: NDArray[np.int64]
    patient_ids: tuple[str, ...]
    n_frames: NDArray[np.int64]
    index: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class CaseDecisions:
    """What was stated of each case, by rules and thresholds that never met its patient.

    Attributes:
        scores: ``(M, K)`` float64 aggregated scores, cases in the order of `Predictions.cases`.
        calls: ``(M, K)`` bool: the class was stated; none or several may be.
        rules: M names out of `edge_cns.decision.aggregation.RULES`: the rule chosen for the case.
        target_sensitivity: share of each class's cases that the thresholds were fitted to find.

    Raises:
        BadInputError: shapes that differ, an unknown rule, or scores that are not finite.
    """

    scores: NDArray[np.float64]
    calls: NDArray[np.bool_]
    rules: tuple[str, ...]
    target_sensitivity: float

    def __post_init__(self) -> None:
        shapes = (self.scores.shape, self.calls.shape, (len(self.rules), self.scores.shape[-1]))
        if len(set(shapes)) != 1:
            raise BadInputError(
                f"decisions have scores, calls and rules of shapes {shapes}; give one row for each case"
            )
        if unknown := sorted(set(self.rules) - set(RULES)):
            raise BadInputError(f"decisions name the rule {unknown[0]!r}; use one of {', '.join(RULES)}")
        if not np.isfinite(self.scores).all():
            raise BadInputError("a score of the decisions is not finite; fit them again")

    def select(self, cases: NDArray[np.bool_]) -> CaseDecisions:
        """The cases where ``cases (M,)`` is true, in order."""
        rules = tuple(self.rules[i] for i in np.flatnonzero(cases))
        return replace(self, scores=self.scores[cases], calls=self.calls[cases], rules=rules)


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """Probabilities for N labelled frames.

    Attributes:
        classes: K class names in the contract's order.
        paths: N files the frames came from.
        labels: ``(N,)`` int64, index of the true class.
        probabilities: ``(N, K)`` float64, each row sums to 1.
        patient_ids: N patients.
        sets: N names out of ``SETS``: where the patient was when the model was made.
        phantom: some of the frames are simulated.
        subgroups: other columns of the label file, each with N values; empty text where a row has none.
        seconds: ``(N,)`` float64, when each frame was captured within its patient's exam; ``None`` for stills.
        negative: the class that means none of the findings, such as *normal*; ``None`` where every class is one.

    Raises:
        BadInputError: no rows, lengths that differ, labels out of range, probabilities that are not finite,
            negative or do not sum to 1, seconds that are not finite, an unknown set, a patient in two sets, or a
            negative class that is not listed.
    """

    classes: tuple[str, ...]
    paths: tuple[str, ...]
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    patient_ids: tuple[str, ...]
    sets: tuple[str, ...]
    phantom: bool = False
    subgroups: dict[str, tuple[str, ...]] = field(default_factory=dict)
    seconds: NDArray[np.float64] | None = None
    negative: str | None = None

    def __post_init__(self) -> None:
        self._check_shapes()
        self._check_values()
        self._check_sets()

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def predicted(self) -> NDArray[np.int64]:
        """``(N,)``: class of the largest probability; the first of equals."""
        columns: NDArray[np.int64] = self.probabilities.argmax(axis=1).astype(np.int64)
        return columns

    def in_sets(self, *names: str) -> NDArray[np.bool_]:
        """``(N,)``: rows whose patient is in one of the named sets."""
        inside: NDArray[np.bool_] = np.isin(np.array(self.sets), names)
        return inside

    def select(self, rows: NDArray[np.bool_]) -> Predictions:
        """The rows where ``rows (N,)`` is true, in order.

        Raises:
            BadInputError: no row is selected.
        """
        keep = np.flatnonzero(rows)

        def pick(values: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(values[i] for i in keep)

        return Predictions(
            classes=self.classes,
            paths=pick(self.paths),
            labels=self.labels[keep],
            probabilities=self.probabilities[keep],
            patient_ids=pick(self.patient_ids),
            sets=pick(self.sets),
            phantom=self.phantom,
            subgroups={name: pick(values) for name, values in self.subgroups.items()},
            seconds=None if self.seconds is None else self.seconds[keep],
            negative=self.negative,
        )

    def cases(self) -> Cases:
        """Gather the frames by (patient_id, label), in order of patient, then class."""
        patients, patient = np.unique(np.array(self.patient_ids), return_inverse=True)
        k = len(self.classes)
        keys, case = np.unique(patient * k + self.labels, return_inverse=True)
        return Cases(
            labels=(keys % k).astype(np.int64),
            patient_ids=tuple(str(patients[key // k]) for key in keys),
            n_frames=np.bincount(case).astype(np.int64),
            index=case.astype(np.int64),
        )

    def case_scores(self, aggregation: Aggregation) -> NDArray[np.float64]:
        """``(M, K)``: scores of the cases by a rule of `edge_cns.decision.aggregation`; each row sums to 1."""
        negative = None if self.negative is None else self.classes.index(self.negative)
        index = self.cases().index
        return aggregate_cases(self.probabilities, index, aggregation, negative=negative, seconds=self.seconds)

    def _check_shapes(self) -> None:
        n, k = len(self.paths), len(self.classes)
        if n == 0:
            raise BadInputError("there is no frame to evaluate; give a label file with at least one readable frame")
        if k < 2 or len(set(self.classes)) != k:
            raise BadInputError(f"classes are {list(self.classes)}; give at least two different names")
        lengths = {
            "labels": self.labels.shape,
            "patient_ids": (len(self.patient_ids),),
            "sets": (len(self.sets),),
            **({} if self.seconds is None else {"seconds": self.seconds.shape}),
            **{f"subgroup {name!r}": (len(values),) for name, values in self.subgroups.items()},
        }
        for name, shape in lengths.items():
            if shape != (n,):
                raise BadInputError(f"{name} has shape {shape} for {n} paths; give one value for each frame")
        if self.probabilities.shape != (n, k):
            shape = self.probabilities.shape
            raise BadInputError(f"probabilities have shape {shape}; {n} frames of {k} classes need ({n}, {k})")

    def _check_values(self) -> None:
        k = len(self.classes)
        wrong_label = np.flatnonzero((self.labels < 0) | (self.labels >= k))
        if wrong_label.size:
            row = int(wrong_label[0])
            raise BadInputError(f"{self.paths[row]}: label {self.labels[row]} is not a class index 0 to {k - 1}")
        sums = self.probabilities.sum(axis=1)
        fine = (self.probabilities >= 0).all(axis=1) & (np.abs(sums - 1) <= _SUM_TOLERANCE)
        wrong = np.flatnonzero(~fine)
        if wrong.size:
            row = int(wrong[0])
            values = ", ".join(f"{p:.4g}" for p in self.probabilities[row][:8])
            raise BadInputError(f"{self.paths[row]}: probabilities {values} are not finite numbers >= 0 that sum to 1")
        if self.seconds is not None and not np.isfinite(self.seconds).all():
            row = int(np.flatnonzero(~np.isfinite(self.seconds))[0])
            raise BadInputError(f"{self.paths[row]}: seconds is {self.seconds[row]}; give a time for each frame")
        if self.negative is not None and self.negative not in self.classes:
            raise BadInputError(f"the negative class {self.negative!r} is none of {', '.join(self.classes)}")

    def _check_sets(self) -> None:
        unknown = sorted(set(self.sets) - set(SETS))
        if unknown:
            raise BadInputError(f"set {unknown[0]!r} is unknown; use one of {', '.join(SETS)}")
        first: dict[str, str] = {}
        for patient, name in zip(self.patient_ids, self.sets, strict=True):
            if first.setdefault(patient, name) != name:
                raise BadInputError(f"patient {patient!r} is in two sets, {first[patient]} and {name}; keep one")
