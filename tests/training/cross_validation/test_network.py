"""Folds that train a network: on their own patients alone, and only once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the train extra")
from edge_cns.data.manifest import read_manifest
from edge_cns.training import train as train_module
from edge_cns.training.cross_validation import run as module
from edge_cns.training.cross_validation.pool import open_pool
from edge_cns.training.cross_validation.run import cross_validate
from edge_cns.training.cross_validation.settings import CrossValidationSettings
from tests.trained import small_network, write_set
from tests.training.cross_validation.made_set import without_pictures

SETTINGS = CrossValidationSettings(
    scheme="grouped-k-fold", folds=2, finetune=True, weights="none", image_size=64, epochs=1, target_sensitivity=0.8
)


def test_every_fold_trains_on_its_own_patients_and_goes_on_after_an_interruption(tmp_path: Path, monkeypatch) -> None:
    manifest, out = read_manifest(write_set(tmp_path / "set", frames=1)), tmp_path / "out"
    fold = module.make_folds(manifest.rows, "grouped-k-fold", folds=2)
    trained: list[set[str]] = []
    train = train_module.train

    def spy(given, *arguments, **settings):
        if len(trained) == 1 and not interrupted:
            interrupted.append(True)
            raise KeyboardInterrupt
        record = train(given, *arguments, **settings)
        trained.append(set(record["sets"]))
        return record

    interrupted: list[bool] = []
    monkeypatch.setattr(train_module, "train", spy)
    with small_network(), open_pool(1) as pool, without_pictures():
        with pytest.raises(KeyboardInterrupt):
            cross_validate(manifest, out, SETTINGS, pool)
        assert (out / "journal" / "folds-0.npz").exists()
        metrics = cross_validate(manifest, out, SETTINGS, pool)
    assert len(trained) == 2  # the first fold was not trained again
    for k, patients in enumerate(trained):
        tested = {row.patient_id for row, f in zip(manifest.rows, fold.fold, strict=True) if f == k}
        assert patients == set(manifest.patients) - tested
    block = metrics["cross_validation"]
    assert (block["folds"], block["resumed"], block["inner_groups"]) == (2, True, None)
    assert "inverse_penalty" not in block["chosen"]
    assert metrics["n_frames"] == len(manifest.rows)
    assert np.isfinite(metrics["frame"]["auroc_macro"])
    assert metrics["patient"]["decisions"]["target_sensitivity"] == 0.8
    assert not (out / "journal").exists()
