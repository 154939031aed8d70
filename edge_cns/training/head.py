"""First stage of transfer learning: the head alone, on features of the frozen backbone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_cns.extras import require

__all__ = ["class_weights", "fit_head"]

_INVERSE_PENALTY = 0.01  # scikit-learn's C on standardised features: a thousand features, a few hundred frames


def class_weights(labels: NDArray[np.int64], classes: int) -> NDArray[np.float32]:
    """Weights ``N / (K n_c)``, ``(K,)`` float32; a class without frames weighs 0."""
    counts = np.bincount(labels, minlength=classes)
    return np.where(counts > 0, len(labels) / (classes * np.maximum(counts, 1)), 0).astype(np.float32)


def fit_head(features: NDArray[np.float32], labels: NDArray[np.int64], classes: int) -> list[NDArray[Any]]:
    """Fit a class-weighted multinomial logistic regression, and write it as the head's 1x1 convolution.

    Args:
        features: ``(N, C)`` embeddings.
        labels: ``(N,)`` class indices; each of the K classes occurs.
        classes: number K.

    Returns:
        Kernel ``(1, 1, C, K)`` and bias ``(K,)``, float32, for features that are *not* standardised.
    """
    linear_model = require("sklearn.linear_model", "evaluate")
    mean, deviation = features.mean(axis=0), features.std(axis=0) + 1e-3
    model = linear_model.LogisticRegression(C=_INVERSE_PENALTY, max_iter=1000, class_weight="balanced")
    model.fit((features - mean) / deviation, labels)
    coefficients, intercept = model.coef_, model.intercept_
    if classes == 2:  # scikit-learn keeps one row for two classes
        coefficients, intercept = np.vstack([-coefficients, coefficients]) / 2, np.hstack([-intercept, intercept]) / 2
    kernel = (coefficients / deviation).T
    bias = intercept - mean @ kernel
    return [kernel[None, None].astype(np.float32), bias.astype(np.float32)]
