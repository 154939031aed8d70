"""Novelty: how much of a frame's embedding lies where no embedding of any class of the training lies.

The embedding is scaled to length 1 and projected, for each class by itself, onto the directions in which the embeddings
of its *fit* patients lie. The score is the share of its energy that is left over for the class that leaves the least
(one subspace for each class: CLAFIC, Watanabe 1967; the residual as a score of novelty: ViM, Wang et al. 2022,
arXiv:2203.10807). One subspace for all classes together would hold what lies between them too, and would know a rare
class the least. Length says how loud the features are, which is the scanner's gain as much as the anatomy, so it is
divided out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_cns.decision.quantile import largest_reached
from edge_cns.errors import BadInputError

__all__ = ["DIRECTIONS", "NoveltyModel", "fit_novelty", "fit_threshold", "leading", "unit"]

DIRECTIONS = 32
"""Directions of a class that are kept, at most."""

_IN_ALL = 192  # of all classes together: 192 directions of 1,280 numbers in float32 are 960 KiB

_NAME = "novelty_directions"
_SHARE = 8  # one direction of a class for so many channels, at most: where all are kept, nothing is ever left over
_LARGEST = 2**24  # numbers in an array from a bundle


@dataclass(frozen=True, slots=True, eq=False)
class NoveltyModel:
    """The directions in which the embeddings of G classes lie.

    Attributes:
        directions: ``(G, k, C)`` float32; those of a class are orthonormal, and zeros where it has fewer than k.
    """

    directions: NDArray[np.float32]

    def score(self, embedding: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Share of an embedding's energy outside the directions of the class that holds most of it.

        Args:
            embedding: ``(C,)`` or ``(N, C)``.

        Returns:
            0 (known) to 1 (nothing like it), of shape ``()`` or ``(N,)`` float64; 1 for an embedding without energy.
        """
        groups, kept, channels = self.directions.shape
        places = unit(embedding) @ self.directions.reshape(-1, channels).T
        inside = np.square(places, dtype=np.float64).reshape(*places.shape[:-1], groups, kept).sum(axis=-1)
        return np.asarray(np.clip(1.0 - inside.max(axis=-1), 0.0, 1.0))

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """For `from_arrays`, under names of its own."""
        return {_NAME: self.directions}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> NoveltyModel:
        """Read what `to_arrays` wrote.

        Raises:
            BadInputError: missing, or not such an array.
        """
        array = arrays.get(_NAME)
        if array is None or array.dtype != np.float32 or array.ndim != 3 or not 0 < array.size <= _LARGEST:
            raise BadInputError(f"decision.npz has no usable {_NAME}; calibrate the bundle with edge-cns calibrate")
        if not np.isfinite(array).all():
            raise BadInputError(f"decision.npz: {_NAME} has values that are no numbers; calibrate the bundle again")
        return cls(array)


def unit(embedding: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Scale to length 1 along the last axis; an embedding of zeros stays what it is."""
    values = np.asarray(embedding, np.float32)
    length = np.linalg.norm(values, axis=-1, keepdims=True)
    return np.asarray(values / np.maximum(length, np.float32(1e-12)), np.float32)


def leading(embeddings: NDArray[np.float32], weights: NDArray[np.float64], most: int) -> NDArray[np.float32]:
    """The directions that hold most of the energy of embeddings of length 1.

    Args:
        embeddings: ``(N, C)`` of any length.
        weights: ``(N,)`` of the embeddings, for instance equal for every patient.
        most: how many, at most.

    Returns:
        ``(k, C)`` float32, orthonormal, the strongest first; fewer than ``most`` where the embeddings have no more.

    Raises:
        BadInputError: values that are no numbers, or no embedding with any energy.
    """
    known = unit(embeddings).astype(np.float64)
    if not np.isfinite(known).all():
        raise BadInputError("embeddings have values that are no numbers; convert the model again")
    energies, vectors = np.linalg.eigh((known * (weights / weights.sum())[:, None]).T @ known)
    kept = int(np.count_nonzero(energies[-most:] > 1e-9))  # eigh sorts them rising
    if kept == 0:
        raise BadInputError("embeddings are all zero; convert the model again")
    return np.ascontiguousarray(vectors[:, ::-1][:, :kept].T, dtype=np.float32)


def fit_novelty(
    embeddings: NDArray[np.float32], labels: NDArray[np.int64], weights: NDArray[np.float64]
) -> NoveltyModel:
    """Find, for each class, the directions that hold most of the energy of its embeddings.

    Args:
        embeddings: ``(N, C)`` of *fit* patients, of their frames as they are and as another scanner would show them.
        labels: ``(N,)`` class of each.
        weights: ``(N,)`` of the embeddings, for instance equal for every patient.

    Raises:
        BadInputError: values that are no numbers, or a class of which no embedding has any energy.
    """
    groups = np.unique(labels)
    most = max(1, min(DIRECTIONS, _IN_ALL // len(groups), embeddings.shape[1] // _SHARE))
    own = [leading(embeddings[labels == group], weights[labels == group], most) for group in groups]
    directions = np.zeros((len(own), max(map(len, own)), embeddings.shape[1]), np.float32)
    for group, found in zip(directions, own, strict=True):
        group[: len(found)] = found
    return NoveltyModel(directions)


def fit_threshold(scores: NDArray[np.float64], patients: Sequence[str], false_alarm: float) -> tuple[float, bool]:
    """The largest score of a supported view.

    Args:
        scores: ``(N,)`` of frames of calibration patients, from whom no direction was learned.
        patients: N patient ids.
        false_alarm: share of a new patient's frames that may exceed it, on average over such patients.

    Returns:
        The threshold, and whether the patients are enough for the promise (19 for 5 %). With fewer it is the largest
        score seen.
    """
    reached = largest_reached(-scores, patients, 1 - false_alarm)
    return (float(scores.max()), False) if reached is None else (-reached, True)
