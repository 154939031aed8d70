from __future__ import annotations

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from edge_cns.decision.novelty import leading, unit
from edge_cns.decision.views import ViewModel, fit_view_threshold, fit_views
from edge_cns.errors import BadInputError

PLANES = ("axial", "coronal", "sagittal")


def drawn(n: int, seed: int, *, noise: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    centres = np.random.default_rng(7).gamma(1.0, size=(3, 80)) * 3
    rng = np.random.default_rng(seed)
    index = np.arange(n) % 3
    return (centres[index] + noise * rng.gamma(1.0, size=(n, 80))).astype(np.float32), index


@pytest.fixture(scope="module")
def fitted():
    embeddings, index = drawn(300, 0)
    directions = leading(embeddings, np.ones(300), 64)
    return directions, fit_views(directions, embeddings, [PLANES[i] for i in index], np.ones(300))


def test_planes_of_new_frames(fitted):
    _, (head, names) = fitted
    assert names == PLANES
    embeddings, index = drawn(150, 1)
    shares = head.probabilities(embeddings)
    assert shares.shape == (150, 3)
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    assert (shares.argmax(axis=1) == index).mean() > 0.95
    np.testing.assert_allclose(head.probabilities(embeddings[4]), shares[4], atol=1e-6)


def test_it_is_sklearns_discriminant_with_that_covariance(fitted):
    directions, (head, _) = fitted
    embeddings, index = drawn(300, 0)
    places = (unit(embeddings) @ directions.T).astype(np.float64)

    class Shrunken:
        def fit(self, own):
            centred = own - own.mean(axis=0)
            covariance = centred.T @ centred / len(centred)
            size = len(covariance)
            self.covariance_ = 0.9 * covariance + 0.1 * np.trace(covariance) / size * np.eye(size)

    theirs = LinearDiscriminantAnalysis(solver="lsqr", covariance_estimator=Shrunken(), priors=np.full(3, 1 / 3))
    theirs.fit(places, index)
    fresh, _ = drawn(60, 2, noise=3.0)
    expected = theirs.predict_proba((unit(fresh) @ directions.T).astype(np.float64))
    # Theirs shrinks the covariance of each class and averages; classes are equally frequent, so that is the same.
    np.testing.assert_allclose(head.probabilities(fresh), expected, atol=2e-3)


def test_rows_without_a_plane_teach_nothing(fitted):
    directions, (head, _) = fitted
    embeddings, index = drawn(300, 0)
    more = np.concatenate([embeddings, np.full((50, 80), 5.0, np.float32)])
    planes = [*(PLANES[i] for i in index), *[""] * 50]
    again, names = fit_views(directions, more, planes, np.ones(350))
    assert names == PLANES
    np.testing.assert_allclose(again.kernel, head.kernel, rtol=1e-4, atol=1e-4)
    assert fit_views(directions, embeddings, [""] * 300, np.ones(300)) is None
    assert fit_views(directions, embeddings, ["axial"] * 300, np.ones(300)) is None


def test_the_threshold_is_the_smallest_that_is_right_often_enough():
    best = np.array([0.95, 0.9, 0.8, 0.7, 0.6])
    shares = np.column_stack([best, 1 - best])
    truth = np.array([0, 0, 1, 0, 1])
    assert fit_view_threshold(shares, truth, precision=0.9) == 0.9
    assert fit_view_threshold(shares, truth, precision=0.75) == 0.7
    assert fit_view_threshold(shares, truth, precision=0.6) == 0.6
    assert fit_view_threshold(shares[2:3], truth[2:3]) == 0.999, "nothing is recognised"
    tied = np.tile([0.8, 0.2], (4, 1))
    assert fit_view_threshold(tied, np.array([0, 0, 0, 1]), precision=0.9) == 0.999, "equals stand or fall together"


@pytest.mark.parametrize("name", ["views_kernel", "views_bias"])
def test_arrays_and_back(fitted, name):
    _, (head, _) = fitted
    assert ViewModel.from_arrays(head.to_arrays()).kernel is head.kernel
    for broken in (None, np.zeros(7), head.to_arrays()[name] * np.nan, head.to_arrays()[name].astype(np.float64)):
        arrays = {key: value for key, value in (head.to_arrays() | {name: broken}).items() if value is not None}
        with pytest.raises(BadInputError, match=r"decision\.npz"):
            ViewModel.from_arrays(arrays)
