"""The value that a stated share of a new patient's frames reaches, from patients whose frames are alike.

Frames of one patient resemble each other, so patients are what is exchangeable, not frames: each patient weighs 1 in
all, and the new patient is one of n + 1 (hierarchical conformal prediction: Lee, Barber & Willett 2023,
arXiv:2306.06342).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["fewest_patients", "largest_reached"]

_ROUNDING = 1e-9  # sums of 1/n fall short of their value by less


def fewest_patients(share: float) -> int:
    """Patients below which no value keeps the promise: ``share / (1 - share)``."""
    return int(np.ceil(share / (1 - share) - _ROUNDING))


def largest_reached(values: NDArray[np.float64], patients: Sequence[str], share: float) -> float | None:
    """The largest value that at least a share of the patients' weight reaches.

    The new patient's weight, 1 of n + 1, is taken to reach none.

    Args:
        values: ``(N,)`` one a frame.
        patients: N patient ids.
        share: above 0 and below 1.

    Returns:
        One of the values; ``None`` for fewer patients than `fewest_patients`.
    """
    _, index, n_frames = np.unique(np.array(patients, dtype=str), return_inverse=True, return_counts=True)
    if len(n_frames) < max(1, fewest_patients(share)):
        return None
    weights = 1 / ((len(n_frames) + 1) * n_frames[index])
    falling = np.argsort(-values, kind="stable")
    reached = np.cumsum(weights[falling]) >= share - _ROUNDING
    return float(values[falling[reached.argmax()]])
