from __future__ import annotations

import numpy as np
import pytest

from edge_cns.contract import ConformalRule, Decision, NoveltyRule
from edge_cns.decision.frame import decide
from edge_cns.decision.verdict import State

NAMES = ("head", "heart", "leg")
DIGEST = "0" * 64
SURE = np.array([0.05, 0.9, 0.05])


def calibrated(**rules: object) -> Decision:
    return Decision(calibrated=True, model_sha256=DIGEST, **rules)


def test_without_rules_the_largest_is_stated():
    said = decide(np.array([0.3, 0.3, 0.4]), NAMES, Decision())
    assert (said.state, said.index, said.reason) == (State.CLASS, 2, "")


@pytest.mark.parametrize(
    ("probabilities", "state", "index", "reason"),
    [
        ([0.05, 0.9, 0.05], State.CLASS, 1, ""),
        ([0.55, 0.44, 0.01], State.INDETERMINATE, None, "could be head or heart at 90% coverage"),
        ([0.41, 0.57, 0.02], State.INDETERMINATE, None, "could be heart or head at 90% coverage"),
        ([0.3, 0.3, 0.4], State.INDETERMINATE, None, "no class fits at 90% coverage"),
    ],
)
def test_a_class_is_stated_only_alone(probabilities, state, index, reason):
    rule = ConformalRule(0.9, (0.4, 0.4, 0.5))
    said = decide(np.array(probabilities), NAMES, calibrated(conformal=rule))
    assert (said.state, said.index, said.reason) == (state, index, reason)


@pytest.mark.parametrize(("novelty", "supported"), [(2.5, True), (2.6, False), (float("nan"), False), (None, False)])
def test_a_strange_frame_is_no_supported_view_however_sure_the_classifier_is(novelty, supported):
    said = decide(SURE, NAMES, calibrated(novelty=NoveltyRule(2.5, 0.05)), novelty=novelty)
    assert said.state is (State.CLASS if supported else State.NOT_SUPPORTED_VIEW)
    assert said.index == (1 if supported else None)
    assert supported or "limit 2.50" in said.reason


def test_novelty_comes_before_the_set():
    rules = calibrated(novelty=NoveltyRule(2.5, 0.05), conformal=ConformalRule(0.9, (0.0, 0.0, 0.0)))
    assert decide(SURE, NAMES, rules, novelty=9.0).state is State.NOT_SUPPORTED_VIEW
    assert decide(SURE, NAMES, rules, novelty=1.0).state is State.INDETERMINATE
