"""Integers give what Python gives, to the bit, in a fixed small memory and from a camera that keeps nothing."""

from __future__ import annotations

import os
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from converters.micro_plan import MAX_STEPS, Plan, make_plan, render
from edge_cns.contract import InputSpec
from edge_cns.data.images import IMAGE_SUFFIXES, read_image
from edge_cns.errors import BadInputError
from edge_cns.frames import Frame, Region
from edge_cns.grey import grey8
from edge_cns.preprocess import image
from tests.firmware_bridge.micro.engine import Engine, build_engine

DATA = os.environ.get("EDGE_CNS_DATA_DIR")
RNG = np.random.default_rng(11)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return build_engine(tmp_path_factory.mktemp("micro"))


def whole(width: int, height: int) -> Region:
    return Region(0, 0, width, height)


def python(frame: np.ndarray, plan: Plan, *, letterbox: bool) -> np.ndarray:
    spec = InputSpec(plan.tensor[1], plan.tensor[0], letterbox=letterbox)
    return image(Frame(frame, region=plan.region), spec)


CASES = [
    # frame, region (or the whole), tensor, letterbox: what the sizes stand for
    ((640, 480), None, (96, 96), True),  # by 6.7: four samples a side, means of means
    ((320, 240), None, (96, 96), True),  # by 3.3: three samples a side
    ((640, 480), None, (224, 224), True),  # by 2.9
    ((1280, 720), None, (224, 224), True),  # by 5.7
    ((1920, 1080), None, (224, 224), True),  # by 8.6: halved first, evenly
    ((1001, 777), None, (96, 96), True),  # halved first, oddly
    ((1920, 1080), (401, 33, 901, 1001), (96, 96), True),  # a part of the frame
    ((3840, 2160), None, (64, 64), True),  # halved three times
    ((384, 384), None, (96, 96), True),  # by exactly 4: the samples are the frame
    ((768, 768), None, (96, 96), True),  # by exactly 8
    ((288, 288), None, (96, 96), True),  # by exactly 3
    ((448, 448), None, (224, 224), True),  # by exactly 2: means
    ((224, 224), None, (224, 224), True),  # as it is
    ((224, 100), None, (224, 224), True),  # as it is, black above and below
    ((160, 120), None, (224, 224), True),  # enlarged
    ((64, 64), None, (1024, 1024), True),  # enlarged by 16
    ((64, 1000), None, (96, 96), True),  # a narrow strip
    ((640, 480), None, (96, 96), False),  # stretched
    ((1024, 500), None, (96, 64), False),
]


@pytest.mark.parametrize(("size", "region", "tensor", "letterbox"), CASES, ids=str)
def test_as_python_to_the_bit(engine, size, region, tensor, letterbox):
    spec = InputSpec(tensor[1], tensor[0], letterbox=letterbox)
    plan = make_plan(size, Region(*region) if region else whole(*size), spec)
    frame = RNG.integers(0, 256, size[::-1], dtype=np.uint8)
    smooth = cv2.GaussianBlur(frame, (0, 0), 2.0)
    for pixels in (frame, smooth, np.full_like(frame, 255)):
        expected = python(pixels, plan, letterbox=letterbox)
        assert np.array_equal(render(plan, pixels), expected)
        assert np.array_equal(engine.prepare(plan, pixels), expected)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    width=st.integers(64, 1200),
    height=st.integers(64, 1200),
    side=st.sampled_from([32, 64, 96, 128, 160, 224]),
    letterbox=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_as_python_at_any_size_that_is_taken(engine, width, height, side, letterbox, seed):
    spec = InputSpec(side, side, letterbox=letterbox)
    try:
        plan = make_plan((width, height), whole(width, height), spec)
    except BadInputError:
        assume(False)
    frame = np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)
    expected = python(frame, plan, letterbox=letterbox)
    assert np.array_equal(render(plan, frame), expected)
    assert np.array_equal(engine.prepare(plan, frame), expected)


