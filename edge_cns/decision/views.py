"""Which plane is this? A linear head on the embedding, for the checklist of an exam."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_cns.decision.novelty import unit
from edge_cns.errors import BadInputError

__all__ = ["ViewModel", "fit_view_threshold", "fit_views"]

_KERNEL, _BIAS = "views_kernel", "views_bias"
_SHRINKAGE = 0.1  # of the covariance towards a multiple of the identity: a few hundred frames, 64 directions
_NEVER = 0.999  # threshold where no share of the frames is recognised well enough


@dataclass(frozen=True, slots=True, eq=False)
class ViewModel:
    """A linear discriminant on embeddings of length 1: ``kernel (V, C)`` and ``bias (V,)`` float32."""

    kernel: NDArray[np.float32]
    bias: NDArray[np.float32]

    def probabilities(self, embedding: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Probability of each plane, given that it is one of them: ``(..., V)`` from ``(..., C)``."""
        logits = (unit(embedding) @ self.kernel.T + self.bias).astype(np.float64)
        exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
        return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True))

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """For `from_arrays`, under names of its own."""
        return {_KERNEL: self.kernel, _BIAS: self.bias}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> ViewModel:
        """Read what `to_arrays` wrote.

        Raises:
            BadInputError: missing, or not such arrays.
        """
        kernel, bias = arrays.get(_KERNEL), arrays.get(_BIAS)
        if kernel is None or bias is None or kernel.ndim != 2 or bias.shape != kernel.shape[:1]:
            raise BadInputError(f"decision.npz has no usable {_KERNEL}; calibrate the bundle with edge-cns calibrate")
        if any(array.dtype != np.float32 or not np.isfinite(array).all() for array in (kernel, bias)):
            raise BadInputError(f"decision.npz: {_KERNEL} has values that are no numbers; calibrate the bundle again")
        return cls(kernel, bias)


def fit_views(
    directions: NDArray[np.float32],
    embeddings: NDArray[np.float32],
    planes: Sequence[str],
    weights: NDArray[np.float64],
) -> tuple[ViewModel, tuple[str, ...]] | None:
    """Fit a linear discriminant with a shrunken common covariance (Friedman 1989, J. Am. Stat. Assoc. 84:165).

    Args:
        directions: ``(k, C)``, orthonormal, in which planes are told apart.
        embeddings: ``(N, C)`` of *fit* patients.
        planes: N names; empty where it was not recorded.
        weights: ``(N,)`` of the embeddings.

    Returns:
        The head and the names of its planes, sorted; ``None`` with fewer than two planes.
    """
    recorded = np.array([bool(plane) for plane in planes])
    names = tuple(sorted({plane for plane in planes if plane}))
    if len(names) < 2:
        return None
    places = (unit(embeddings[recorded]) @ directions.T).astype(np.float64)
    index = np.array([names.index(plane) for plane in planes if plane])
    shares = weights[recorded]
    means = np.stack([np.average(places[index == v], axis=0, weights=shares[index == v]) for v in range(len(names))])
    spread = places - means[index]
    covariance = (spread * (shares / shares.sum())[:, None]).T @ spread
    size = len(covariance)
    covariance = (1 - _SHRINKAGE) * covariance + _SHRINKAGE * np.trace(covariance) / size * np.eye(size)
    kernel = np.linalg.solve(covariance, means.T).T
    bias = -0.5 * (kernel * means).sum(axis=1)
    head = ViewModel((kernel @ directions).astype(np.float32), bias.astype(np.float32))
    return head, names


def fit_view_threshold(
    probabilities: NDArray[np.float64], planes: NDArray[np.int64], *, precision: float = 0.95
) -> float:
    """The smallest probability from which a recognised plane is right often enough.

    Args:
        probabilities: ``(N, V)`` of frames of calibration patients.
        planes: ``(N,)`` index of the true plane.
        precision: share of the recognised frames whose plane shall be right.

    Returns:
        Between 0 and 1; so high that hardly anything is recognised where no share of the frames is right enough.
    """
    best = probabilities.max(axis=1)
    falling = np.argsort(-best, kind="stable")
    right = (probabilities.argmax(axis=1) == planes)[falling]
    share = np.cumsum(right) / np.arange(1, len(right) + 1)
    last_of_equals = np.append(np.diff(best[falling]) != 0, True)
    good = np.flatnonzero((share >= precision) & last_of_equals)
    return float(np.clip(best[falling[good[-1]]], 1e-6, _NEVER)) if good.size else _NEVER
