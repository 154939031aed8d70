"""What a display shows: the newest frames together, with hysteresis, so that it neither flickers nor lags."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass

from edge_cns.decision.verdict import State

__all__ = ["Shown", "Steady"]

_WINDOW_S = 0.7
_ENTER = 0.6  # more than this share of the frames have to agree before a statement is shown
_STAY = 0.4  # share below which it goes
_FEWEST = 3  # frames that agree, unless all span as long as below
_SETTLED_S = 0.3


@dataclass(frozen=True, slots=True)
class Shown:
    """The steady statement.

    Attributes:
        state: ``class``, ``indeterminate`` or ``not_supported_view``.
        label: the class; ``None`` unless the state is ``class``.
        probability: mean over the frames that say so; ``None`` without a label.
        frames: how many frames of the window say so.
    """

    state: State
    label: str | None
    probability: float | None
    frames: int


class Steady:
    """Gathers frame verdicts of the last 0.7 s. What it shows always holds for most of them."""

    def __init__(self) -> None:
        self._frames: deque[tuple[float, State, str | None, float]] = deque()
        self._shown: tuple[State, str | None] = (State.INDETERMINATE, None)

    def reset(self) -> None:
        """Forget: what comes next has nothing to do with what was."""
        self._frames.clear()
        self._shown = (State.INDETERMINATE, None)

    def add(self, state: State, label: str | None, probability: float | None, seconds: float) -> Shown:
        """Take in a frame's verdict.

        Args:
            state: ``class``, ``indeterminate`` or ``not_supported_view``.
            label, probability: of a class.
            seconds: capture time, not before the last frame's.
        """
        self._frames.append((seconds, state, label, probability or 0.0))
        while self._frames[0][0] < seconds - _WINDOW_S:
            self._frames.popleft()
        counts = Counter((was, named) for _, was, named, _ in self._frames)
        (best, agreeing), total = counts.most_common(1)[0], len(self._frames)
        if counts[self._shown] < _STAY * total or agreeing > _ENTER * total:
            settled = agreeing >= _FEWEST or seconds - self._frames[0][0] >= _SETTLED_S
            self._shown = best if agreeing > _ENTER * total and settled else (State.INDETERMINATE, None)
        said = [p for _, was, named, p in self._frames if (was, named) == self._shown]
        label = self._shown[1]
        mean = sum(said) / len(said) if said and label is not None else None
        return Shown(self._shown[0], label if mean is not None else None, mean, len(said))
