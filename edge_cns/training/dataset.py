"""Frames of a manifest as the network's images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_cns.contract import Contract
from edge_cns.data.images import read_image
from edge_cns.data.manifest import Manifest, Row
from edge_cns.errors import BadInputError
from edge_cns.preprocess import image
from edge_cns.progress import Progress, silent

__all__ = ["LabelledImages", "load_images", "rows_of"]


@dataclass(frozen=True, slots=True, eq=False)
class LabelledImages:
    """Network images ``(N, H, W)`` uint8 and class indices ``(N,)`` int64."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]


def rows_of(manifest: Manifest, sets: Mapping[str, str], name: str) -> tuple[Row, ...]:
    """The rows of one set, in the order of the file; rows kept for testing are in none."""
    return tuple(row for row in manifest.for_training() if sets.get(row.patient_id) == name)


def load_images(rows: Sequence[Row], contract: Contract, task: str, progress: Progress = silent) -> LabelledImages:
    """Read and preprocess frames.

    Raises:
        BadInputError: an image that cannot be read, or a label that the contract does not have.
    """
    names = contract.class_names
    images = np.empty((len(rows), contract.input.height, contract.input.width), np.uint8)
    labels = np.empty(len(rows), np.int64)
    for i, row in enumerate(rows):
        if row.label not in names:
            raise BadInputError(f"line {row.line}: label {row.label!r} is not in the contract ({', '.join(names)})")
        image(read_image(row.path), contract.input, images[i])
        labels[i] = names.index(row.label)
        progress(task, i + 1, len(rows))
    return LabelledImages(images, labels)
