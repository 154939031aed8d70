"""The four rules of `edge_cns.decision.aggregation` frame by frame, for an exam that is still going on.

Memory does not grow with the exam: the rules that are sums keep one sum a class, and sustained evidence keeps only the
frames of the last window that may still raise a level.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_cns.contract import Aggregation
from edge_cns.decision.aggregation import ROUNDING, class_scores, frame_evidence
from edge_cns.errors import BadInputError

__all__ = ["Accumulator", "Weigher"]


class Weigher:
    """`frame_weights` frame by frame."""

    def __init__(self, aggregation: Aggregation) -> None:
        self._aggregation = aggregation
        self._last: float | None = None
        self._timed: bool | None = None

    def weigh(self, seconds: float | None) -> float:
        """How much of the next frame is new, 0 to 1.

        Args:
            seconds: capture time, not before the last frame's; ``None`` for a still, an acquisition of its own.

        Raises:
            BadInputError: some frames have a time and some have none.
        """
        timed = seconds is not None
        if self._timed not in (None, timed):
            raise BadInputError("an exam has frames with a capture time and frames without; give all one, or none")
        self._timed = timed
        if seconds is None:
            return 1.0
        last, self._last = self._last, seconds if self._last is None else max(seconds, self._last)
        return 1.0 if last is None else min(1.0, max(0.0, (seconds - last) / self._aggregation.correlation_seconds))


class Accumulator:
    """Gathers the frames of one exam; `scores` is what `aggregate` gives for all frames so far.

    Args:
        aggregation: rule and its numbers.
        n_classes: K.
        negative: index of the class that means none of the findings.

    Attributes:
        frames: sum of the weights so far: how many frames these are worth, neighbours discounted.
    """

    def __init__(self, aggregation: Aggregation, n_classes: int, negative: int | None = None) -> None:
        self._aggregation = aggregation
        self._negative = negative
        self._sum = np.zeros(n_classes)
        self._sustained = _Sustained(aggregation, n_classes) if aggregation.rule == "sustained_evidence" else None
        self._weigher = Weigher(aggregation)
        self.frames = 0.0

    def add(self, probabilities: NDArray[np.float64], seconds: float | None = None) -> float:
        """Take in a frame.

        Args:
            probabilities: ``(K,)`` summing to 1.
            seconds: see `Weigher.weigh`, as for what is raised.

        Returns:
            Its weight, 0 to 1; a frame of weight 0 changes nothing.
        """
        weight = self._weigher.weigh(seconds)
        if weight > 0:
            self.frames += weight
            if self._sustained is None:
                self._sum += weight * frame_evidence(probabilities, self._aggregation)
            else:
                self._sustained.add(probabilities, weight, seconds)
        return weight

    def scores(self) -> NDArray[np.float64] | None:
        """``(K,)`` float64 summing to 1; ``None`` before the first frame."""
        if self.frames == 0:
            return None
        gathered = self._sum if self._sustained is None else self._sustained.levels()
        frames = np.array([self.frames])
        return np.asarray(class_scores(gathered[None], frames, self._aggregation, self._negative)[0])


class _Sustained:
    """Highest level that enough frames within one window reach, of each class.

    A window that ends with the newest frame and one that starts with the oldest in it are the same windows. A frame can
    only raise the level of a class in which it stands above it, and those frames weigh less than is needed; the others
    are forgotten.
    """

    def __init__(self, aggregation: Aggregation, n_classes: int) -> None:
        self._needed = aggregation.frames - ROUNDING
        self._window = aggregation.window_seconds
        self._best = np.zeros(n_classes)
        self._least = np.ones(n_classes)  # of all frames, while they are fewer than needed
        self._weight = 0.0
        self._span = [0.0, 0.0]
        self._seconds = np.empty(0)
        self._weights = np.empty(0)
        self._values = np.empty((0, n_classes))

    def add(self, probabilities: NDArray[np.float64], weight: float, seconds: float | None) -> None:
        now = 0.0 if seconds is None else seconds
        if self._weight < self._needed:
            self._span = [self._span[0] if self._weight else now, now]
            self._least = np.minimum(self._least, probabilities)
        self._weight += weight
        if not (probabilities > self._best).any():
            return
        kept = (self._seconds + self._window >= now) & (self._values > self._best).any(axis=1)
        self._seconds = np.append(self._seconds[kept], now)
        self._weights = np.append(self._weights[kept], weight)
        self._values = np.concatenate([self._values[kept], probabilities[None]])
        above = self._weights @ (self._values > self._best)
        for c in np.flatnonzero(above >= self._needed):
            falling = np.argsort(-self._values[:, c], kind="stable")
            reached = np.cumsum(self._weights[falling]) >= self._needed
            self._best[c] = self._values[falling[reached.argmax()], c]

    def levels(self) -> NDArray[np.float64]:
        if self._weight >= self._needed:
            return self._best
        within = self._span[0] + self._window >= self._span[1]
        return self._least if within else np.zeros_like(self._least)
