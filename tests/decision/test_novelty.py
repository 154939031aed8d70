from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_cns.decision.novelty import DIRECTIONS, NoveltyModel, fit_novelty, fit_threshold, unit
from edge_cns.errors import BadInputError

CHANNELS = 400


def known(n: int, seed: int, *, rank: int = 12) -> np.ndarray:
    """Embeddings of a low rank, as a trained network's are, with a little of everything."""
    basis = np.random.default_rng(99).normal(size=(rank, CHANNELS))
    rng = np.random.default_rng(seed)
    return (rng.gamma(1.0, size=(n, rank)) @ basis + 0.1 * rng.normal(size=(n, CHANNELS))).astype(np.float32)


@pytest.fixture(scope="module")
def model() -> NoveltyModel:
    return fit_novelty(known(500, 0), np.ones(500))


def test_directions_are_orthonormal_and_few(model):
    assert model.directions.shape == (DIRECTIONS, CHANNELS)
    np.testing.assert_allclose(model.directions @ model.directions.T, np.eye(DIRECTIONS), atol=1e-5)


def test_they_are_those_of_numpys_singular_value_decomposition(model):
    known_frames = unit(known(500, 0)).astype(np.float64)
    right = np.linalg.svd(known_frames, full_matrices=False)[2][:DIRECTIONS]
    fresh = unit(known(50, 1)).astype(np.float64)
    expected = 1 - np.square(fresh @ right.T).sum(axis=1)
    np.testing.assert_allclose(model.score(known(50, 1)), expected, atol=1e-5)


def test_what_is_unlike_scores_higher(model):
    strange = np.random.default_rng(3).normal(size=(200, CHANNELS)).astype(np.float32)
    assert model.score(known(200, 2)).max() < 0.2 < 0.5 < model.score(strange).min()


def test_shapes_and_the_empty_embedding(model):
    many = known(3, 5)
    assert model.score(many).shape == (3,)
    assert model.score(many[0]).shape == ()
    assert float(model.score(many[1])) == pytest.approx(model.score(many)[1], abs=1e-6)
    assert float(model.score(np.zeros(CHANNELS, np.float32))) == 1.0


SMALL = fit_novelty(known(60, 0), np.ones(60))


@given(st.integers(0, 99), st.floats(1e-3, 1e4))
def test_gain_is_no_novelty(seed, gain):
    frame = known(1, seed)
    assert float(SMALL.score(frame * np.float32(gain))[0]) == pytest.approx(float(SMALL.score(frame)[0]), abs=1e-5)


def test_weights_decide_whose_frames_count():
    rng = np.random.default_rng(0)
    ours, theirs = rng.normal(size=(2, 1, CHANNELS)).astype(np.float32)
    frames = np.concatenate([np.repeat(ours, 99, axis=0), theirs])
    assert fit_novelty(frames, np.r_[np.zeros(99), 1.0]).score(ours)[0] > 0.5
    assert fit_novelty(frames, np.r_[np.zeros(99), 1.0]).score(theirs)[0] < 1e-5


def test_a_small_network_keeps_a_quarter_of_its_channels():
    embeddings = np.random.default_rng(0).normal(size=(300, 40)).astype(np.float32)
    assert fit_novelty(embeddings, np.ones(300)).directions.shape == (10, 40)


def test_arrays_and_back(model):
    again = NoveltyModel.from_arrays(model.to_arrays() | {"other": np.zeros(3)})
    assert again.directions is model.directions


@pytest.mark.parametrize(
    "arrays",
    [
        {},
        {"novelty_directions": np.zeros((2, 3))},
        {"novelty_directions": np.zeros(3, np.float32)},
        {"novelty_directions": np.zeros((0, 3), np.float32)},
        {"novelty_directions": np.full((2, 3), np.nan, np.float32)},
    ],
)
def test_arrays_that_cannot_be_used(arrays):
    with pytest.raises(BadInputError, match=r"decision\.npz.*calibrate"):
        NoveltyModel.from_arrays(arrays)


def test_embeddings_that_cannot_be_used():
    with pytest.raises(BadInputError, match="all zero"):
        fit_novelty(np.zeros((4, 40), np.float32), np.ones(4))
    with pytest.raises(BadInputError, match="no numbers"):
        fit_novelty(np.full((4, 40), np.nan, np.float32), np.ones(4))


def test_the_threshold_keeps_its_promise_or_says_that_it_cannot():
    scores = np.arange(40.0) / 40
    patients = [str(i) for i in range(40)]
    threshold, enough = fit_threshold(scores, patients, 0.05)
    assert enough
    assert (scores > threshold).sum() == 1, "39 of 41 are 95 %"
    assert fit_threshold(scores[:18], patients[:18], 0.05) == (scores[17], False)
