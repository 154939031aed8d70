"""The cache of features: what it depends on, what it survives, and what is in it."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_cns.errors import BadInputError
from edge_cns.training.cross_validation import features as module
from edge_cns.training.cross_validation.features import cache_folder, frozen_features
from edge_cns.training.run import Settings

SETTINGS = Settings(backbone="mobilenet_v1", alpha=0.25, weights="none", image_size=32)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(module, "_PART", 4)
    return tmp_path / "cache" / "edge-cns" / "features"


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """Ten noise images: three parts."""
    found = []
    for i in range(10):
        pixels = np.random.default_rng(i).integers(30, 220, (64, 64)).astype(np.uint8)
        found.append(tmp_path / f"{i}.png")
        found[-1].write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    return found


@pytest.fixture
def embedded(monkeypatch) -> list[str]:
    """Names of the files that were embedded, by a stand-in that gives their mean."""
    names: list[str] = []

    def embed(model, paths, spec) -> np.ndarray:
        names.extend(path.name for path in paths)
        return np.array([[cv2.imread(str(path), 0).mean(), 1.0] for path in paths], np.float32)

    monkeypatch.setattr(module, "_network", lambda *_: object())
    monkeypatch.setattr(module, "_embed", embed)
    return names


def test_features_are_computed_once(paths: list[Path], embedded: list[str], cache: Path) -> None:
    first = frozen_features(paths, SETTINGS)
    assert len(embedded) == 10
    assert cache_folder() == cache
    assert len(list(cache.iterdir())) == 3
    again = frozen_features(paths, SETTINGS)
    assert len(embedded) == 10
    np.testing.assert_array_equal(first.values, again.values)
    assert first.sha256 == again.sha256
    assert first.values[3, 0] == pytest.approx(cv2.imread(str(paths[3]), 0).mean())


def test_names_do_not_matter_and_pixels_do(paths: list[Path], embedded: list[str], tmp_path: Path) -> None:
    first = frozen_features(paths, SETTINGS)
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    copies = [Path(shutil.copy(path, moved / f"copy-{path.name}")) for path in paths]
    assert frozen_features(copies, SETTINGS).sha256 == first.sha256
    assert len(embedded) == 10
    copies[5].write_bytes(paths[0].read_bytes())
    assert frozen_features(copies, SETTINGS).sha256 != first.sha256
    assert embedded[10:] == [f"copy-{i}.png" for i in range(4, 8)]  # its part, and no other


def test_rows_that_are_added_cost_no_more_than_themselves(paths: list[Path], embedded: list[str]) -> None:
    frozen_features(paths[:8], SETTINGS)
    frozen_features(paths, SETTINGS)
    assert embedded[8:] == ["8.png", "9.png"]


def test_another_network_is_another_cache(paths: list[Path], embedded: list[str]) -> None:
    for settings in (SETTINGS, Settings(backbone="mobilenet_v1", alpha=0.25, weights="none", image_size=64)):
        frozen_features(paths, settings)
    frozen_features(paths, Settings(backbone="mobilenet_v1", alpha=0.25, weights="none", image_size=32, seed=1))
    assert len(embedded) == 30


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY", b"not an array"])
def test_a_damaged_part_is_computed_again(paths: list[Path], embedded: list[str], cache: Path, damage: bytes) -> None:
    expected = frozen_features(paths, SETTINGS).values
    for file in cache.iterdir():
        file.write_bytes(damage)
    np.testing.assert_array_equal(frozen_features(paths, SETTINGS).values, expected)
    assert len(embedded) == 20


def test_a_relative_cache_is_ignored_as_the_specification_says(monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "here")
    assert cache_folder() == Path.home() / ".cache" / "edge-cns" / "features"


def test_an_image_that_is_gone(paths: list[Path], embedded: list[str]) -> None:
    paths[9].unlink()
    with pytest.raises(BadInputError, match=r"9\.png does not exist"):
        frozen_features(paths, SETTINGS)
    assert embedded == []  # before anything is computed


def test_missing_weights(paths: list[Path]) -> None:
    with pytest.raises(BadInputError, match=r"weights gone\.h5: does not exist"):
        frozen_features(paths, Settings(weights="gone.h5"))


class TestTheNetwork:
    def test_it_is_the_one_a_training_starts_from(self, paths: list[Path]) -> None:
        pytest.importorskip("tensorflow", reason="needs the train extra")
        from edge_cns.contract import InputSpec
        from edge_cns.data.images import read_image
        from edge_cns.preprocess import image
        from edge_cns.training.backbones.build import build
        from edge_cns.training.keras import keras
        from edge_cns.training.model import embeddings, make_classifier

        found = frozen_features(paths, SETTINGS).values
        keras.utils.set_random_seed(SETTINGS.seed)
        model = make_classifier(build("mobilenet_v1", alpha=0.25, image_size=32, weights=None), 3)
        images = np.stack([image(read_image(path), InputSpec(32, 32)) for path in paths])
        np.testing.assert_allclose(found, embeddings(model, images), rtol=1e-4, atol=1e-5)

    def test_features_that_are_not_numbers_are_refused(self, paths: list[Path], monkeypatch, cache: Path) -> None:
        model = pytest.importorskip("edge_cns.training.model", reason="needs the train extra")
        spoilt = np.ones((4, 8), np.float32)
        spoilt[2, 1] = np.nan
        monkeypatch.setattr(module, "_network", lambda *_: object())
        monkeypatch.setattr(model, "embeddings", lambda *_: spoilt)
        with pytest.raises(BadInputError, match=r"2\.png: its features are not finite numbers; the weights file"):
            frozen_features(paths, SETTINGS)
        assert not cache.exists()
