from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edge_cns.contract import InputSpec
from edge_cns.decision.verdict import State
from edge_cns.frames import Frame, Region
from edge_cns.runtime.live_overlay import NO_FRAME_SIZE, draw_live, live_size
from edge_cns.runtime.sinks.base import Record
from tests.runtime.sinks.made import no_signal, verdict

SPEC = InputSpec(64, 64)
BAND = 84  # px
SIZE = (640, 564)


def drawn(
    record: Record, after_ms: float = 10.0, size: tuple[int, int] = SIZE, frame: Frame | None = None
) -> np.ndarray:
    return draw_live(record, SPEC, size, now_ns=record.value["emitted_ns"] + int(after_ms * 1e6), frame=frame)


def grey(level: int = 100, height: int = 480, width: int = 640) -> np.ndarray:
    return np.full((height, width), level, np.uint8)


def border(picture: np.ndarray) -> np.ndarray:
    """The top edge under the words, as bright and dark."""
    return picture[BAND + 5, :, 0] > 128


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((480, 640), (640, 564)),
        ((1080, 1920), (1280, 804)),
        ((64, 64), (480, 564)),
        ((100, 173), (830, 564)),
        ((64, 8192), (1280, 324)),
        ((8192, 64), (480, 1364)),
    ],
)
@pytest.mark.parametrize("kind", ["grey", "colour", "16 bits"])
def test_any_frame_has_a_size(shape, size, kind):
    pixels = grey(100, *shape)
    if kind != "grey":
        pixels = np.dstack([pixels] * 3) if kind == "colour" else pixels.astype(np.uint16) * 256
    record = verdict(pixels=pixels)
    assert live_size(record.frame) == size
    picture = drawn(record, size=size)
    assert (picture.shape, picture.dtype) == ((size[1], size[0], 3), np.uint8)
    assert (picture[BAND + (size[1] - BAND) // 2, size[0] // 2] == 100).all()


def test_a_live_verdict_shows_the_frame_and_the_evidence_in_its_region():
    record = verdict(pixels=grey(), region=Region(320, 0, 320, 480))
    plain = drawn(record)
    assert (plain[BAND:] == 100).all(), "no border, no words over the image"
    heatmap = np.full((8, 8), -1, np.float32)
    heatmap[3, 4] = 5
    hot = drawn(replace(record, verdict=replace(record.verdict, heatmap=heatmap)))
    changed = np.nonzero((hot != plain).any(axis=2))[1]
    assert changed.min() >= 320, "only in the region"


def test_words_differ_where_the_statement_does():
    records = [
        verdict(pixels=grey()),
        verdict(pixels=grey(), label="normal"),
        verdict(pixels=grey(), probability=0.8),
        verdict(pixels=grey(), reason="uncalibrated"),
        verdict(pixels=grey(), steady={"state": "indeterminate", "label": None, "probability": None}),
        verdict(pixels=grey(), fallback="accelerator died"),
        verdict(pixels=grey(), view="transthalamic"),
        verdict(pixels=grey(), state=State.INDETERMINATE, label=None, probability=None),
        verdict(pixels=grey(), state=State.NOT_SUPPORTED_VIEW, label=None, probability=None),
    ]
    bands = [drawn(record)[:BAND].tobytes() for record in records]
    bands.append(drawn(records[0], after_ms=200)[:BAND].tobytes())
    assert len(set(bands)) == len(bands), "each of them, and the age, can be read"


def test_frozen_is_told_by_stripes_bars_and_words():
    live = drawn(verdict(pixels=grey()))
    announced = drawn(verdict(pixels=grey(), state=State.FROZEN, frozen="announced"), after_ms=60_000)
    stalled = drawn(verdict(pixels=grey(), state=State.FROZEN, label=None, probability=None, frozen="stalled"))
    for picture in (announced, stalled):
        assert 0.4 < border(picture).mean() < 0.6, "striped"
        assert picture[BAND + 30 : BAND + 75, 30:40].min() == 255, "pause bars"
        assert (picture[BAND + 200, 320] == 100).all(), "the image is still there"
    words = [picture[-60:, 40:600].tobytes() for picture in (live, announced, stalled)]
    assert len(set(words)) == 3


def test_a_frozen_image_that_came_without_its_frame_shows_the_last_one():
    record = verdict(state=State.FROZEN, frozen="stalled", with_frame=False)
    assert (drawn(record, frame=Frame(grey(77)))[BAND + 200, 320] == 77).all()
    assert (drawn(record)[BAND + 200, 320] == 0).all()


@pytest.mark.parametrize(
    ("record", "after_ms"),
    [
        (no_signal(), 10),
        (no_signal(reason=""), 10),
        (verdict(pixels=grey(200)), 500),
        (verdict(pixels=grey(200), state=State.NOT_SUPPORTED_VIEW, label=None), 500),
        (replace(verdict(pixels=grey(200)), verdict=None), 10),
    ],
)
def test_no_signal_shows_no_image_and_no_class(record, after_ms):
    """So does a verdict that has expired: nobody is shown yesterday's answer."""
    picture = drawn(record, after_ms, frame=Frame(grey(200)))
    corner = (picture[BAND + 30, 250] == 40).all()
    assert corner, "a slate"
    assert 0.4 < border(picture).mean() < 0.6, "squares"
    slate = picture[BAND + 20 : -20, 20:-20, 0]
    assert (slate == 110).any(), "a cross"
    plain = drawn(no_signal(reason=record.value["reason"] or "no reason given"))
    assert np.array_equal(picture[:28], plain[:28]), "the headline is no signal, whatever the record names"


def test_the_two_borders_differ():
    frozen = drawn(verdict(pixels=grey(), state=State.FROZEN, frozen="announced"))
    gone = drawn(no_signal())
    assert not np.array_equal(border(frozen), border(gone))


def test_research_use_only_is_always_in_it():
    """The line is the same in all pictures without a reason."""
    lines = {
        drawn(record)[48:BAND, :110].tobytes()
        for record in (
            verdict(pixels=grey()),
            verdict(pixels=grey(), state=State.FROZEN, frozen="announced"),
            verdict(pixels=grey(), state=State.INDETERMINATE, label=None, probability=None),
        )
    }
    assert len(lines) == 1
    assert max(lines.pop()) > 128


@pytest.mark.parametrize(
    "changes",
    [
        {"state": "something new"},
        {"steady": None, "frozen": None, "fallback": None, "reason": None},
        {"label": "ş" * 500, "reason": "x" * 5000},
        {"reason": "could be anencephaly or rachischisis or normal at 90% coverage, " * 3},
        {"reason": "x" * 400},
        {"label": "two\nlines\x00", "probability": "much"},
    ],
)
def test_odd_values_are_drawn_all_the_same(changes):
    record = verdict(pixels=grey())
    picture = drawn(replace(record, value={**record.value, **changes}))
    assert picture[:BAND, -4:].max() == 0, "nothing is cut off"
    assert picture[:BAND].max() > 128


def test_without_any_frame_there_is_a_size_too():
    assert drawn(no_signal(), size=NO_FRAME_SIZE).shape == (NO_FRAME_SIZE[1], NO_FRAME_SIZE[0], 3)
