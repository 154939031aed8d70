from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge_cns.contract import InputSpec
from edge_cns.decision.verdict import State, Verdict
from edge_cns.frames import Frame, Region
from edge_cns.runtime.overlay import draw_overlay

SPEC = InputSpec(64, 64)
CAPTION = 46  # px


def verdict(heatmap: np.ndarray | None, label: str | None = "normal", reason: str = "uncalibrated") -> Verdict:
    return Verdict(
        state=State.CLASS if label else State.NO_SIGNAL,
        label=label,
        probability=0.9 if label else None,
        probabilities={label: 0.9} if label else {},
        reason=reason,
        sequence=0,
        captured_ns=0,
        emitted_ns=0,
        expires_ns=0,
        latency_ms=0.0,
        heatmap=heatmap,
        calibrated=False,
        proof="undecided",
    )


def hot(row: int, column: int, size: int = 8) -> np.ndarray:
    """Evidence at one place, against it elsewhere."""
    heatmap = np.full((size, size), -1, np.float32)
    heatmap[row, column] = 5
    return heatmap


def colourfulness(picture: np.ndarray) -> np.ndarray:
    """How far a BGR picture is from grey, by pixel, under the caption."""
    under = picture[CAPTION:].astype(int)
    return under.max(axis=2) - under.min(axis=2)


def grey_frame(height: int, width: int, level: int = 100) -> np.ndarray:
    return np.full((height, width), level, np.uint8)


@pytest.mark.parametrize(
    ("height", "width", "region"),
    [
        (600, 600, None),
        (500, 1000, None),  # padded above and below in the tensor
        (1000, 500, None),  # padded at the sides
        (600, 900, Region(300, 200, 400, 240)),
        (1080, 1920, Region(460, 90, 1000, 900)),
    ],
)
@pytest.mark.parametrize(("row", "column"), [(2, 2), (4, 3), (5, 5)])
def test_the_hot_spot_lands_where_the_map_says(height, width, region, row, column):
    frame = Frame(grey_frame(height, width), region=region or Region(0, 0, width, height))
    picture = draw_overlay(frame, verdict(hot(row, column)), SPEC)
    assert picture.shape == (CAPTION + height, width, 3)
    r = frame.region
    side = max(r.width, r.height)  # the tensor covers a square around the region
    x = r.x + r.width / 2 + ((column + 0.5) / 8 - 0.5) * side
    y = r.y + r.height / 2 + ((row + 0.5) / 8 - 0.5) * side
    colour = colourfulness(picture)
    rows, columns = np.nonzero(colour > 0.9 * colour.max())
    assert rows.mean() == pytest.approx(y, abs=side / 64)
    assert columns.mean() == pytest.approx(x, abs=side / 64)
    outside = colour.copy()
    outside[r.y : r.y + r.height, r.x : r.x + r.width] = 0
    assert outside.max() == 0, "nothing is drawn outside the region"


def test_the_strongest_evidence_is_red_and_the_rest_shows_through():
    picture = draw_overlay(Frame(grey_frame(640, 640)), verdict(hot(3, 4)), InputSpec(64, 64, "whole"))
    under = picture[CAPTION:]
    blue, green, red = under[int(3.5 * 80), int(4.5 * 80)].astype(int)
    assert red > green + 30
    assert red > blue + 30
    assert (under[600:, :200] == 100).all()


@pytest.mark.parametrize("heatmap", [np.full((8, 8), -2, np.float32), np.zeros((8, 8), np.float32), None])
def test_no_evidence_for_it_colours_nothing(heatmap):
    picture = draw_overlay(Frame(grey_frame(600, 600)), verdict(heatmap), SPEC)
    assert (picture[CAPTION:] == 100).all()


@pytest.mark.parametrize("shape", [(64, 64), (100, 64), (256, 173), (64, 2000), (2000, 64), (2160, 3840)])
@pytest.mark.parametrize("kind", ["grey", "colour", "16 bits", "16-bit colour"])
def test_any_frame(shape, kind):
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    if kind.startswith("16"):
        pixels = pixels.astype(np.uint16) * 256
    if kind.endswith("colour"):
        pixels = np.dstack([pixels] * 3)
    before = pixels.copy()
    picture = draw_overlay(Frame(pixels), verdict(hot(3, 3)), SPEC)
    assert picture.dtype == np.uint8
    height, width = shape
    factor = max(1.0, 480 / min(shape))
    assert picture.shape == (CAPTION + round(height * factor), round(width * factor), 3), "small frames are enlarged"
    assert np.array_equal(pixels, before), "the frame is not drawn on"


def test_the_words_fit_and_tell_the_remarks():
    frame = Frame(grey_frame(480, 480))
    plain, long, silent = (
        draw_overlay(frame, v, SPEC)[:CAPTION]
        for v in (
            verdict(None),
            verdict(None, label="a very long name of a class " * 6, reason="so many remarks " * 20),
            verdict(None, label=None, reason=""),
        )
    )
    for band in (plain, long, silent):
        assert band.max() > 100
        assert band[:, -4:].max() == 0, "cut off at the right"
    assert not np.array_equal(plain, silent)


def test_it_can_be_written_as_png(tiny_bundle, phantom_pixels):
    from edge_cns.runtime.classifier import load

    with load(tiny_bundle) as classifier:
        picture = draw_overlay(Frame(phantom_pixels), classifier.classify(phantom_pixels), classifier.contract.input)
    done, content = cv2.imencode(".png", picture)
    assert done
    assert np.array_equal(cv2.imdecode(content, cv2.IMREAD_COLOR), picture)
