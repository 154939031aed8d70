"""The batches of an epoch: drawn, varied, and made ahead while a step is being computed. Imports no TensorFlow."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from edge_cns.preprocess import as_float
from edge_cns.training.augment import augment
from edge_cns.training.dataset import Frames
from edge_cns.training.distribute import ALONE, Workers
from edge_cns.training.run import Settings

__all__ = ["batches"]


def batches(
    fit: Frames, settings: Settings, epoch: int, steps: int, workers: Workers = ALONE
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.int64]]]:
    """Yield an epoch's batches; they depend on seed and epoch alone.

    Args:
        fit: what is learned from.
        settings: batch size, seed and augmentation.
        epoch: from 0.
        steps: how many batches; frames beyond them wait for the next epoch.
        workers: each gets its share of every batch, as one process would have varied it.

    Yields:
        Images ``(n, H, W, 1)`` float32 in [0, 1] and class indices ``(n,)``.
    """
    order = np.random.default_rng([settings.seed, epoch]).permutation(len(fit.labels))

    def make(step: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        chosen = order[step * settings.batch_size : (step + 1) * settings.batch_size]
        random = np.random.default_rng([settings.seed, epoch, step])
        share = workers.share(len(chosen))
        for _ in range(share.start):  # varying one pixel takes as much of the random sequence as varying a frame
            augment(np.zeros((1, 1), np.uint8), settings.augmentation, random)
        mine = chosen[share]
        varied = np.stack([augment(fit.images[i], settings.augmentation, random) for i in mine])
        return as_float(varied), fit.labels[mine]

    with ThreadPoolExecutor(1) as pool:
        ahead = pool.submit(make, 0)
        for step in range(steps):
            batch = ahead.result()
            if step + 1 < steps:
                ahead = pool.submit(make, step + 1)
            yield batch
