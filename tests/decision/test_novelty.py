from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_cns.decision.novelty import DIRECTIONS, NoveltyModel, fit_novelty, fit_threshold, leading, unit
from edge_cns.errors import BadInputError

CHANNELS = 400


def known(n: int, seed: int, *, rank: int = 12, group: int = 0) -> np.ndarray:
    """Embeddings of a low rank, as those of a class are, with a little of everything."""
    basis = np.random.default_rng(99 + group).normal(size=(rank, CHANNELS))
    rng = np.random.default_rng(seed)
    return (rng.gamma(1.0, size=(n, rank)) @ basis + 0.1 * rng.normal(size=(n, CHANNELS))).astype(np.float32)


@pytest.fixture(scope="module")
def model() -> NoveltyModel:
    embeddings = np.concatenate([known(500, 0), known(60, 1, group=1)])
    return fit_novelty(embeddings, np.repeat([0, 3], [500, 60]), np.ones(560))


def test_directions_of_each_class_are_orthonormal_and_few(model):
    assert model.directions.shape == (2, DIRECTIONS, CHANNELS)
    for own in model.directions:
        np.testing.assert_allclose(own @ own.T, np.eye(DIRECTIONS), atol=1e-5)


def test_the_score_is_the_residual_by_numpys_singular_value_decomposition(model):
    fresh = np.concatenate([known(50, 1), known(50, 2, group=1)])
    lengths = unit(fresh).astype(np.float64)
    left = []
    for own in (known(500, 0), known(60, 1, group=1)):
        right = np.linalg.svd(unit(own).astype(np.float64), full_matrices=False)[2][:DIRECTIONS]
        left.append(1 - np.square(lengths @ right.T).sum(axis=1))
    np.testing.assert_allclose(model.score(fresh), np.minimum(*left), atol=1e-5)


def test_what_lies_between_the_classes_is_strange(model):
    between = unit(known(100, 2)) + unit(known(100, 2, group=1))
    own = np.concatenate([model.score(known(100, 3)), model.score(known(100, 3, group=1))])
    assert own.max() < 0.2 < model.score(between).min()
    together = np.concatenate([known(500, 0), known(60, 1, group=1)])
    pooled = fit_novelty(together, np.zeros(560, np.int64), np.ones(560))
    assert pooled.score(between).max() < 0.2, "one subspace for both would call it known"


def test_a_rare_class_is_known_as_well_as_a_common_one():
    embeddings = np.concatenate([known(900, 0, rank=40), known(60, 0, rank=8, group=1)])
    model = fit_novelty(embeddings, np.repeat([0, 1], [900, 60]), np.repeat([1.0, 1e-6], [900, 60]))
    assert model.score(known(50, 5, rank=8, group=1)).max() < 0.2


def test_a_class_with_fewer_directions_is_padded_and_many_classes_share_the_room():
    few = np.concatenate([known(100, 0), known(3, 0, group=1)])
    model = fit_novelty(few, np.repeat([0, 1], [100, 3]), np.ones(103))
    assert np.count_nonzero(model.directions[1].any(axis=1)) == 3
    np.testing.assert_allclose(model.score(few[-3:]), 0, atol=1e-5)
    many = np.concatenate([known(20, 0, group=group) for group in range(12)])
    directions = fit_novelty(many, np.repeat(np.arange(12), 20), np.ones(240)).directions
    assert directions.shape == (12, 16, CHANNELS), "192 in all"


def test_what_is_unlike_scores_higher(model):
    strange = np.random.default_rng(3).normal(size=(200, CHANNELS)).astype(np.float32)
    assert model.score(known(200, 2)).max() < 0.2 < 0.5 < model.score(strange).min()


def test_shapes_and_the_empty_embedding(model):
    many = known(3, 5)
    assert model.score(many).shape == (3,)
    assert model.score(many[0]).shape == ()
    assert float(model.score(many[1])) == pytest.approx(model.score(many)[1], abs=1e-6)
    assert float(model.score(np.zeros(CHANNELS, np.float32))) == 1.0


SMALL = fit_novelty(known(60, 0), np.zeros(60, np.int64), np.ones(60))


@given(st.integers(0, 99), st.floats(1e-3, 1e4))
def test_gain_is_no_novelty(seed, gain):
    frame = known(1, seed)
    assert float(SMALL.score(frame * np.float32(gain))[0]) == pytest.approx(float(SMALL.score(frame)[0]), abs=1e-5)


def test_weights_decide_whose_frames_count():
    rng = np.random.default_rng(0)
    ours, theirs = rng.normal(size=(2, 1, CHANNELS)).astype(np.float32)
    frames = np.concatenate([np.repeat(ours, 99, axis=0), theirs])
    model = fit_novelty(frames, np.zeros(100, np.int64), np.r_[np.zeros(99), 1.0])
    assert model.score(ours)[0] > 0.5
    assert model.score(theirs)[0] < 1e-5


def test_a_small_network_keeps_an_eighth_of_its_channels():
    embeddings = np.random.default_rng(0).normal(size=(300, 40)).astype(np.float32)
    assert fit_novelty(embeddings, np.zeros(300, np.int64), np.ones(300)).directions.shape == (1, 5, 40)
    assert leading(embeddings, np.ones(300), 4).shape == (4, 40)


def test_arrays_and_back(model):
    again = NoveltyModel.from_arrays(model.to_arrays() | {"other": np.zeros(3)})
    assert again.directions is model.directions


@pytest.mark.parametrize(
    "arrays",
    [
        {},
        {"novelty_directions": np.zeros((1, 2, 3))},
        {"novelty_directions": np.zeros((2, 3), np.float32)},
        {"novelty_directions": np.zeros((1, 0, 3), np.float32)},
        {"novelty_directions": np.full((1, 2, 3), np.nan, np.float32)},
    ],
)
def test_arrays_that_cannot_be_used(arrays):
    with pytest.raises(BadInputError, match=r"decision\.npz.*calibrate"):
        NoveltyModel.from_arrays(arrays)


def test_embeddings_that_cannot_be_used():
    with pytest.raises(BadInputError, match="all zero"):
        fit_novelty(np.zeros((4, 40), np.float32), np.zeros(4, np.int64), np.ones(4))
    with pytest.raises(BadInputError, match="no numbers"):
        fit_novelty(np.full((4, 40), np.nan, np.float32), np.zeros(4, np.int64), np.ones(4))


def test_the_threshold_keeps_its_promise_or_says_that_it_cannot():
    scores = np.arange(40.0) / 40
    patients = [str(i) for i in range(40)]
    threshold, enough = fit_threshold(scores, patients, 0.05)
    assert enough
    assert (scores > threshold).sum() == 1, "39 of 41 are 95 %"
    assert fit_threshold(scores[:18], patients[:18], 0.05) == (scores[17], False)
