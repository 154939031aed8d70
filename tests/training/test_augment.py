from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_cns.training.augment import Augmentation, _geometry, augment

STILL = Augmentation(1.0, (1.0, 1.0), 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0)


def speckle(height: int = 64, width: int = 64, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 256, (height, width), dtype=np.uint8)


def drawn(count: int, ranges: Augmentation, side: int = 224) -> list[np.ndarray]:
    random = np.random.default_rng(3)
    return [_geometry(side, side, ranges, random) for _ in range(count)]


def test_nothing_varies_where_nothing_may() -> None:
    picture = speckle()
    np.testing.assert_array_equal(augment(picture, STILL, np.random.default_rng(0)), picture)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), height=st.integers(32, 80), width=st.integers(32, 80))
def test_invariants(seed: int, height: int, width: int) -> None:
    picture = speckle(height, width, seed % 7)
    before = picture.copy()
    varied = augment(picture, Augmentation(), np.random.default_rng(seed))
    assert varied.shape == picture.shape
    assert varied.dtype == np.uint8
    np.testing.assert_array_equal(picture, before)
    np.testing.assert_array_equal(varied, augment(picture, Augmentation(), np.random.default_rng(seed)))
    black = augment(np.zeros_like(picture), Augmentation(), np.random.default_rng(seed))
    assert black.max() == 0  # no brightness is added to a letterbox or to what lies outside the fan


def test_chance_differs_between_pictures() -> None:
    random = np.random.default_rng(0)
    assert not np.array_equal(augment(speckle(), Augmentation(), random), augment(speckle(), Augmentation(), random))


def test_the_near_field_stays_up() -> None:
    """Unless asked for: rows of the matrix that make y of y are positive, by default and for any draw."""
    assert Augmentation().vertical_flip == 0
    assert min(matrix[1, 1] for matrix in drawn(500, Augmentation())) > 0
    flipped = [matrix[1, 1] < 0 for matrix in drawn(500, Augmentation(vertical_flip=0.5))]
    assert 0.4 < np.mean(flipped) < 0.6
    mirrored = [matrix[0, 0] < 0 for matrix in drawn(500, Augmentation())]
    assert 0.4 < np.mean(mirrored) < 0.6


def test_aspect_reaches_30_percent_either_way() -> None:
    ratios = []
    for matrix in drawn(2000, Augmentation()):
        x, y = np.linalg.norm(matrix[:, 0]), np.linalg.norm(matrix[:, 1])
        ratios.append(x / y)
        assert max(x, y) <= 1.2 + 1e-9  # the longer side keeps its length but for the zoom
    assert max(ratios) > 1.3
    assert min(ratios) < 1 / 1.3
    assert abs(np.mean(np.log(ratios))) < 0.02  # wide and narrow alike


def test_angle_zoom_and_shift_stay_in_range() -> None:
    ranges = Augmentation(aspect=1.0, horizontal_flip=0.0)
    for matrix in drawn(500, ranges):
        scale = np.linalg.norm(matrix[:, 0])
        assert 0.9 - 1e-9 <= scale <= 1.2 + 1e-9
        assert abs(np.degrees(np.arctan2(matrix[1, 0], matrix[0, 0]))) <= 12 + 1e-9
        centre = matrix @ [111.5, 111.5, 1]
        assert np.abs(centre - 111.5).max() <= 0.05 * 224 + 1e-9


def test_a_disc_becomes_as_wide_as_the_matrix_says() -> None:
    """The matrix goes from the old picture to the new one, about its centre."""
    picture = cv2.circle(np.zeros((201, 201), np.uint8), (100, 100), 40, 255, -1)
    ranges = Augmentation(1.3, (1.0, 1.0), 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0)
    for seed in range(8):
        varied = augment(picture, ranges, np.random.default_rng(seed))
        matrix = _geometry(201, 201, ranges, np.random.default_rng(seed))
        columns, rows = np.flatnonzero(varied.max(axis=0) > 127), np.flatnonzero(varied.max(axis=1) > 127)
        assert np.ptp(columns) == pytest.approx(80 * matrix[0, 0], abs=2)
        assert np.ptp(rows) == pytest.approx(80 * matrix[1, 1], abs=2)
        assert columns.mean() == pytest.approx(100, abs=1)
        assert rows.mean() == pytest.approx(100, abs=1)
