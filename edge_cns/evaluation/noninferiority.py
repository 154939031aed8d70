"""Is the int8 model as good as the float one? The statistics of the gate, on the same frames of the same patients.

For each class the difference in sensitivity, int8 minus float, is bounded from both sides at 95 %. Patients are
resampled, not frames. Two facts about small samples shape the method:

- The ordinary percentile bootstrap is too narrow when few patients are discordant, and has no width at all when none
  is. So each resample holds one more patient, whose frames all change for the worse (for the lower bound; for the
  better, for the upper bound), and the weights of the patients are drawn from a Dirichlet distribution (the Bayesian
  bootstrap, Rubin 1981, Ann. Stat. 9:130). For patients with equally many frames this is the bound of Gaffke (2005,
  Math. Methods Stat. 14:451) for the mean of a bounded variable: no counter-example to its validity is known, it
  needs no assumption on how the frames of a patient hang together, and where each patient has one frame and all
  changes go one way it is the exact Clopper-Pearson bound.
- With no discordance at all it is ``1 - alpha ** (1/n)`` over n patients, which is used in closed form: 149 patients
  without one are needed to prove a margin of 2 points. Patients count as equals there, however many frames they
  have: where those with more frames are likelier to lose them all, simulated chances of passing wrongly reach 9 %
  with just enough patients (with more of them, and elsewhere, at most 5 %).

*Passed* needs every class to pass, which keeps the chance of passing a model that loses the margin in any class at
5 % without correction for several classes (intersection-union test, Berger 1982, Technometrics 24:295). *Failed* is
also decided on all classes together, because a few patients of each class may together show what none shows alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edge_cns.errors import BadInputError
from edge_cns.evaluation.intervals import trials_for_zero_events, zero_event_bound

__all__ = ["ALPHA", "Difference", "NonInferiority", "Outcome", "compare"]

Outcome = Literal["passed", "failed", "undecided"]

ALPHA = 0.05
"""One-sided error of each bound."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Sensitivity of int8 minus that of float, on the frames of one class or of all.

    Attributes:
        name: class, or ``all classes`` (there the difference is one of accuracy).
        n_frames: frames of the class.
        n_patients: patients with such frames.
        discordant_frames: frames that one of the two models gets right and the other wrong.
        discordant_patients: patients with such frames.
        float_sensitivity: 0 to 1; ``None`` without frames, as are the next four.
        int8_sensitivity: 0 to 1.
        difference: int8 minus float, -1 to 1.
        lower: one-sided 95 % lower bound of the difference.
        upper: one-sided 95 % upper bound of the difference.
        method: ``exact``, ``resampled`` or ``none``.
        outcome: what this row alone says.
        reason: one sentence, with what would decide it where it is undecided.
    """

    name: str
    n_frames: int
    n_patients: int
    discordant_frames: int
    discordant_patients: int
    float_sensitivity: float | None
    int8_sensitivity: float | None
    difference: float | None
    lower: float | None
    upper: float | None
    method: Literal["exact", "resampled", "none"]
    outcome: Outcome
    reason: str


@dataclass(frozen=True, slots=True)
class NonInferiority:
    """Outcome of the gate.

    Attributes:
        outcome: *passed* where every class passed, *failed* where a class or all together failed, else *undecided*.
        reason: one sentence that names the classes behind the outcome.
        margin: largest loss of sensitivity that counts as none.
        alpha: one-sided error of each bound.
        classes: one row a class, in the contract's order.
        pooled: the same over the frames of all classes; it can fail the gate, not pass it.
        n_frames: frames compared.
        n_patients: patients compared.
        agreement: share of frames on which both models name the same class.
        largest_probability_shift: largest absolute change of a probability; ``None`` where none were given.
        mean_probability_shift: mean over the frames of the largest change in each.
        seed: of the resampling.
        resamples: how often weights were drawn.
    """

    outcome: Outcome
    reason: str
    margin: float
    alpha: float
    classes: tuple[Difference, ...]
    pooled: Difference
    n_frames: int
    n_patients: int
    agreement: float
    largest_probability_shift: float | None
    mean_probability_shift: float | None
    seed: int
    resamples: int

    def as_dict(self) -> dict[str, Any]:
        """Numbers, strings, ``None``, lists and dictionaries only; ``classes`` maps name to row."""
        return asdict(self) | {"classes": {row.name: asdict(row) for row in self.classes}}


def compare(
    labels: NDArray[np.int64],
    float_predicted: NDArray[np.int64],
    int8_predicted: NDArray[np.int64],
    patient_ids: Sequence[str],
    classes: Sequence[str],
    *,
    float_probabilities: NDArray[np.floating[Any]] | None = None,
    int8_probabilities: NDArray[np.floating[Any]] | None = None,
    margin: float = 0.02,
    seed: int = 0,
    resamples: int = 20_000,
) -> NonInferiority:
    """Compare two models frame by frame.

    Args:
        labels: ``(N,)`` index of the true class.
        float_predicted: ``(N,)`` class that the float model names.
        int8_predicted: ``(N,)`` class that the int8 model names, as the runtime runs it.
        patient_ids: N patients.
        classes: K names.
        float_probabilities: ``(N, K)``, for the shift of probabilities only.
        int8_probabilities: ``(N, K)``, likewise.
        margin: largest loss of sensitivity that counts as none, between 0 and 1.
        seed: of the resampling.
        resamples: how often weights are drawn.

    Raises:
        BadInputError: no frames, lengths that differ, a class index or the margin out of range, or
            probabilities that are not finite.
    """
    indices = {"labels": labels, "float_predicted": float_predicted, "int8_predicted": int8_predicted}
    _check(indices, patient_ids, len(classes), margin)
    patients, patient = np.unique(np.array(patient_ids), return_inverse=True)
    float_right, int8_right = float_predicted == labels, int8_predicted == labels
    rng = np.random.default_rng(seed)

    def row(name: str, rows: NDArray[np.bool_]) -> Difference:
        return _difference(
            name, float_right[rows], int8_right[rows], patient[rows], margin=margin, resamples=resamples, rng=rng
        )

    by_class = tuple(row(name, labels == c) for c, name in enumerate(classes))
    pooled = row("all classes", np.ones(len(labels), dtype=np.bool_))
    outcome, reason = _overall(by_class, pooled)
    largest, mean = _probability_shift(float_probabilities, int8_probabilities)
    return NonInferiority(
        outcome=outcome,
        reason=reason,
        margin=margin,
        alpha=ALPHA,
        classes=by_class,
        pooled=pooled,
        n_frames=len(labels),
        n_patients=len(patients),
        agreement=float((float_predicted == int8_predicted).mean()),
        largest_probability_shift=largest,
        mean_probability_shift=mean,
        seed=seed,
        resamples=resamples,
    )


def _difference(
    name: str,
    float_right: NDArray[np.bool_],
    int8_right: NDArray[np.bool_],
    patient: NDArray[np.int64],
    *,
    margin: float,
    resamples: int,
    rng: np.random.Generator,
) -> Difference:
    """One row from ``(n,)`` masks of right answers and ``(n,)`` indices of patients."""
    n = len(patient)
    if n == 0:
        reason = f"{name}: no frames to compare; label frames of this class in more patients"
        return Difference(name, 0, 0, 0, 0, None, None, None, None, None, "none", "undecided", reason)
    change = int8_right.astype(np.float64) - float_right.astype(np.float64)
    present, index = np.unique(patient, return_inverse=True)
    frames = np.bincount(index).astype(np.float64)
    changes = np.bincount(index, weights=change).astype(np.float64)
    discordant = np.bincount(index, weights=np.abs(change))
    difference = float(change.mean())
    exact = not discordant.any()
    if exact:
        upper = zero_event_bound(len(present), ALPHA)
        lower = -upper
    else:
        lower, upper = _resampled_bounds(changes, frames, resamples, rng)
    outcome: Outcome = "undecided"
    if lower > -margin:
        outcome = "passed"
    elif difference < -margin and upper < 0:
        outcome = "failed"
    row = Difference(
        name=name,
        n_frames=n,
        n_patients=len(present),
        discordant_frames=int(discordant.sum()),
        discordant_patients=int(np.count_nonzero(discordant)),
        float_sensitivity=float(float_right.mean()),
        int8_sensitivity=float(int8_right.mean()),
        difference=difference,
        lower=lower,
        upper=upper,
        method="exact" if exact else "resampled",
        outcome=outcome,
        reason="",
    )
    return replace(row, reason=_explain(row, margin))


def _resampled_bounds(
    changes: NDArray[np.float64], frames: NDArray[np.float64], resamples: int, rng: np.random.Generator
) -> tuple[float, float]:
    """Lower and upper bound of ``sum(changes) / sum(frames)``, both ``(P,)``; see the head of this file.

    The patient that is added has as many frames as the patient of a frame drawn at random has on average, so that
    many frames in few patients do not count as many patients.
    """
    kinds, count = np.unique(np.stack([changes, frames], axis=1), axis=0, return_counts=True)
    added = float(frames @ frames / frames.sum())
    # Gamma variates over their sum are Dirichlet weights; patients that are alike share one, of their number's shape.
    weights = rng.standard_gamma(np.append(count, 1.0), size=(resamples, len(count) + 1))
    extra = weights[:, -1] * added
    change = weights[:, :-1] @ kinds[:, 0]
    total = weights[:, :-1] @ kinds[:, 1] + extra
    lower = np.quantile((change - extra) / total, ALPHA)
    upper = np.quantile((change + extra) / total, 1 - ALPHA)
    return float(lower), float(upper)


def _explain(row: Difference, margin: float) -> str:
    """One sentence on a row that has frames."""
    if row.outcome == "undecided" and row.method == "exact":
        needed = trials_for_zero_events(margin, ALPHA)
        return (
            f"{row.name}: no difference in {row.n_patients} of the {needed} patients that a margin of {margin:g} "
            "needs; label more patients"
        )
    meaning = {
        "passed": f"a loss of {margin:g} is excluded",
        "failed": f"worse than float by more than {margin:g}",
        "undecided": f"a loss of {margin:g} is neither shown nor excluded; label more patients",
    }[row.outcome]
    return (
        f"{row.name}: difference {row.difference:+.4f}, 95 % bounds {row.lower:+.4f} and {row.upper:+.4f} "
        f"from {row.n_patients} patients: {meaning}"
    )


def _overall(classes: Sequence[Difference], pooled: Difference) -> tuple[Outcome, str]:
    """Outcome of all rows together, and why."""
    failed = [row.name for row in (*classes, pooled) if row.outcome == "failed"]
    if failed:
        return "failed", f"int8 loses sensitivity in: {', '.join(failed)}"
    undecided = [row.name for row in classes if row.outcome == "undecided"]
    if undecided:
        return "undecided", f"too few patients to decide on: {', '.join(undecided)}"
    return "passed", "int8 is not inferior to float in any class"


def _probability_shift(
    before: NDArray[np.floating[Any]] | None, after: NDArray[np.floating[Any]] | None
) -> tuple[float | None, float | None]:
    """Largest shift of all, and mean over the frames of the largest shift in each."""
    if before is None or after is None:
        return None, None
    shift = np.abs(np.asarray(after, dtype=np.float64) - before).max(axis=1)
    if not np.isfinite(shift).all():
        raise BadInputError("a probability of the float or the int8 model is not finite; do not ship this model")
    return float(shift.max()), float(shift.mean())


def _check(indices: dict[str, NDArray[np.int64]], patient_ids: Sequence[str], n_classes: int, margin: float) -> None:
    if not 0 < margin < 1:
        raise BadInputError(f"margin is {margin}; give a share between 0 and 1, such as 0.02")
    if not len(patient_ids):
        raise BadInputError("there is no gate frame to compare; give patients to the gate set")
    for name, values in indices.items():
        if values.shape != (len(patient_ids),):
            raise BadInputError(f"{name} has shape {values.shape} for {len(patient_ids)} frames; give one a frame")
        if values.min() < 0 or values.max() >= n_classes:
            raise BadInputError(f"{name} holds classes {values.min()} to {values.max()}; use 0 to {n_classes - 1}")
