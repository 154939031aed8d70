"""Frames of a manifest as the network's images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_cns.contract import Contract
from edge_cns.data.images import read_image
from edge_cns.data.manifest import Manifest, Row
from edge_cns.errors import BadInputError
from edge_cns.preprocess import image
from edge_cns.progress import Progress, silent
from edge_cns.training.frame_cache import MEMORY_BYTES, StoredImages, store_images

__all__ = ["Frames", "LabelledImages", "StreamedImages", "in_parts", "load_images", "rows_of", "stream_images"]

_PART = 512


@dataclass(frozen=True, slots=True, eq=False)
class LabelledImages:
    """Network images ``(N, H, W)`` uint8 and class indices ``(N,)`` int64."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class StreamedImages:
    """The same, with images that need not fit in memory."""

    images: StoredImages
    labels: NDArray[np.int64]


Frames = LabelledImages | StreamedImages
"""What a training learns from."""


def rows_of(manifest: Manifest, sets: Mapping[str, str], name: str) -> tuple[Row, ...]:
    """The rows of one set, in the order of the file; rows kept for testing are in none."""
    return tuple(row for row in manifest.for_training() if sets.get(row.patient_id) == name)


def load_images(rows: Sequence[Row], contract: Contract, task: str, progress: Progress = silent) -> LabelledImages:
    """Read and preprocess frames into memory.

    Raises:
        BadInputError: an image that cannot be read, or a label that the contract does not have.
    """
    labels = _labels(rows, contract)
    images = np.empty((len(rows), contract.input.height, contract.input.width), np.uint8)
    for i, row in enumerate(rows):
        image(read_image(row.path), contract.input, images[i])
        progress(task, i + 1, len(rows))
    return LabelledImages(images, labels)


def stream_images(
    rows: Sequence[Row],
    contract: Contract,
    task: str,
    progress: Progress = silent,
    *,
    folder: Path,
    memory_bytes: int = MEMORY_BYTES,
) -> LabelledImages | StreamedImages:
    """Read and preprocess frames, into memory if they take no more than ``memory_bytes``, else into ``folder``.

    Args:
        rows: of a manifest.
        contract: its input and classes.
        task: what progress calls this.
        progress: told after each frame.
        folder: for what does not fit in memory; see `edge_cns.training.frame_cache`. Made only if it is needed.
        memory_bytes: bound of what is held in memory.

    Raises:
        BadInputError: as `load_images`.
        OSError: the folder cannot be written.
    """
    if len(rows) * contract.input.height * contract.input.width <= memory_bytes:
        return load_images(rows, contract, task, progress)
    labels = _labels(rows, contract)
    paths = [row.path for row in rows]
    return StreamedImages(
        store_images(paths, contract.input, folder, task, progress, memory_bytes=memory_bytes), labels
    )


def in_parts(images: NDArray[np.uint8] | StoredImages, share: slice = slice(None)) -> Iterator[NDArray[np.uint8]]:
    """Images ``(N, H, W)`` in order, or a share of them in a row, at most 512 at a time."""
    first, end, _ = share.indices(len(images))
    for start in range(first, end, _PART):
        yield images[start : min(start + _PART, end)]


def _labels(rows: Sequence[Row], contract: Contract) -> NDArray[np.int64]:
    """Class indices ``(N,)``."""
    names = contract.class_names
    for row in rows:
        if row.label not in names:
            raise BadInputError(f"line {row.line}: label {row.label!r} is not in the contract ({', '.join(names)})")
    return np.array([names.index(row.label) for row in rows], np.int64)
