"""Means over frames whose uncertainty is that of the patients behind them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_cns.evaluation.intervals import clustered_ratios, patient_weights, percentile_interval

__all__ = ["clustered_mean", "clustered_ratio"]


def clustered_mean(
    values: NDArray[np.floating[Any]], patients: Sequence[str], *, seed: int = 0, resamples: int = 2000
) -> dict[str, Any]:
    """Mean of the finite values, with a 95 % interval that resamples patients.

    Args:
        values: ``(N,)``, one a frame; NaN where a frame has none.
        patients: N patient ids.
        seed: of the resampling.
        resamples: how many times the patients are drawn.

    Returns:
        JSON-ready: ``value`` and ``interval`` (``None`` where they cannot be computed), ``n`` and ``n_patients``.
        Where all values are 0 or all are 1 the limit is exact, as `clustered_ratios` says.
    """
    finite = np.isfinite(values)
    return clustered_ratio(
        np.where(finite, values, 0.0), finite.astype(np.float64), patients, seed=seed, resamples=resamples
    )


def clustered_ratio(
    numerators: NDArray[np.floating[Any]],
    denominators: NDArray[np.floating[Any]],
    patients: Sequence[str],
    *,
    seed: int = 0,
    resamples: int = 2000,
) -> dict[str, Any]:
    """Sum of the numerators over the sum of the denominators; as `clustered_mean` otherwise.

    Args:
        numerators, denominators: ``(N,)``; rows with a denominator of 0 are not counted.
        patients: N patient ids.
        seed: of the resampling.
        resamples: how many times the patients are drawn.
    """
    counted = denominators > 0
    if not counted.any():
        return {"value": None, "interval": None, "n": 0, "n_patients": 0}
    top, bottom = (np.asarray(v, np.float64)[counted] for v in (numerators, denominators))
    names, index = np.unique(np.array(patients)[counted], return_inverse=True)
    sums = np.stack([np.bincount(index, v, len(names)) for v in (top, bottom)], axis=1).astype(np.float64)
    weights = patient_weights(len(names), resamples, np.random.default_rng(seed))
    if np.isin(top, (0.0, 1.0)).all() and (bottom == 1).all():
        interval = clustered_ratios(sums[:, :1], sums[:, 1:], weights)[0]
    else:
        with np.errstate(invalid="ignore", divide="ignore"):
            interval = percentile_interval((weights @ sums[:, 0]) / (weights @ sums[:, 1]))
    return {
        "value": float(top.sum() / bottom.sum()),
        "interval": None if interval is None else list(interval),
        "n": int(counted.sum()),
        "n_patients": len(names),
    }
