"""First stage of transfer learning: the head alone, on features of the frozen backbone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_cns.extras import require

__all__ = ["DEVIATION_FLOOR", "INVERSE_PENALTY", "class_weights", "fit_head"]

INVERSE_PENALTY = 0.01
"""scikit-learn's C on standardised features: a thousand features, a few hundred frames."""
DEVIATION_FLOOR = 1e-3
"""Added to the standard deviation of every feature, so that one that never changes is not divided by nothing."""


def class_weights(labels: NDArray[np.int64], classes: int) -> NDArray[np.float32]:
    """Weights ``N / (K n_c)``, ``(K,)`` float32; a class without frames weighs 0."""
    counts = np.bincount(labels, minlength=classes)
    return np.where(counts > 0, len(labels) / (classes * np.maximum(counts, 1)), 0).astype(np.float32)


def fit_head(
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    classes: int,
    *,
    inverse_penalty: float = INVERSE_PENALTY,
    tolerance: float = 1e-4,
) -> list[NDArray[Any]]:
    """Fit a class-weighted multinomial logistic regression, and write it as the head's 1x1 convolution.

    Features are standardised with their own mean and deviation. `edge_cns.training.cross_validation.logistic` solves
    the same problem for many sets of frames at once.

    Args:
        features: ``(N, C)`` embeddings.
        labels: ``(N,)`` class indices; each of the K classes occurs.
        classes: number K.
        inverse_penalty: scikit-learn's C.
        tolerance: scikit-learn's, of the gradient.

    Returns:
        Kernel ``(1, 1, C, K)`` and bias ``(K,)``, float32, for features that are *not* standardised.
    """
    linear_model = require("sklearn.linear_model", "evaluate")
    mean, deviation = features.mean(axis=0), features.std(axis=0) + DEVIATION_FLOOR
    model = linear_model.LogisticRegression(C=inverse_penalty, max_iter=1000, tol=tolerance, class_weight="balanced")
    model.fit((features - mean) / deviation, labels)
    coefficients, intercept = model.coef_, model.intercept_
    if classes == 2:  # scikit-learn keeps one row for two classes
        coefficients, intercept = np.vstack([-coefficients, coefficients]) / 2, np.hstack([-intercept, intercept]) / 2
    kernel = (coefficients / deviation).T
    bias = intercept - mean @ kernel
    return [kernel[None, None].astype(np.float32), bias.astype(np.float32)]
