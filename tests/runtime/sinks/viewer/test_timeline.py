from __future__ import annotations

from edge_cns.runtime.sinks.viewer.timeline import Run, Timeline

SECOND = 1_000_000_000


def test_runs_begin_where_something_changes():
    timeline = Timeline()
    for at, kind in ((0, "clear"), (0.5, "clear"), (1, "review"), (1.5, "review"), (2, "clear")):
        timeline.note(int(at * SECOND), kind, None)
    assert timeline.runs == [Run(0, "clear", None), Run(1000, "review", None), Run(2000, "clear", None)]
    assert timeline.elapsed_ms(5 * SECOND) == 5000


def test_silence_is_no_statement():
    timeline = Timeline()
    timeline.note(10 * SECOND, "review", None)
    timeline.note(40 * SECOND, "review", None)
    assert timeline.runs == [Run(0, "review", None), Run(500, "no_signal", None), Run(30_000, "review", None)]


def test_time_does_not_run_back():
    timeline = Timeline()
    timeline.note(10 * SECOND, "clear", None)
    timeline.note(9 * SECOND, "review", None)
    assert [run.start_ms for run in timeline.runs] == [0, 0]


def test_another_exam_begins_at_zero():
    timeline = Timeline()
    timeline.note(10 * SECOND, "review", "cyst")
    epoch = timeline.epoch
    timeline.clear()
    assert timeline.runs == []
    assert timeline.epoch != epoch
    assert timeline.elapsed_ms(99 * SECOND) == 0
    timeline.note(20 * SECOND, "clear", None)
    assert timeline.runs == [Run(0, "clear", None)]


def test_it_does_not_grow_without_end():
    timeline = Timeline()
    for i in range(10_000):
        timeline.note(i * SECOND // 2, ("clear", "review")[i % 2], None)
    assert 1000 <= len(timeline.runs) <= 2000
    assert timeline.epoch > 0
    assert timeline.runs[-1].start_ms == 9_999 * 500
