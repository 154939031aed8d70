"""Drift: whether what the device sees lately is still distributed as the calibration's frames were.

Novelty and the largest probability are counted into the deciles of the calibration frames, and the population
stability index says how far the shares have moved:

    PSI = sum over bins of (now - then) * ln(now / then)

By the usual reading (Siddiqi 2006, "Credit Risk Scorecards") below 0.1 is no change, 0.1 to 0.25 some, above 0.25 a
shift to act on. Without any shift, n independent samples in B bins have a PSI of about ``(B - 1) / n`` (Yurdakul &
Naranjo 2020): 0.03 for 300. But frames of one patient resemble each other. If a window held five patients, half of the
variance being between patients, it would be flagged half of the time although nothing has changed; so samples are half
a minute apart, and a window reaches over 15 exams of ten minutes.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edge_cns.errors import BadInputError
from edge_cns.strict_json import load_json, parse

__all__ = ["CLEARED", "FLAGGED", "DriftMonitor", "DriftReference", "Histogram", "fit_reference", "psi"]

FLAGGED, CLEARED = 0.25, 0.2
"""PSI above which drift is flagged, and below which a flag is taken back."""

_BINS = 10
_MOST_BINS = 100
_WINDOW, _LEAST = 300, 100  # samples that are looked at, and without which nothing is said
_SPACING_SECONDS = 30.0  # of samples: neighbours say the same again
_RECORD = "calibration.json"


@dataclass(frozen=True, slots=True)
class Histogram:
    """Shares of a number's range.

    Attributes:
        edges: B - 1 rising numbers; bin b holds values from edge b - 1, which is in it, to edge b, which is not.
        shares: B positive numbers that sum to 1.

    Raises:
        BadInputError: they are not.
    """

    edges: tuple[float, ...]
    shares: tuple[float, ...]

    def __post_init__(self) -> None:
        rising = all(a < b for a, b in zip(self.edges, self.edges[1:], strict=False))
        if not rising or len(self.shares) != len(self.edges) + 1 or len(self.shares) > _MOST_BINS:
            raise BadInputError(f"a drift histogram has {len(self.shares)} shares, or edges that do not rise")
        if min(self.shares) <= 0 or not math.isclose(sum(self.shares), 1.0, abs_tol=1e-6):
            raise BadInputError(f"shares of a drift histogram are positive and sum to 1, not to {sum(self.shares):g}")

    def bin_of(self, value: float) -> int:
        """The bin of a finite number."""
        return int(np.searchsorted(self.edges, value, side="right"))


@dataclass(frozen=True, slots=True)
class DriftReference:
    """What the calibration's frames looked like.

    Attributes:
        novelty: of their novelty scores.
        confidence: of their largest probabilities.
        samples: frames behind it.
    """

    novelty: Histogram
    confidence: Histogram
    samples: int

    def to_json(self) -> dict[str, Any]:
        """JSON-ready."""
        value = asdict(self)
        for name in ("novelty", "confidence"):
            value[name] = {key: list(numbers) for key, numbers in value[name].items()}
        return value

    @classmethod
    def from_json(cls, value: Any) -> DriftReference:
        """Read what `to_json` gave.

        Raises:
            BadInputError: it is something else; the text names the field.
        """
        return parse(cls, value, f"{_RECORD}: drift")


class _Files(Protocol):
    """A bundle, as far as it matters here."""

    @property
    def files(self) -> Mapping[str, bytes]: ...


def fit_reference(
    novelty: NDArray[np.floating[Any]], confidence: NDArray[np.floating[Any]], weights: NDArray[np.floating[Any]]
) -> DriftReference:
    """Take the calibration's distributions.

    Args:
        novelty: ``(N,)`` scores of frames of supported views.
        confidence: ``(N,)`` largest probability of each, at the bundle's temperature.
        weights: ``(N,)`` positive; `edge_cns.decision.calibration.patient_shares` counts patients equally.

    Raises:
        BadInputError: no frames, or a number that is none.
    """
    if len(novelty) == 0 or not all(np.isfinite(values).all() for values in (novelty, confidence, weights)):
        raise BadInputError("a drift reference needs frames, each with a novelty and a probability; calibrate on more")
    shares = np.asarray(weights, np.float64) / np.sum(weights)
    return DriftReference(_histogram(novelty, shares), _histogram(confidence, shares), len(novelty))


def psi(then: NDArray[np.float64], now: NDArray[np.float64]) -> float:
    """Population stability index of two ``(B,)`` arrays of positive shares, each summing to 1."""
    return float(np.sum((now - then) * np.log(now / then)))


class DriftMonitor:
    """Compares the last 300 samples, at least half a minute apart, with the reference.

    Args:
        reference: the calibration's.
    """

    def __init__(self, reference: DriftReference) -> None:
        self._histograms = (reference.novelty, reference.confidence)
        self._then = tuple(np.array(histogram.shares) for histogram in self._histograms)
        self._counts = tuple(np.zeros(len(shares), np.int64) for shares in self._then)
        self._window: deque[tuple[int, int]] = deque()
        self._last: float | None = None
        self._psi: tuple[float, float] | None = None
        self._flag = False

    @classmethod
    def of(cls, bundle: _Files) -> DriftMonitor | None:
        """The monitor for a bundle whose calibration left a reference; ``None`` for another.

        Raises:
            BadInputError: the reference cannot be read.
        """
        content = bundle.files.get(_RECORD)
        record = None if content is None else load_json(content, _RECORD)
        value = record.get("drift") if isinstance(record, dict) else None
        return None if value is None else cls(DriftReference.from_json(value))

    def add(self, novelty: float, confidence: float, seconds: float) -> None:
        """Take in a frame of a supported view. Those within half a minute of the last sample are skipped.

        Args:
            novelty: its score; a frame is skipped if that is no number.
            confidence: its largest probability.
            seconds: when it was captured, by a clock that runs while frames are live.
        """
        if not (math.isfinite(novelty) and math.isfinite(confidence)):
            return
        if self._last is not None and 0 <= seconds - self._last < _SPACING_SECONDS:
            return
        self._last = seconds
        bins = (self._histograms[0].bin_of(novelty), self._histograms[1].bin_of(confidence))
        self._count(bins, 1)
        self._window.append(bins)
        if len(self._window) > _WINDOW:
            self._count(self._window.popleft(), -1)
        if len(self._window) >= _LEAST:
            self._judge()

    def status(self) -> dict[str, Any]:
        """``flag``, ``psi_novelty`` and ``psi_confidence`` (``None`` below 100 samples), and ``n`` samples."""
        novelty, confidence = self._psi or (None, None)
        return {"flag": self._flag, "psi_novelty": novelty, "psi_confidence": confidence, "n": len(self._window)}

    def _count(self, bins: tuple[int, int], change: int) -> None:
        for counts, index in zip(self._counts, bins, strict=True):
            counts[index] += change

    def _judge(self) -> None:
        values = []
        for then, counts in zip(self._then, self._counts, strict=True):
            # Half a sample a bin, spread as the reference is, so that an empty bin has a logarithm.
            prior = 0.5 * len(then)
            values.append(psi(then, (counts + prior * then) / (counts.sum() + prior)))
        self._psi = (values[0], values[1])
        self._flag = max(values) > (CLEARED if self._flag else FLAGGED)


def _histogram(values: NDArray[np.floating[Any]], shares: NDArray[np.float64]) -> Histogram:
    """Weighted deciles; where values are tied, bins are joined."""
    order = np.argsort(values, kind="stable")
    ordered, reached = np.asarray(values, np.float64)[order], np.cumsum(shares[order])
    wanted = np.arange(1, _BINS) / _BINS
    at = np.minimum(np.searchsorted(reached, wanted - 1e-9, side="right") + 1, len(ordered) - 1)
    edges = np.unique(ordered[at])
    edges = edges[edges > ordered[0]]  # nothing lies below the smallest
    counted = np.bincount(np.searchsorted(edges, values, side="right"), shares, len(edges) + 1)
    return Histogram(tuple(edges.tolist()), tuple((counted / counted.sum()).tolist()))
