"""Two models on the same frames of the same patients: which is better, and is it more than chance?

Patients are drawn with replacement and both models are measured on the same draw, so that what is hard about a patient
is hard for both and does not blur the difference.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_cns.contract import Aggregation
from edge_cns.errors import BadInputError
from edge_cns.evaluation.auroc import auroc, auroc_resampled
from edge_cns.evaluation.intervals import Interval, logit_interval, zero_event_bound
from edge_cns.evaluation.predictions import UNSEEN, Predictions
from edge_cns.evaluation.rows import LEVEL, Rows, listed, make_rows
from edge_cns.extras import require

__all__ = ["compare_models", "mcnemar"]


def compare_models(a: Predictions, b: Predictions, *, seed: int = 0, resamples: int = 2000) -> dict[str, Any]:
    """Differences, b minus a, by frame and by case (mean softmax).

    Rows of patients that either model has met are left out, unless there are no others.

    Args:
        a, b: what the two models said of the same rows, in any order. Paths may begin with different folders.
        seed: of the resampling of patients.
        resamples: how many times the patients are drawn.

    Returns:
        JSON-ready. Each figure has ``a``, ``b``, ``difference`` and its ``interval``; McNemar's test stands beside.

    Raises:
        BadInputError: classes, frames, patients or labels differ; the text names the first difference.
        MissingExtraError: SciPy is not installed.
    """
    b = _matched(a, b)
    unseen = a.in_sets(UNSEEN) & b.in_sets(UNSEEN)
    whose, rows = ("patients unseen by both", unseen) if unseen.any() else ("patients that a model has seen", ~unseen)
    a, b = a.select(rows), b.select(rows)
    frames = make_rows(a.labels, a.patient_ids, a.classes, seed=seed, resamples=resamples)
    cases = a.cases()
    patient = np.searchsorted(np.unique(np.array(a.patient_ids)), np.array(cases.patient_ids))
    by_case = Rows(cases.labels, patient.astype(np.int64), frames.weights, a.classes)
    n_patients = frames.weights.shape[1]
    return {
        "classes": list(a.classes),
        "whose": whose,
        "n_frames": len(a),
        "n_patients": n_patients,
        "n_cases": len(cases.labels),
        "n_left_out": int(np.count_nonzero(~rows)),
        "level": LEVEL,
        "resamples": resamples,
        "seed": seed,
        "frame": _level(frames, a.probabilities, b.probabilities),
        "patient": {
            "unit": "cases (patient_id, label)" if len(cases.labels) > n_patients else "patients",
            **_level(by_case, a.case_scores(Aggregation()), b.case_scores(Aggregation())),
        },
    }


def mcnemar(right_a: NDArray[np.bool_], right_b: NDArray[np.bool_]) -> dict[str, Any]:
    """Exact McNemar test (McNemar 1947, Psychometrika 12:153): is one model right where the other errs more often?

    Args:
        right_a, right_b: ``(N,)`` whether each model was right; the test takes the rows as independent.

    Returns:
        The four counts, and the two-sided binomial ``p_value``.

    Raises:
        MissingExtraError: SciPy is not installed.
    """
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    discordant = only_a + only_b
    binomtest = require("scipy.stats", "evaluate").binomtest
    return {
        "both_right": int((right_a & right_b).sum()),
        "only_a": only_a,
        "only_b": only_b,
        "both_wrong": int((~right_a & ~right_b).sum()),
        "p_value": float(binomtest(only_a, discordant).pvalue) if discordant else 1.0,
    }


def _matched(a: Predictions, b: Predictions) -> Predictions:
    """``b`` in the order of ``a``."""
    if a.classes != b.classes:
        raise BadInputError(f"the classes differ: {', '.join(a.classes)} in A, {', '.join(b.classes)} in B")
    if len(a) != len(b):
        raise BadInputError(f"A has {len(a)} frames, B has {len(b)}; evaluate both models with the same labels")
    order = []
    names = _names(a.paths), _names(b.paths)
    for i, j in zip(_order(a, names[0]), _order(b, names[1]), strict=True):
        _check_same(a, b, i, j, names[0][i], names[1][j])
        order.append((i, j))
    place = np.array([j for _, j in sorted(order)])
    return replace(
        b,
        paths=a.paths,
        labels=b.labels[place],
        probabilities=b.probabilities[place],
        patient_ids=a.patient_ids,
        sets=tuple(b.sets[j] for j in place),
        subgroups={},
        seconds=a.seconds,
    )


def _order(rows: Predictions, names: list[str]) -> list[int]:
    """Rows sorted by frame, then by patient and label where a frame stands twice."""
    return sorted(range(len(rows)), key=lambda i: (names[i], rows.patient_ids[i], rows.labels[i]))


def _names(paths: tuple[str, ...]) -> list[str]:
    """Paths below the folder that all share: the data may lie elsewhere on another machine."""
    whole = [os.path.normpath(path) for path in paths]
    try:
        folder = os.path.commonpath([os.path.dirname(path) for path in whole])
    except ValueError:  # some absolute, some not
        return whole
    return [path[len(folder) :].lstrip(os.sep) for path in whole]


def _check_same(a: Predictions, b: Predictions, i: int, j: int, name: str, other: str) -> None:
    """Refuse row i of A and row j of B unless they are the same frame of the same patient with the same label."""
    mend = "evaluate both models with the same labels"
    if name != other:
        missing = f"{name} is in A, not in B" if name < other else f"{other} is in B, not in A"
        raise BadInputError(f"frame {missing}; {mend}")
    if a.patient_ids[i] != b.patient_ids[j]:
        said = f"of patient {a.patient_ids[i]!r} in A, of {b.patient_ids[j]!r} in B"
        raise BadInputError(f"frame {name} is {said}; {mend}")
    if a.labels[i] != b.labels[j]:
        said = f"{a.classes[a.labels[i]]!r} in A, {b.classes[b.labels[j]]!r} in B"
        raise BadInputError(f"frame {name} has the label {said}; {mend}")


@dataclass(frozen=True, slots=True, eq=False)
class _Pair:
    """One figure of both models.

    ``values`` of a and b, ``samples (R,)`` of each, and the patients that could show a difference.
    """

    values: tuple[float, float]
    samples: tuple[NDArray[np.float64], NDArray[np.float64]]
    n_patients: int

    def as_dict(self, *, equal: bool = False) -> dict[str, Any]:
        """With ``equal``, both models were right on the same rows, and the limit is exact over the patients."""
        difference = self.values[1] - self.values[0]
        interval: Interval | None
        if equal:
            bound = zero_event_bound(self.n_patients, (1 - LEVEL) / 2)
            interval = (-bound, bound)
        else:
            samples = 1 + self.samples[1] - self.samples[0]  # 0 to 2, which is what has log odds
            shifted = logit_interval(1 + difference, samples, self.n_patients - 1, LEVEL, top=2.0)
            interval = None if shifted is None else (shifted[0] - 1, shifted[1] - 1)
        return {"a": self.values[0], "b": self.values[1], "difference": difference, "interval": listed(interval)}


def _level(rows: Rows, a: NDArray[np.float64], b: NDArray[np.float64]) -> dict[str, Any]:
    """All differences for one kind of row, from both models' scores ``(N, K)``."""
    right = [scores.argmax(axis=1) == rows.labels for scores in (a, b)]
    own = rows.one_hot.T
    sensitivities = [_share(rows, right, mask) for mask in own]
    areas = [_areas(rows, a[:, c], b[:, c], mask) for c, mask in enumerate(own)]
    same = bool((right[0] == right[1]).all())
    accuracy = _share(rows, right, np.ones(len(rows), dtype=np.bool_))
    assert accuracy is not None  # there is a row
    per_class = {}
    for c, name in enumerate(rows.classes):
        sensitivity, area = sensitivities[c], areas[c]
        agreeing = bool((right[0] == right[1])[own[c]].all())
        per_class[name] = {
            "n": int(own[c].sum()),
            "sensitivity": None if sensitivity is None else sensitivity.as_dict(equal=agreeing),
            "auroc": None if area is None else area.as_dict(),
        }
    return {
        "n": len(rows),
        "accuracy": accuracy.as_dict(equal=same),
        "balanced_accuracy": _mean(sensitivities),
        "auroc_macro": _mean(areas),
        "per_class": per_class,
        "mcnemar": mcnemar(right[0], right[1]),
    }


