"""Keras's HDF5 weights are read by layer, and damaged or foreign files end in one line."""

from __future__ import annotations

import io

import numpy as np
import pytest

from edge_cns.errors import BadInputError
from edge_cns.training import keras_checkpoint

h5py = pytest.importorskip("h5py", reason="needs the train extra")

KERNEL, BIAS = np.arange(12, dtype=np.float32).reshape(1, 1, 3, 4), np.arange(4, dtype=np.float32)
SHAPES = {"block_expand": [(1, 1, 3, 4), (4,)]}


def file(
    *, nested: bool = False, kernel: np.ndarray = KERNEL, layers: tuple[str, ...] = ("input", "block/expand")
) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as target:
        root = target.create_group("model_weights") if nested else target
        root.attrs["layer_names"] = [name.encode() for name in layers]
        for name in layers:
            root.create_group(name).attrs["weight_names"] = []
        group = root[layers[-1]]
        group.attrs["weight_names"] = [b"block/expand/kernel:0", b"block/expand/bias:0"]
        group["block/expand/kernel:0"], group["block/expand/bias:0"] = kernel, BIAS
    return buffer.getvalue()


GOOD = file()


@pytest.mark.parametrize("nested", [False, True])
def test_reads_the_layers_that_are_asked_for(nested: bool) -> None:
    arrays = keras_checkpoint.read(file(nested=nested), SHAPES, source="file.h5")
    assert list(arrays) == ["block_expand"]
    np.testing.assert_array_equal(arrays["block_expand"][0], KERNEL)
    np.testing.assert_array_equal(arrays["block_expand"][1], BIAS)
    assert keras_checkpoint.read(GOOD, {}, source="file.h5") == {}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is no HDF5 file"),
        (b"PK\x03\x04", "is no HDF5 file"),
        (GOOD[: len(GOOD) // 2], "damaged or no Keras weights file"),
        (file(layers=("input", "block/project")), "no layer block_expand"),
        (file(kernel=KERNEL[..., :2]), r"shapes \[\(1, 1, 3, 2\), \(4,\)\] in layer block_expand"),
        (file(kernel=np.array("text", dtype="S4")), "shapes"),
        (file(kernel=np.full((1, 1, 3, 4), b"text")), "damaged or no Keras weights file"),
    ],
    ids=["empty", "zip", "cut", "other layers", "other width", "scalar", "strings"],
)
def test_any_other_file_is_refused_in_one_line(content: bytes, reason: str) -> None:
    with pytest.raises(BadInputError, match=reason) as caught:
        keras_checkpoint.read(content, SHAPES, source="file.h5")
    assert "\n" not in str(caught.value)


def test_a_file_cannot_ask_for_any_amount_of_memory() -> None:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as target:
        target.attrs["layer_names"] = [b"block_expand"]
        group = target.create_group("block_expand")
        group.attrs["weight_names"] = [b"kernel:0"]
        group.create_dataset("kernel:0", shape=(1 << 40,), dtype="f4", chunks=(1 << 16,))
    assert len(buffer.getvalue()) < 10_000
    with pytest.raises(BadInputError, match="shapes"):
        keras_checkpoint.read(buffer.getvalue(), SHAPES, source="file.h5")


def test_every_truncation_is_refused() -> None:
    for length in range(0, len(GOOD), 97):
        with pytest.raises(BadInputError) as caught:
            keras_checkpoint.read(GOOD[:length], SHAPES, source="file.h5")
        assert "\n" not in str(caught.value)
