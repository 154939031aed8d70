"""What a model said about labelled frames, and the same gathered by patient."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edge_cns.errors import BadInputError

__all__ = ["SEEN_SETS", "SETS", "UNSEEN", "Cases", "Predictions"]

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
        mean_softmax: ``(M, K)`` float64, mean of the frames' probabilities.
        votes: ``(M, K)`` int64, frames whose largest probability is that class.
    """

    labels: NDArray[np.int64]
    patient_ids: tuple[str, ...]
    n_frames: NDArray[np.int64]
    mean_softmax: NDArray[np.float64]
    votes: NDArray[np.int64]

    @property
    def predicted(self) -> NDArray[np.int64]:
        """``(M,)``: class of the largest mean softmax."""
        return _largest(self.mean_softmax)

    @property
    def predicted_by_vote(self) -> NDArray[np.int64]:
        """``(M,)``: class with most frames; of equals, the one with the largest mean softmax."""
        leading = self.votes == self.votes.max(axis=1, keepdims=True)
        return _largest(np.where(leading, self.mean_softmax, -1.0))


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
        subgroups: other columns of the label file, each with N values.

    Raises:
        BadInputError: no rows, lengths that differ, labels out of range, probabilities that are not finite,
            negative or do not sum to 1, an unknown set, or a patient in two sets.
    """

    classes: tuple[str, ...]
    paths: tuple[str, ...]
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    patient_ids: tuple[str, ...]
    sets: tuple[str, ...]
    phantom: bool = False
    subgroups: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._check_shapes()
        self._check_values()
        self._check_sets()

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def predicted(self) -> NDArray[np.int64]:
        """``(N,)``: class of the largest probability."""
        return _largest(self.probabilities)

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
        )

    def cases(self) -> Cases:
        """Gather the frames by (patient_id, label), in order of patient, then class."""
        patients, patient = np.unique(np.array(self.patient_ids), return_inverse=True)
        k = len(self.classes)
        keys, case = np.unique(patient * k + self.labels, return_inverse=True)
        n_frames = np.bincount(case)
        sums = np.zeros((len(keys), k))
        np.add.at(sums, case, self.probabilities)
        votes = np.bincount(case * k + self.predicted, minlength=len(keys) * k).reshape(len(keys), k)
        return Cases(
            labels=(keys % k).astype(np.int64),
            patient_ids=tuple(str(patients[key // k]) for key in keys),
            n_frames=n_frames.astype(np.int64),
            mean_softmax=sums / n_frames[:, None],
            votes=votes.astype(np.int64),
        )

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

    def _check_sets(self) -> None:
        unknown = sorted(set(self.sets) - set(SETS))
        if unknown:
            raise BadInputError(f"set {unknown[0]!r} is unknown; use one of {', '.join(SETS)}")
        first: dict[str, str] = {}
        for patient, name in zip(self.patient_ids, self.sets, strict=True):
            if first.setdefault(patient, name) != name:
                raise BadInputError(f"patient {patient!r} is in two sets, {first[patient]} and {name}; keep one")


def _largest(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Column of the largest value in each row; the first of equals."""
    columns: NDArray[np.int64] = values.argmax(axis=1).astype(np.int64)
    return columns