def _share(rows: Rows, right: list[NDArray[np.bool_]], mask: NDArray[np.bool_]) -> _Pair | None:
    """Share of right answers among the rows of a mask ``(N,)``."""
    if not mask.any():
        return None
    counts = rows.by_patient([right[0] & mask, right[1] & mask, mask])
    drawn = rows.weights @ counts
    with np.errstate(invalid="ignore"):
        samples = drawn[:, 0] / drawn[:, 2], drawn[:, 1] / drawn[:, 2]
    values = float(right[0][mask].mean()), float(right[1][mask].mean())
    return _Pair(values, samples, rows.n_patients(mask))


def _areas(rows: Rows, a: NDArray[np.float64], b: NDArray[np.float64], own: NDArray[np.bool_]) -> _Pair | None:
    """Area under the ROC curve of one class."""
    values = auroc(a, own), auroc(b, own)
    if values[0] is None or values[1] is None:
        return None
    samples = tuple(auroc_resampled(scores, own, rows.patient, rows.weights) for scores in (a, b))
    return _Pair((values[0], values[1]), (samples[0], samples[1]), min(rows.n_patients(own), rows.n_patients(~own)))


def _mean(pairs: list[_Pair | None]) -> dict[str, Any] | None:
    """Mean over the classes that have the figure; a resample without a class takes the mean of the others."""
    present = [pair for pair in pairs if pair is not None]
    if not present:
        return None
    values = [float(np.mean([pair.values[i] for pair in present])) for i in (0, 1)]
    samples = []
    for i in (0, 1):
        each = np.stack([pair.samples[i] for pair in present], axis=1)
        known = np.isfinite(each)
        with np.errstate(invalid="ignore"):
            samples.append(np.where(known, each, 0.0).sum(axis=1) / known.sum(axis=1))
    n_patients = min(pair.n_patients for pair in present)
    return _Pair((values[0], values[1]), (samples[0], samples[1]), n_patients).as_dict()
