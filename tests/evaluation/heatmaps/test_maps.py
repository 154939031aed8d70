from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import spearmanr

from edge_cns.contract import InputSpec
from edge_cns.evaluation.heatmaps.maps import (
    grown,
    mass_inside,
    over_region,
    pointing,
    rank_correlation,
    tolerance_px,
)

MAPS = arrays(np.float32, (5, 7), elements=st.floats(-8, 8, width=32))
MASKS = arrays(np.bool_, (5, 7))


def hot(row: int, column: int, shape: tuple[int, int] = (8, 8)) -> np.ndarray:
    heatmap = np.full(shape, -1, np.float32)
    heatmap[row, column] = 5
    return heatmap


class TestRankCorrelation:
    def test_is_spearmans_with_ties_as_scipy_has_it(self) -> None:
        rng = np.random.default_rng(0)
        first = rng.normal(size=(40, 7, 7)).astype(np.float32)
        second = (first + rng.normal(size=first.shape)).astype(np.float32)
        for a, b in ((first, second), (np.maximum(first, 0), np.maximum(second, 0)), (np.round(first), second)):
            expected = [spearmanr(x.ravel(), y.ravel()).statistic for x, y in zip(a, b, strict=True)]
            np.testing.assert_allclose(rank_correlation(a, b), expected, atol=1e-12)

    def test_does_not_mind_scale_and_offset(self) -> None:
        first = np.random.default_rng(1).normal(size=(3, 5, 5))
        np.testing.assert_allclose(rank_correlation(first, 7 * first - 3), 1)
        np.testing.assert_allclose(rank_correlation(first, -first), -1)

    def test_is_not_defined_for_a_constant_or_broken_map(self) -> None:
        first = np.random.default_rng(2).normal(size=(3, 4, 4))
        second = first.copy()
        second[0] = 1
        second[1, 0, 0] = np.inf
        assert np.isnan(rank_correlation(first, second)).tolist() == [True, True, False]


class TestPointing:
    def test_hits_and_misses(self) -> None:
        mask = np.zeros((8, 8), bool)
        mask[2:4, 5:7] = True
        assert pointing(hot(3, 6), mask) == 1
        assert pointing(hot(6, 3), mask) == 0

    def test_of_equals_it_is_what_drawing_one_would_give(self) -> None:
        mask = np.zeros((8, 8), bool)
        mask[0] = True
        assert pointing(np.zeros((8, 8), np.float32), mask) == pytest.approx(mask.mean())

    def test_tolerance_is_that_of_zhang_on_a_picture_of_500_px(self) -> None:
        assert tolerance_px(InputSpec(500, 500)) == 15
        assert tolerance_px(InputSpec(224, 160)) == 7

    def test_grown_by_a_disc(self) -> None:
        mask = np.zeros((21, 21), bool)
        mask[10, 10] = True
        distance = np.hypot(*(np.indices(mask.shape) - 10))
        near = grown(mask, 5)
        assert near[distance <= 4].all()
        assert not near[distance > 5.6].any()


class TestMass:
    def test_share_of_what_speaks_for_the_class(self) -> None:
        heatmap = np.array([[3, 1], [-9, 0]], np.float32)
        assert mass_inside(heatmap, np.array([[True, False], [True, True]])) == pytest.approx(0.75)

    def test_a_map_that_is_nowhere_for_the_class_has_none(self) -> None:
        assert math.isnan(mass_inside(np.full((2, 2), -1, np.float32), np.ones((2, 2), bool)))

    @given(heatmap=MAPS, mask=MASKS, scale=st.sampled_from([0.5, 4.0]))
    def test_inside_and_outside_make_one_whatever_the_scale(self, heatmap, mask, scale) -> None:
        inside = mass_inside(heatmap, mask)
        if math.isnan(inside):
            assert (heatmap <= 0).all()
        else:
            assert inside + mass_inside(heatmap, ~mask) == pytest.approx(1)
            assert mass_inside(heatmap * np.float32(scale), mask) == pytest.approx(inside)


@pytest.mark.parametrize("box", [(0, 0, 64, 64), (0, 16, 64, 32), (16, 0, 32, 64)])
def test_a_cell_is_drawn_where_it_lies_in_the_tensor(box: tuple[int, int, int, int]) -> None:
    x, y, width, height = box
    drawn = over_region(hot(3, 4), InputSpec(64, 64), box)
    assert drawn.shape == (height, width)
    row, column = np.unravel_index(drawn.argmax(), drawn.shape)
    assert abs(row + y - 27.5) <= 1  # the middle of the cell: rows 24 to 31
    assert abs(column + x - 35.5) <= 1
