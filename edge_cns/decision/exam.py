"""Frames accumulate into a statement over an exam: the live runtime and evaluation use the same object.

Only frames of a supported view count, and neighbouring frames count for what is new in them. The rules:

- A *finding* is stated when its score reaches its threshold, no other finding comes near it, the negative class does
  not speak louder, and enough frames show it by themselves.
- *No listed finding* is stated when the negative class reaches its threshold, no finding comes near its own, every
  required view was seen, and the frames were neither more often held back nor stranger than is usual in calibration
  patients without a finding: an anomaly that nobody listed may show itself by that alone.
- Otherwise the exam is *indeterminate*, and the reason says what is missing; without a single supported frame it is
  *not a supported view*.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edge_cns.contract import Contract
from edge_cns.decision.accumulator import Accumulator, Weigher
from edge_cns.decision.aggregation import ROUNDING
from edge_cns.decision.statement import ExamStatement, Outcome
from edge_cns.errors import BadInputError

__all__ = ["Exam"]

_DOMINANCE = 2.0  # a finding is ahead of another when its score is twice the other's
_NEAR = 0.8  # share of its threshold from which a finding is too near to be called absent
_SEEN = 0.5  # of a frame's full weight: how much of a live view must be seen
_SHOWN = 16  # frames named behind a finding
_SUM_TOLERANCE = 1e-3


@dataclass(slots=True)
class _View:
    """What was seen of a view: supported frames, and their weight."""

    frames: int = 0
    weight: float = 0.0


@dataclass(slots=True)
class _Support:
    """Frames that show a class by themselves: their weight, and the best of each correlation time."""

    weight: float = 0.0
    best: list[tuple[float, float, int]] = field(default_factory=list)  # probability, seconds, sequence


class Exam:
    """An exam that is going on. Memory does not grow with it.

    Args:
        contract: of the bundle; without calibration every statement is indeterminate.

    Example:
        >>> exam = Exam(contract)  # doctest: +SKIP
        >>> exam.add(probabilities, supported=True, single=3, view="transthalamic", seconds=0.1, sequence=7)
        >>> exam.statement().outcome
        <Outcome.INDETERMINATE: 'indeterminate'>
    """

    def __init__(self, contract: Contract) -> None:
        self._names = contract.class_names
        self._rule = contract.decision.exam
        negative = self._rule.negative if self._rule else None
        self._negative = None if negative is None else self._names.index(negative)
        self.reset()

    def reset(self) -> None:
        """Forget all frames: another exam begins."""
        self._n_frames = self._n_supported = 0
        self._timed = False
        self._views: defaultdict[str, _View] = defaultdict(_View)
        self._support: defaultdict[int, _Support] = defaultdict(_Support)
        self._offered = self._abstained = self._strangeness = 0.0
        if self._rule is not None:
            self._clock = Weigher(self._rule.aggregation)
            self._gathered = Accumulator(self._rule.aggregation, len(self._names), self._negative)

    def add(
        self,
        probabilities: NDArray[np.float64],
        *,
        supported: bool,
        single: int | None,
        view: str | None,
        seconds: float | None,
        sequence: int,
        novelty: float | None = None,
    ) -> None:
        """Take in a frame.

        Args:
            probabilities: ``(K,)`` calibrated, summing to 1.
            supported: whether it is a supported view; of others only the number counts.
            single: the class of its conformal set if that has exactly one, else ``None``.
            view: recognised plane, or ``None``.
            seconds: capture time on a clock that does not go back; ``None`` for stills.
            sequence: number of the frame, for the statement.
            novelty: the frame's score, if there is one.

        Raises:
            BadInputError: probabilities that do not sum to 1, or some frames with a time and some without.
        """
        if probabilities.shape != (len(self._names),) or not abs(probabilities.sum() - 1) <= _SUM_TOLERANCE:
            raise BadInputError(
                f"frame {sequence}: probabilities of shape {probabilities.shape} with sum {probabilities.sum():.4g}; "
                f"give {len(self._names)} that sum to 1"
            )
        self._n_frames += 1
        self._n_supported += supported
        if self._rule is None:
            return
        self._timed = seconds is not None
        weight = self._clock.weigh(seconds)
        self._offered += weight
        if not supported or single is None:
            self._abstained += weight
        if supported:
            # Without a score the mean is no number, which is never within a limit.
            self._strangeness += self._gathered.add(probabilities, seconds) * (np.nan if novelty is None else novelty)
            self._count(weight, probabilities, single, view, seconds, sequence)

    def scores(self) -> NDArray[np.float64] | None:
        """``(K,)`` float64 summing to 1: the classes' scores so far; ``None`` before the first supported frame."""
        return None if self._rule is None else self._gathered.scores()

    def statement(self) -> ExamStatement:
        """What may be said so far."""
        if self._rule is None:
            return self._say(Outcome.INDETERMINATE, "uncalibrated")
        if self._n_frames == 0:
            return self._say(Outcome.INDETERMINATE, "no frame yet")
        scores = self.scores()
        if scores is None:
            return self._say(Outcome.NOT_SUPPORTED_VIEW, f"no supported view on {self._n_frames} frames")
        findings = [c for c in range(len(self._names)) if c != self._negative]
        reached = [c for c in findings if scores[c] >= self._rule.thresholds[c]]
        if reached:
            return self._judge(scores, max(findings, key=lambda c: float(scores[c])), reached)
        return self._exclude(scores, findings)

    def _count(
        self,
        weight: float,
        probabilities: NDArray[np.float64],
        single: int | None,
        view: str | None,
        seconds: float | None,
        sequence: int,
    ) -> None:
        """Book a supported frame under its view and under the class that it shows by itself.

        Here it counts for the time since the last frame of any kind: a flash among frames of nothing is a flash.
        """
        views = {view} if view is not None else set()
        if single is not None:
            views |= {self._names[single]} & set(self._required)  # where classes are views, such as planes
            support = self._support[single]
            support.weight += weight
            self._remember(support, (float(probabilities[single]), seconds or 0.0, sequence))
        for name in views:
            self._views[name].frames += 1
            self._views[name].weight += weight

    def _remember(self, support: _Support, frame: tuple[float, float, int]) -> None:
        """Keep the best frame of each correlation time, and of those the best few."""
        best = support.best
        assert self._rule is not None
        apart = self._rule.aggregation.correlation_seconds
        if self._timed and best and frame[1] - best[-1][1] < apart:
            if frame[0] > best[-1][0]:
                best[-1] = (frame[0], best[-1][1], frame[2])
            return
        best.append(frame)
        if len(best) > _SHOWN:
            best.remove(min(best[:-1]))

    @property
    def _required(self) -> tuple[str, ...]:
        return () if self._rule is None else self._rule.required_views

    def _judge(self, scores: NDArray[np.float64], top: int, reached: list[int]) -> ExamStatement:
        """One or more findings have reached their thresholds; ``top`` has the largest score of all findings."""
        assert self._rule is not None
        name, negative = self._names[top], self._negative
        rivals = [c for c in reached if c != top and _DOMINANCE * scores[c] > scores[top]]
        if top not in reached or rivals:
            others = sorted(self._names[c] for c in (rivals or reached))
            return self._say(
                Outcome.INDETERMINATE, f"evidence for {name} and for {', '.join(others)}: neither is ahead"
            )
        if negative is not None and scores[negative] >= max(scores[top], self._rule.thresholds[negative]):
            return self._say(Outcome.INDETERMINATE, f"some evidence for {name}, and more against every listed finding")
        needed = self._rule.aggregation.frames if self._timed else 1
        support = self._support.get(top, _Support())
        if support.weight < needed - ROUNDING:
            return self._say(
                Outcome.INDETERMINATE,
                f"evidence for {name}, but only {support.weight:.1f} of {needed} frames show it by themselves",
            )
        shown = tuple(sequence for _, _, sequence in support.best)
        return self._say(Outcome.FINDING, f"finding: {name}", label=name, score=float(scores[top]), frames=shown)

    def _exclude(self, scores: NDArray[np.float64], findings: list[int]) -> ExamStatement:
        """No finding has reached its threshold: that is no statement yet."""
        assert self._rule is not None
        missing, thresholds = self._missing(), self._rule.thresholds
        near = [self._names[c] for c in findings if scores[c] >= _NEAR * thresholds[c]]
        if self._negative is None:
            reason = "no class reaches its threshold"
        elif missing:
            reason = f"these views are missing: {', '.join(missing)}"
        elif near:
            reason = f"too much evidence to exclude {', '.join(near)}, too little to state it"
        elif scores[self._negative] < thresholds[self._negative]:
            reason = "not enough evidence for any statement"
        else:
            reason = self._unusual()
        if reason:
            return self._say(Outcome.INDETERMINATE, reason)
        seen = ", ".join(self._seen()) or "they were not told apart"
        return self._say(Outcome.NO_LISTED_FINDING, f"none of the listed findings in the views analysed: {seen}")

    def _unusual(self) -> str:
        """What sets the exam apart from those in which nothing is found; empty if nothing does."""
        assert self._rule is not None
        frames, rule = self._gathered.frames, self._rule
        if frames < rule.aggregation.frames - ROUNDING:
            return f"only {frames:.1f} of the {rule.aggregation.frames} frames needed"
        held_back = self._abstained / self._offered
        if held_back > rule.clear_abstention:
            return f"{held_back:.0%} of the frames were held back; up to {rule.clear_abstention:.0%} is usual"
        strangeness = self._strangeness / frames
        if rule.clear_novelty is not None and not strangeness <= rule.clear_novelty:
            return (
                f"the frames are stranger than usual (novelty {strangeness:.2f}, usual up to {rule.clear_novelty:.2f})"
            )
        return ""

    def _enough(self, name: str) -> bool:
        """Whether enough of a view was seen: a still, or more than a glimpse of live frames."""
        view = self._views.get(name, _View())
        return view.weight >= _SEEN and (view.frames > 1 or not self._timed)

    def _seen(self) -> tuple[str, ...]:
        return tuple(sorted(name for name in self._views if self._enough(name)))

    def _missing(self) -> tuple[str, ...]:
        return tuple(name for name in self._required if not self._enough(name))

    def _say(
        self,
        outcome: Outcome,
        reason: str,
        *,
        label: str | None = None,
        score: float | None = None,
        frames: tuple[int, ...] = (),
    ) -> ExamStatement:
        return ExamStatement(
            outcome, label, score, reason, self._seen(), self._missing(), frames, self._n_frames, self._n_supported
        )
