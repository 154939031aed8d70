"""What cannot be read is refused; what only looks a little like it is not."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_cns.contract import InputSpec
from edge_cns.data.phantom import CLASSES, PLANES, draw_patient, render
from edge_cns.frames import Frame, Region
from edge_cns.mode import COLOUR, DUAL, is_coloured, is_dual
from edge_cns.preprocess import image, prepare
from edge_cns.region import find_parts

SPEC = InputSpec(64, 64)


@pytest.fixture(scope="module")
def fans() -> list[np.ndarray]:
    return [
        render(draw_patient(CLASSES[i % 5], seed=i), plane, view=i, size=256).pixels for i, plane in enumerate(PLANES)
    ]


def with_flow(fan: np.ndarray, radius: int, seed: int = 0) -> np.ndarray:
    """A colour box with flow to and from the probe, after JPEG."""
    picture = cv2.cvtColor(fan, cv2.COLOR_GRAY2BGR)
    for number, colour in enumerate(((30, 60, 220), (220, 90, 30))):
        centre = np.random.default_rng([seed, number]).integers(90, 160, 2).tolist()
        cv2.circle(picture, centre, radius, colour, -1)
    return cv2.imdecode(cv2.imencode(".jpg", picture)[1], cv2.IMREAD_COLOR)


def side_by_side(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    screen = np.zeros((768, 1024), np.uint8)
    screen[140:620, 20:500] = cv2.resize(one, (480, 480))
    screen[140:620, 524:1004] = cv2.resize(other, (480, 480))
    return screen


def test_grey_is_no_colour(fans):
    for fan in fans:
        assert not is_coloured(fan)
        assert not is_coloured(cv2.cvtColor(fan, cv2.COLOR_GRAY2BGR))


@pytest.mark.parametrize("gains", [(1.1, 0.85, 0.55), (0.5, 0.8, 1.1)], ids=["blue", "sepia"])
def test_a_tint_is_no_colour(fans, gains):
    tint = np.stack([np.clip(np.arange(256) * gain, 0, 255) for gain in gains], -1).astype(np.uint8)
    for fan in fans:
        picture = cv2.imdecode(cv2.imencode(".jpg", tint[fan], [cv2.IMWRITE_JPEG_QUALITY, 70])[1], cv2.IMREAD_COLOR)
        assert not is_coloured(picture)


def test_callipers_and_a_mark_are_no_colour(fans):
    for fan in fans:
        picture = cv2.cvtColor(fan, cv2.COLOR_GRAY2BGR)
        cv2.line(picture, (80, 120), (170, 130), (0, 255, 255), 1)
        cv2.circle(picture, (130, 12), 3, (200, 200, 0), -1)
        assert not is_coloured(picture)


@pytest.mark.parametrize("radius", [9, 25])
def test_flow_is_colour(fans, radius):
    for seed, fan in enumerate(fans):
        flow = with_flow(fan, radius, seed)
        assert is_coloured(flow)
        assert is_coloured(flow.astype(np.uint16) * 257)
        assert prepare(Frame(flow), SPEC).unreadable == COLOUR


def test_two_fans_are_dual_and_one_is_not(fans):
    for one, other in itertools.pairwise(fans):
        screen = side_by_side(one, other)
        assert prepare(Frame(screen), SPEC).unreadable == DUAL
    for fan in fans:
        screen = np.zeros((768, 1024), np.uint8)
        screen[60:740, 180:860] = cv2.resize(fan, (680, 680))
        assert prepare(Frame(screen), SPEC).unreadable == ""


def test_parts_of_one_image_are_not_two():
    assert not is_dual([Region(100, 100, 300, 500)], 1000, 700)
    assert not is_dual([Region(100, 100, 300, 500), Region(420, 100, 60, 90)], 1000, 700), "a thumbnail beside it"
    assert not is_dual([Region(100, 50, 500, 250), Region(100, 350, 500, 250)], 1000, 700), "one above the other"
    assert is_dual([Region(100, 100, 300, 500), Region(420, 100, 300, 480)], 1000, 700)
    split = [Region(100, 100, 140, 500), Region(250, 120, 150, 480), Region(420, 100, 300, 480)]
    assert is_dual(split, 1000, 700), "a shadow has split the left one"


def test_the_region_of_a_machine_or_a_contract_is_believed(fans):
    screen = side_by_side(*fans[:2])
    left = Region(20, 140, 480, 480)
    assert prepare(Frame(screen, region=left), SPEC).unreadable == ""
    assert prepare(Frame(screen), InputSpec(64, 64, "fixed", left)).region == left


def test_preparing_is_the_same_image(fans):
    for fan in fans:
        prepared = prepare(Frame(fan), SPEC)
        np.testing.assert_array_equal(prepared.image, image(Frame(fan), SPEC))


@pytest.mark.parametrize("data", ["fetal_planes", "hc18"])
def test_no_real_frame_is_taken_for_dual(data):
    folder = os.environ.get("EDGE_CNS_DATA_DIR")
    if not folder:
        pytest.skip("EDGE_CNS_DATA_DIR is not set")
    for path in sorted((Path(folder) / data / "images").iterdir())[::5]:
        pixels = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        assert not is_dual(find_parts(Frame(pixels)), pixels.shape[1], pixels.shape[0]), path.name