@pytest.mark.skipif(not DATA, reason="EDGE_CNS_DATA_DIR is not set: no real frames")
@pytest.mark.parametrize(("size", "side"), [((640, 480), 96), ((640, 480), 224), ((1280, 720), 224)])
def test_real_frames_of_a_cameras_size(engine, size, side):
    images = Path(str(DATA)) / "fetal_planes" / "images"
    paths = sorted(path for path in images.iterdir() if path.suffix in IMAGE_SUFFIXES)
    plan = make_plan(size, whole(*size), InputSpec(side, side))
    for path in paths[:: len(paths) // 12]:
        pixels = cv2.resize(grey8(read_image(path).pixels), size, interpolation=cv2.INTER_CUBIC)
        assert np.array_equal(engine.prepare(plan, pixels), python(pixels, plan, letterbox=True))


@pytest.mark.parametrize(("size", "region", "tensor", "letterbox"), CASES, ids=str)
def test_rows_come_once_from_top_to_bottom_and_from_the_region_alone(engine, size, region, tensor, letterbox):
    spec = InputSpec(tensor[1], tensor[0], letterbox=letterbox)
    plan = make_plan(size, Region(*region) if region else whole(*size), spec)
    frame = RNG.integers(0, 256, size[::-1], dtype=np.uint8)
    status, made, asked = engine.prepare_rows(plan, frame, rows=size[1])
    assert status == 0
    assert np.array_equal(made, engine.prepare(plan, frame))
    assert asked == sorted(set(asked))
    assert plan.region.y <= asked[0]
    assert asked[-1] < plan.region.y + plan.region.height


def test_a_camera_that_fails_ends_it_at_once(engine):
    plan = make_plan((640, 480), whole(640, 480), InputSpec(96, 96))
    frame = np.zeros((480, 640), np.uint8)
    status, _, asked = engine.prepare_rows(plan, frame, rows=100)
    assert status == -1
    assert [y for y in asked if y >= 100] == asked[-1:]


def test_a_frame_with_padded_rows(engine):
    plan = make_plan((640, 480), whole(640, 480), InputSpec(96, 96))
    padded = RNG.integers(0, 256, (480, 700), dtype=np.uint8)
    assert np.array_equal(engine.prepare(plan, padded[:, :640]), python(padded[:, :640], plan, letterbox=True))


@pytest.mark.parametrize(("size", "side", "limit"), [((640, 480), 96, 4096), ((1920, 1080), 224, 16384)])
def test_the_scratch_is_a_few_rows(size, side, limit):
    plan = make_plan(size, whole(*size), InputSpec(side, side))
    assert 2 * plan.scratch_words < limit


def test_the_largest_frame_has_no_more_steps_than_c_has_room_for():
    plan = make_plan((8192, 8192), whole(8192, 8192), InputSpec(32, 32))
    assert len(plan.steps) <= MAX_STEPS
    assert plan.scratch_words < 2**16


# Sizes that integers do not reproduce


@pytest.mark.parametrize(("size", "side"), [((320, 240), 224), ((480, 480), 224), ((200, 150), 96), ((225, 113), 224)])
def test_a_size_with_fractions_is_refused_and_the_advice_works(size, side):
    spec = InputSpec(side, side)
    with pytest.raises(BadInputError) as refused:
        make_plan(size, whole(*size), spec)
    text = str(refused.value)
    assert f"a region of {size[0]}x{size[1]} px" in text
    assert "\n" not in text
    advised = [(int(width), int(height)) for width, height in re.findall(r"(\d+)x(\d+)", text)]
    larger, same, twice = advised[-3:]
    for width, height in (larger, same, twice):
        make_plan((4000, 4000), Region(0, 0, width, height), spec)


def test_a_region_outside_the_frame_is_refused():
    with pytest.raises(BadInputError, match="does not fit a frame of 640x480"):
        make_plan((640, 480), Region(1, 0, 640, 480), InputSpec(96, 96))
