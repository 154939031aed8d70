from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs the evaluate extra")
from sklearn.linear_model import LogisticRegression

from edge_cns.training.head import class_weights, fit_head


def features(classes: int, channels: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """Unlike scales and means by channel, unequal classes, and a channel that never changes."""
    rng = np.random.default_rng(classes)
    labels = rng.choice(classes, 150, p=np.arange(1, classes + 1) / sum(range(1, classes + 1)))
    labels[:classes] = np.arange(classes)
    values = rng.normal(size=(150, channels)) + 0.7 * rng.normal(size=(classes, channels))[labels]
    values = values * rng.uniform(0.01, 10, channels) + rng.uniform(-5, 50, channels)
    values[:, 0] = 3.0
    return values.astype(np.float32), labels


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_the_convolution_says_what_the_regression_says(classes: int) -> None:
    values, labels = features(classes)
    kernel, bias = fit_head(values, labels, classes)
    assert kernel.shape == (1, 1, 20, classes)
    assert bias.shape == (classes,)
    assert kernel.dtype == bias.dtype == np.float32

    mean, deviation = values.mean(axis=0), values.std(axis=0) + 1e-3
    reference = LogisticRegression(C=0.01, max_iter=1000, class_weight="balanced")
    reference.fit((values - mean) / deviation, labels)
    expected = reference.predict_proba((values - mean) / deviation)
    logits = values @ kernel[0, 0] + bias
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(exponentials / exponentials.sum(axis=1, keepdims=True), expected, atol=1e-3)


def test_class_weights() -> None:
    weights = class_weights(np.array([0, 0, 0, 0, 0, 0, 1, 1, 2, 2, 2, 2]), 3)
    np.testing.assert_allclose(weights, [12 / (3 * 6), 12 / (3 * 2), 12 / (3 * 4)])
    assert weights.dtype == np.float32
    assert class_weights(np.array([0, 2]), 3)[1] == 0  # a class without frames


def test_every_class_weighs_the_same_in_all() -> None:
    labels = np.random.default_rng(0).choice(4, 200, p=[0.7, 0.1, 0.1, 0.1])
    weights = class_weights(labels, 4)
    totals = [weights[label] * np.count_nonzero(labels == label) for label in range(4)]
    np.testing.assert_allclose(totals, 200 / 4, rtol=1e-6)
