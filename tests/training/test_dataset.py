from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_cns.contract import ClassDefinition, Contract, InputSpec, IntendedUse
from edge_cns.data.images import read_image
from edge_cns.data.manifest import Manifest, read_manifest
from edge_cns.errors import BadInputError
from edge_cns.preprocess import image
from edge_cns.training.dataset import LabelledImages, StreamedImages, in_parts, load_images, rows_of, stream_images

CONTRACT = Contract((ClassDefinition("a"), ClassDefinition("b")), InputSpec(32, 48), IntendedUse("For tests."))
SETS = {"p0": "fit", "p1": "gate", "p2": "fit", "p3": "fit"}


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    lines = ["path,label,patient_id,split,evidence"]
    table = [
        ("b", "p0", "", ""),
        ("a", "p1", "", ""),
        ("a", "p2", "", "false"),
        ("b", "p3", "test", ""),
        ("a", "p0", "", "true"),
    ]
    for i, (label, patient, split, evidence) in enumerate(table):
        pixels = np.random.default_rng(i).integers(20, 200, (70, 90), dtype=np.uint8)
        (tmp_path / f"{i}.png").write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
        lines.append(f"{i}.png,{label},{patient},{split},{evidence}")
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    return read_manifest(tmp_path / "labels.csv")


def test_rows_of_a_set_leave_out_test_frames_and_frames_without_evidence(manifest: Manifest) -> None:
    assert [row.path.name for row in rows_of(manifest, SETS, "fit")] == ["0.png", "4.png"]
    assert [row.path.name for row in rows_of(manifest, SETS, "gate")] == ["1.png"]
    assert rows_of(manifest, SETS, "stop") == ()


def test_images_are_what_the_runtime_sees(manifest: Manifest) -> None:
    seen = []
    loaded = load_images(manifest.rows, CONTRACT, "reading", lambda *arguments: seen.append(arguments))
    assert loaded.images.shape == (5, 32, 48)
    assert loaded.images.dtype == np.uint8
    assert loaded.labels.tolist() == [1, 0, 0, 1, 0]
    for row, picture in zip(manifest.rows, loaded.images, strict=True):
        np.testing.assert_array_equal(picture, image(read_image(row.path), CONTRACT.input))
    assert seen[-1] == ("reading", 5, 5)


def test_a_label_that_the_contract_lacks(manifest: Manifest) -> None:
    other = Contract((ClassDefinition("a"), ClassDefinition("c")), CONTRACT.input, CONTRACT.intended_use)
    with pytest.raises(BadInputError, match=r"line 2: label 'b' is not in the contract \(a, c\)"):
        load_images(manifest.rows, other, "reading")


def test_what_fits_in_memory_stays_there(manifest: Manifest, tmp_path: Path) -> None:
    expected = load_images(manifest.rows, CONTRACT, "reading")
    folder, size = tmp_path / "run" / "frames", expected.images.nbytes
    kept = stream_images(manifest.rows, CONTRACT, "reading", folder=folder, memory_bytes=size)
    assert isinstance(kept, LabelledImages)
    assert not folder.parent.exists()
    streamed = stream_images(manifest.rows, CONTRACT, "reading", folder=folder, memory_bytes=size - 1)
    assert isinstance(streamed, StreamedImages)
    assert [path.suffix for path in folder.iterdir()] == [".part"]
    for found in (kept, streamed):
        np.testing.assert_array_equal(found.images[:], expected.images)
        np.testing.assert_array_equal(found.labels, expected.labels)


def test_a_label_is_refused_before_anything_is_prepared(manifest: Manifest, tmp_path: Path) -> None:
    other = Contract((ClassDefinition("a"), ClassDefinition("c")), CONTRACT.input, CONTRACT.intended_use)
    with pytest.raises(BadInputError, match="line 2: label 'b' is not in the contract"):
        stream_images(manifest.rows, other, "reading", folder=tmp_path / "frames", memory_bytes=0)
    assert not (tmp_path / "frames").exists()


def test_parts_are_in_order_and_leave_nothing_out() -> None:
    images = np.arange(1300, dtype=np.uint16).astype(np.uint8).reshape(-1, 1, 1)
    assert [len(part) for part in in_parts(images)] == [512, 512, 276]
    np.testing.assert_array_equal(np.concatenate(list(in_parts(images, slice(100, 900)))), images[100:900])
    assert list(in_parts(images, slice(5, 5))) == []
