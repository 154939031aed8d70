"""An epoch's batches: what they depend on, and how workers share them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_cns.training.augment import Augmentation, augment
from edge_cns.training.batches import batches
from edge_cns.training.dataset import Frames, LabelledImages, StreamedImages
from edge_cns.training.distribute import Workers
from edge_cns.training.frame_cache import StoredImages
from edge_cns.training.run import Settings

SETTINGS = Settings(image_size=32, batch_size=8)


@pytest.fixture(scope="module")
def fit() -> LabelledImages:
    images = np.random.default_rng(0).integers(0, 255, (40, 32, 32), dtype=np.uint8)
    return LabelledImages(images, np.arange(40) % 2)


def epoch(
    fit: Frames, number: int, settings: Settings = SETTINGS, workers: Workers | None = None
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    images, labels = zip(*batches(fit, settings, number, 5, workers or Workers()), strict=True)
    return list(images), list(labels)


def test_batches_depend_on_seed_and_epoch_alone(fit: LabelledImages) -> None:
    images, labels = epoch(fit, 3)
    again, same = epoch(fit, 3)
    np.testing.assert_array_equal(images, again)
    np.testing.assert_array_equal(labels, same)
    assert not np.array_equal(images, epoch(fit, 4)[0])
    assert not np.array_equal(images, epoch(fit, 3, replace(SETTINGS, seed=1))[0])
    assert np.shape(images) == (5, 8, 32, 32, 1)
    assert np.bincount(np.concatenate(labels)).tolist() == [20, 20]  # every frame once


def test_batches_are_drawn_as_they_always_were(fit: LabelledImages) -> None:
    """A training that an earlier version has begun goes on with the same batches."""
    order = np.random.default_rng([SETTINGS.seed, 1]).permutation(40)
    for step, (images, labels) in enumerate(zip(*epoch(fit, 1), strict=True)):
        random = np.random.default_rng([SETTINGS.seed, 1, step])
        chosen = order[8 * step : 8 * step + 8]
        expected = [augment(fit.images[i], SETTINGS.augmentation, random) for i in chosen]
        np.testing.assert_array_equal(images[..., 0], np.float32(expected) / np.float32(255))
        np.testing.assert_array_equal(labels, fit.labels[chosen])


@pytest.mark.parametrize("count", [2, 3, 8])
@pytest.mark.parametrize("augmentation", [Augmentation(), Augmentation(aspect=1.0, shift=0.0, horizontal_flip=0.0)])
def test_workers_shares_make_up_the_batch(fit: LabelledImages, count: int, augmentation: Augmentation) -> None:
    """Same frames, same variation, in the same order: gradients over shares add up to those of the batch."""
    settings = replace(SETTINGS, augmentation=augmentation)
    whole = epoch(fit, 0, settings)
    shares = [epoch(fit, 0, settings, Workers(index, count)) for index in range(count)]
    for part in (0, 1):
        for step in range(5):
            together = np.concatenate([share[part][step] for share in shares])
            np.testing.assert_array_equal(together, whole[part][step])


@given(st.integers(0, 1000), st.integers(1, 40))
def test_shares_are_even_and_leave_nothing_out(things: int, count: int) -> None:
    shares = [range(things)[Workers(index, count).share(things)] for index in range(count)]
    assert [thing for share in shares for thing in share] == list(range(things))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_frames_on_disk_make_the_same_batches(fit: LabelledImages, tmp_path: Path) -> None:
    path = tmp_path / "all.part"
    path.write_bytes(fit.images.tobytes())
    stored = StreamedImages(StoredImages([path], fit.images[:10], 40, 40), fit.labels)
    for one, other in zip(epoch(fit, 2), epoch(stored, 2), strict=True):
        np.testing.assert_array_equal(one, other)
