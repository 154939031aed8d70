from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_cns.errors import InitialisationError
from edge_cns.runtime.engine.wire import SLOTS, Tensor, TensorMemory

TENSORS = {
    "image": Tensor((1, 5, 7, 1), "|i1", 1 / 255, -128),
    "logits": Tensor((1, 3), "|i1", 0.1, 4),
    "embedding": Tensor((1, 9), "<f4", 0.0, 0),
}


def test_both_sides_see_one_memory_and_no_tensor_overlaps():
    ours = TensorMemory(TENSORS)
    theirs = TensorMemory(TENSORS, os.dup(ours.descriptor))
    value = 0
    for slot in range(SLOTS):
        for name in TENSORS:
            value += 1
            theirs.view(slot, name)[:] = value
    value = 0
    for slot in range(SLOTS):
        for name, tensor in TENSORS.items():
            value += 1
            assert ours.view(slot, name).shape == tensor.shape
            assert (ours.view(slot, name) == value).all()
            assert ours.view(slot, name).ctypes.data % 64 == 0
    theirs.close()
    ours.close()
    ours.close()


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["", "|i1", "<f4", "O", "V9", "x"])
json_values = (
    scalars | st.lists(scalars, max_size=4) | st.dictionaries(st.sampled_from(["a", "shape"]), scalars, max_size=2)
)


@given(st.dictionaries(st.sampled_from(["shape", "dtype", "scale", "zero_point"]), json_values, max_size=4))
def test_what_describes_no_tensor_is_refused(value):
    try:
        tensor = Tensor.from_json(value)
    except InitialisationError:
        return
    assert 0 < tensor.size <= 2**26
    assert np.dtype(tensor.dtype).itemsize > 0


@pytest.mark.parametrize("shape", [[1, 0], [-1, 4], [2**20, 2**20], [2**40]])
def test_shapes_out_of_range(shape):
    with pytest.raises(InitialisationError, match="no frame's"):
        Tensor.from_json({"shape": shape, "dtype": "|i1", "scale": 0.1, "zero_point": 0})
