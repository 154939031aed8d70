from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from edge_cns.decision.steady import Steady
from edge_cns.decision.verdict import State

CLASS, UNSURE, OTHER = State.CLASS, State.INDETERMINATE, State.NOT_SUPPORTED_VIEW


def show(frames, fps: float = 30.0, steady: Steady | None = None, start: float = 0.0):
    """What is shown after each of ``(state, label, probability)``."""
    steady = steady or Steady()
    return [steady.add(*frame, start + i / fps) for i, frame in enumerate(frames)]


def test_one_frame_is_no_statement_and_three_are():
    shown = show([(CLASS, "a", 0.9)] * 4)
    assert [s.state for s in shown] == [UNSURE, UNSURE, CLASS, CLASS]
    assert shown[-1].label == "a"
    assert abs(shown[-1].probability - 0.9) < 1e-12
    assert shown[-1].frames == 4


def test_slow_frames_are_shown_once_they_span_a_third_of_a_second():
    shown = show([(CLASS, "a", 0.9)] * 3, fps=3)
    assert [s.state for s in shown] == [UNSURE, CLASS, CLASS]


def test_a_flash_changes_nothing():
    frames = [(CLASS, "a", 0.9)] * 15 + [(CLASS, "b", 0.99)] * 3 + [(CLASS, "a", 0.9)] * 10
    assert {s.label for s in show(frames)[3:]} == {"a"}


def test_what_lasts_is_shown_within_the_window_and_not_both_ways_at_once():
    shown = show([(CLASS, "a", 0.9)] * 30 + [(CLASS, "b", 0.8)] * 21)
    labels = [s.label for s in shown[2:]]
    assert labels[-1] == "b"
    changes = [(x, y) for x, y in itertools.pairwise(labels) if x != y]
    assert changes in ([("a", "b")], [("a", None), (None, "b")]), "no flicker on the way"


def test_abstention_wins_over_disagreement():
    shown = show([(CLASS, "a", 0.9), (CLASS, "b", 0.9)] * 20)
    assert all(s.state is UNSURE and s.label is None and s.probability is None for s in shown[2:])


def test_it_forgets():
    steady = Steady()
    show([(CLASS, "a", 0.9)] * 10, steady=steady)
    steady.reset()
    assert show([(CLASS, "a", 0.9)], steady=steady, start=1.0)[0].state is UNSURE
    show([(CLASS, "a", 0.9)] * 10, steady=steady, start=1.1)
    assert show([(OTHER, None, None)] * 3, steady=steady, start=9.0)[-1].state is OTHER


frame = st.one_of(
    st.tuples(st.just(CLASS), st.sampled_from("abc"), st.floats(0.3, 1.0)),
    st.tuples(st.sampled_from([UNSURE, OTHER]), st.none(), st.none()),
)


@given(st.lists(frame, min_size=1, max_size=80), st.floats(2, 60))
def test_whatever_is_shown_most_of_the_recent_frames_say(frames, fps):
    for i, shown in enumerate(show(frames, fps)):
        recent = [f for k, f in enumerate(frames[: i + 1]) if k / fps >= i / fps - 0.7]
        assert (shown.label is None) == (shown.state is not CLASS) == (shown.probability is None)
        if shown.state is CLASS:
            saying = [f for f in recent if f[1] == shown.label]
            assert len(saying) >= 0.39 * len(recent)
            assert shown.frames == len(saying)
            assert min(f[2] for f in saying) - 1e-9 <= shown.probability <= max(f[2] for f in saying) + 1e-9
