"""Confidence intervals for proportions, and the bootstrap that keeps a patient's frames together."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from edge_cns.extras import require

__all__ = [
    "Interval",
    "clopper_pearson",
    "clustered_ratios",
    "logit_interval",
    "patient_weights",
    "percentile_interval",
    "pooled_freedom",
    "trials_for_zero_events",
    "wilson",
    "zero_event_bound",
]

Interval = tuple[float, float]
"""Lower and upper limit."""

_CHUNK = 256  # resamples drawn at once: bounds the memory of the index array
_LARGEST_EXPONENT = 50.0  # beyond it an interval spans the whole range anyway


def wilson(successes: int, trials: int, level: float = 0.95) -> Interval | None:
    """Two-sided Wilson score interval of a proportion (Wilson 1927, J. Am. Stat. Assoc. 22:209).

    It treats the trials as independent; frames of one patient are not. ``None`` without trials.
    """
    if trials == 0:
        return None
    z = NormalDist().inv_cdf(0.5 + level / 2)
    p = successes / trials
    scale = 1 + z * z / trials
    centre = (p + z * z / (2 * trials)) / scale
    half = z / scale * math.sqrt(p * (1 - p) / trials + z * z / (4 * trials * trials))
    # At 0 and at all successes one limit is the proportion itself; rounding must not say otherwise.
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == trials else centre + half
    return low, high


def clopper_pearson(successes: int, trials: int, alpha: float = 0.05) -> Interval:
    """Exact one-sided bounds of a proportion, each at level ``1 - alpha``.

    Clopper & Pearson 1934, Biometrika 26:404.

    Returns:
        Lower and upper bound; together they are the two-sided interval of level ``1 - 2 alpha``.

    Raises:
        MissingExtraError: SciPy, which comes with the ``evaluate`` extra, is not installed.
    """
    inverse_beta = require("scipy.special", "evaluate").betaincinv
    failures = trials - successes
    low = 0.0 if successes == 0 else float(inverse_beta(successes, failures + 1, alpha))
    high = 1.0 if failures == 0 else float(inverse_beta(successes + 1, failures, 1 - alpha))
    return low, high


def zero_event_bound(trials: int, alpha: float = 0.05) -> float:
    """Exact upper bound of an event's rate when n independent trials showed none: ``1 - alpha ** (1/n)``.

    The Clopper-Pearson bound at zero (Hanley & Lippman-Hand 1983, JAMA 249:1743); 1.0 without trials.
    """
    return 1.0 - alpha ** (1.0 / trials) if trials else 1.0


def trials_for_zero_events(rate: float, alpha: float = 0.05) -> int:
    """Fewest trials without an event that bound its rate below ``rate``: 149 for 0.02 at ``alpha`` 0.05."""
    trials = max(1, math.ceil(math.log(alpha) / math.log1p(-rate)))
    return trials if zero_event_bound(trials, alpha) < rate else trials + 1


def patient_weights(n_patients: int, resamples: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """How often each patient is drawn when as many patients are drawn with replacement.

    Returns:
        ``(resamples, n_patients)`` float64 counts; each row sums to ``n_patients``.
    """
    weights = np.empty((resamples, n_patients))
    for start in range(0, resamples, _CHUNK):
        rows = min(_CHUNK, resamples - start)
        drawn = rng.integers(n_patients, size=(rows, n_patients)) + n_patients * np.arange(rows)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=rows * n_patients)
        weights[start : start + rows] = counts.reshape(rows, n_patients)
    return weights


def percentile_interval(samples: NDArray[np.float64], level: float = 0.95) -> Interval | None:
    """Percentile interval of a resampled statistic (Efron 1979, Ann. Stat. 7:1).

    Args:
        samples: ``(R,)``; NaN where a resample could not be computed.
        level: two-sided confidence.

    Returns:
        ``None`` where fewer than half the resamples are numbers, or where all are equal: a statistic that
        resampling does not move has an unknown uncertainty, not a zero one.
    """
    finite = samples[np.isfinite(samples)]
    if finite.size * 2 < samples.size or finite.size == 0 or np.ptp(finite) < 1e-12:
        return None
    low, high = np.quantile(finite, [0.5 - level / 2, 0.5 + level / 2])
    return float(low), float(high)


def logit_interval(
    value: float, samples: NDArray[np.float64], freedom: float, level: float = 0.95, *, top: float = 1.0
) -> Interval | None:
    """Interval of a figure between 0 and ``top``: its log odds, plus and minus Student's t times their standard error.

    The standard error is the spread of the resamples, brought to the scale of the log odds by the delta method. With
    few patients, and near 0 or 1, this covers better than the percentiles of the resamples, which are too narrow there
    (proportions of cluster samples: Korn & Graubard 1998, Survey Methodology 24:193; areas under the ROC curve: Pepe
    2003, The Statistical Evaluation of Medical Tests for Classification and Prediction).

    Args:
        value: the figure over all patients.
        samples: ``(R,)`` the same of each resample; NaN where it could not be computed.
        freedom: degrees of freedom: patients behind the figure, less one.
        level: two-sided confidence.
        top: upper end of the figure's range; infinite for one without, whose logarithm is then taken.

    Returns:
        ``None`` at either end of the range, with less than one degree of freedom, where fewer than half the resamples
        are numbers, or where all are equal: a statistic that resampling does not move has an unknown uncertainty, not
        a zero one.

    Raises:
        MissingExtraError: SciPy, which comes with the ``evaluate`` extra, is not installed.
    """
    finite = samples[np.isfinite(samples)]
    if not 0 < value < top or freedom < 1 or finite.size < 2 or finite.size * 2 < samples.size:
        return None
    if np.ptp(finite) < 1e-12:
        return None
    t = float(require("scipy.special", "evaluate").stdtrit(freedom, 0.5 + level / 2))
    slope = 1 / value + 1 / (top - value)
    factor = math.exp(min(t * float(finite.std(ddof=1)) * slope, _LARGEST_EXPONENT))
    if math.isinf(top):
        return value / factor, value * factor
    return top * value / (value + (top - value) * factor), top * value * factor / (top - value + value * factor)


def pooled_freedom(variances: NDArray[np.float64], freedom: NDArray[np.float64]) -> float:
    """Degrees of freedom of a sum of estimates (Satterthwaite 1946, Biometrics Bulletin 2:110).

    Args:
        variances: ``(K,)`` of the estimates.
        freedom: ``(K,)`` of each; those without variance do not matter.

    Returns:
        Between the smallest of those that vary and their sum; 0 where none varies or one has less than 1.
    """
    varies = variances > 0
    if not varies.any() or freedom[varies].min() < 1:
        return 0.0
    return float(variances.sum() ** 2 / (variances[varies] ** 2 / freedom[varies]).sum())


def clustered_ratios(
    events: NDArray[np.float64], trials: NDArray[np.float64], weights: NDArray[np.float64], level: float = 0.95
) -> list[Interval | None]:
    """Intervals of S proportions ``sum(events) / sum(trials)`` that resample patients, not frames: `logit_interval`.

    Where every trial or none has the event, resampling shows no variance: the limit is then exact, over the
    patients, each counted as one trial.

    Args:
        events: ``(P, S)`` events of each patient.
        trials: ``(P, S)`` trials of each patient.
        weights: ``(R, P)`` from ``patient_weights``.
        level: two-sided confidence.

    Returns:
        S intervals; ``None`` without trials, or where the only patient with trials has both outcomes.
    """
    with np.errstate(invalid="ignore"):
        samples = (weights @ events) / (weights @ trials)
    intervals: list[Interval | None] = []
    for s in range(events.shape[1]):
        n_patients = int(np.count_nonzero(trials[:, s]))
        hits, total = float(events[:, s].sum()), float(trials[:, s].sum())
        limit = zero_event_bound(n_patients, (1 - level) / 2)
        if n_patients == 0:
            intervals.append(None)
        elif hits == total:
            intervals.append((1.0 - limit, 1.0))
        elif hits == 0:
            intervals.append((0.0, limit))
        else:
            intervals.append(logit_interval(hits / total, samples[:, s], n_patients - 1, level))
    return intervals
