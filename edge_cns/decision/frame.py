"""The rule that turns one frame's scores into a statement, or into an abstention with its reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_cns.contract import Decision
from edge_cns.decision.conformal import prediction_set, single_class
from edge_cns.decision.verdict import State

__all__ = ["FrameDecision", "decide"]


@dataclass(frozen=True, slots=True)
class FrameDecision:
    """What may be said of a frame.

    Attributes:
        state: ``class``, ``indeterminate`` or ``not_supported_view``.
        index: the class that is stated; ``None`` unless the state is ``class``.
        reason: why nothing is stated, one line; empty with a class.
    """

    state: State
    index: int | None
    reason: str = ""


def decide(
    probabilities: NDArray[np.float64], names: Sequence[str], decision: Decision, *, novelty: float | None = None
) -> FrameDecision:
    """Judge one frame: first whether it is a supported view, then whether exactly one class fits it.

    Args:
        probabilities: ``(K,)`` at the decision's temperature.
        names: K class names.
        decision: the contract's rules; without any, the largest probability is stated.
        novelty: the frame's score; needed where the decision has a rule for it.
    """
    rule = decision.novelty
    # Written so that a score that is no number is not taken for a supported view.
    if rule is not None and (novelty is None or not novelty <= rule.threshold):
        seen = "none" if novelty is None else f"{novelty:.2f}"
        return FrameDecision(
            State.NOT_SUPPORTED_VIEW, None, f"not a supported view (novelty {seen}, limit {rule.threshold:.2f})"
        )
    if decision.conformal is None:
        return FrameDecision(State.CLASS, int(probabilities.argmax()))
    members = prediction_set(probabilities, decision.conformal)
    index = single_class(members)
    if index is not None:
        return FrameDecision(State.CLASS, index)
    coverage = f"at {decision.conformal.coverage:.0%} coverage"
    fitting = [names[c] for c in np.argsort(-probabilities, kind="stable") if members[c]]
    reason = f"could be {' or '.join(fitting)} {coverage}" if fitting else f"no class fits {coverage}"
    return FrameDecision(State.INDETERMINATE, None, reason)
