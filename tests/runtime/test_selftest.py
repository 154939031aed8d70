from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from edge_cns.bundle import Bundle, read_arrays, read_bundle, write_arrays
from edge_cns.contract import OUTPUTS
from edge_cns.errors import BadInputError, GoldenMismatchError
from edge_cns.runtime.backends.litert import LiteRT
from edge_cns.runtime.selftest import check_golden, engine_identity, record_golden


@pytest.fixture
def bundle(tiny_bundle):
    return read_bundle(tiny_bundle)


@pytest.fixture
def engine(bundle):
    opened = LiteRT(bundle.files["model.tflite"])
    yield opened
    opened.close()


def golden_of(bundle: Bundle) -> dict[str, np.ndarray]:
    return read_arrays(bundle.files["golden.npz"], "golden.npz")


def with_golden(bundle: Bundle, **arrays: np.ndarray) -> Bundle:
    content = write_arrays(golden_of(bundle) | arrays)
    return replace(bundle, files={**bundle.files, "golden.npz": content})


def with_record(bundle: Bundle, **record: object) -> Bundle:
    golden = {**bundle.quantisation["golden"], **record}
    return replace(bundle, quantisation={**bundle.quantisation, "golden": golden})


def elsewhere(bundle: Bundle, **parts: object) -> Bundle:
    """The same bundle, as recorded on another engine, version or machine."""
    return with_record(bundle, engine={**bundle.quantisation["golden"]["engine"], **parts})


def shifted(bundle: Bundle, name: str, steps: int) -> Bundle:
    """The golden output off by some int8 steps at one place of the second frame, towards 0."""
    array = golden_of(bundle)[name].copy()
    place = (1, *(size - 1 for size in array.shape[1:]))
    array[place] += -steps if array[place] > 0 else steps
    return with_golden(bundle, **{name: array})


def test_what_is_recorded(bundle, engine):
    golden = golden_of(bundle)
    assert {name: (array.shape[1:], array.dtype.name) for name, array in golden.items()} == {
        "frames": ((128, 128), "uint8"),
        "image": ((64, 64), "uint8"),
        "logits": ((3,), "int8"),
        "cam": ((8, 8, 3), "int8"),
        "embedding": ((32,), "int8"),
    }
    again = record_golden(engine, list(golden["frames"]), bundle.contract.input)
    assert all(np.array_equal(again[name], golden[name]) for name in golden)


def test_exact_on_the_machine_that_recorded(bundle, engine):
    assert check_golden(bundle, engine) is True


def test_the_identity_is_json_and_complete(engine):
    identity = engine_identity(engine)
    assert json.loads(json.dumps(identity)) == identity
    assert list(identity) == ["name", "version", "machine", "cpu_features", "opencv"]


@pytest.mark.parametrize(
    "parts", [{"version": "0.1"}, {"name": "other"}, {"cpu_features": []}, {"machine": "riscv64"}, {"opencv": "0"}]
)
def test_elsewhere_the_tolerance_applies(bundle, engine, parts):
    assert check_golden(elsewhere(bundle, **parts), engine) is False
    assert check_golden(elsewhere(shifted(bundle, "cam", 3), **parts), engine) is False
    with pytest.raises(GoldenMismatchError, match="output 'cam' differs by 4 steps, 3 are allowed"):
        check_golden(elsewhere(shifted(bundle, "cam", 4), **parts), engine)


@pytest.mark.parametrize("name", OUTPUTS)
@pytest.mark.parametrize("steps", [1, 20])
def test_a_mismatch_names_the_tensor_and_by_how_much(bundle, engine, name, steps):
    text = f"golden frame 1: output '{name}' differs by {steps} steps, 0 are allowed"
    with pytest.raises(GoldenMismatchError, match=text) as caught:
        check_golden(shifted(bundle, name, steps), engine)
    assert "\n" not in str(caught.value)


def test_a_sum_of_int8_does_not_wrap_round(bundle, engine):
    """127 and -128 differ by 255 steps, not by 1."""
    opposite = np.where(golden_of(bundle)["embedding"] < 0, 127, -128).astype(np.int8)
    with pytest.raises(GoldenMismatchError, match=r"differs by (1[3-9]\d|2\d\d) steps"):
        check_golden(with_golden(bundle, embedding=opposite), engine)


def test_preprocessing_is_tested_too(bundle, engine):
    other = golden_of(bundle)["image"].copy()
    other[0, 30, 30] ^= 2
    with pytest.raises(GoldenMismatchError, match="frame 0: preprocessed image differs by 2 steps, 0 are allowed"):
        check_golden(with_golden(bundle, image=other), engine)
    for parts in ({"opencv": "0"}, {"cpu_features": []}):
        with pytest.raises(GoldenMismatchError, match="output"):  # the image passes, what is made of it is checked
            check_golden(elsewhere(shifted(with_golden(bundle, image=other), "logits", 100), **parts), engine)


def test_the_class_must_be_the_same_where_its_lead_exceeds_the_tolerance(bundle, engine):
    logits = golden_of(bundle)["logits"].astype(int)
    first, second = np.argsort(logits[0])[::-1][:2]
    lead = int(logits[0, first] - logits[0, second])
    tolerance = lead + 1
    logits[0, first] -= tolerance
    logits[0, second] += tolerance  # now the other class leads by lead + 2, more than the tolerance
    assert np.abs(logits).max() <= 128
    steps = {"logits": tolerance, "cam": 3, "embedding": 3}
    other = with_record(
        with_golden(elsewhere(bundle, version="0"), logits=logits.astype(np.int8)), tolerance_steps=steps
    )
    with pytest.raises(GoldenMismatchError, match=f"golden frame 0: class {first} instead of {second}"):
        check_golden(other, engine)


@pytest.mark.parametrize(
    "record",
    [
        {"engine": "litert"},
        {"engine": None},
        {"engine": [1]},
        {"tolerance_steps": None},
        {"tolerance_steps": {"logits": 3, "cam": 3}},
        {"tolerance_steps": {"logits": "many", "cam": 3, "embedding": 3}},
        {"tolerance_steps": {"logits": float("inf"), "cam": 3, "embedding": 3}},
        {"tolerance_steps": {"logits": -1, "cam": 3, "embedding": 3}},
    ],
    ids=str,
)
def test_a_record_that_is_none(bundle, engine, record):
    with pytest.raises(BadInputError, match="convert the model again") as caught:
        check_golden(with_record(bundle, **record), engine)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("golden", [None, [], "x", 3])
def test_no_record_at_all(bundle, engine, golden):
    with pytest.raises(BadInputError, match="convert the model again"):
        check_golden(replace(bundle, quantisation={**bundle.quantisation, "golden": golden}), engine)


@pytest.mark.parametrize(
    "arrays",
    [
        {"frames": np.zeros((0, 128, 128), np.uint8)},
        {"frames": np.zeros((3, 128, 128), np.uint8)},
        {"frames": np.zeros((2, 128), np.uint8)},
        {"frames": np.zeros((2, 128, 128), np.float32)},
        {"frames": np.array(3)},
        {"image": np.zeros((2, 32, 64), np.uint8)},
        {"image": np.zeros((2, 64, 64), np.int32)},
        {"logits": np.zeros((2, 3), np.float32)},
        {"logits": np.zeros((1, 3), np.int8)},
    ],
    ids=lambda arrays: "-".join(f"{n}{a.shape}{a.dtype}" for n, a in arrays.items()),
)
def test_golden_vectors_that_are_none(bundle, engine, arrays):
    with pytest.raises(BadInputError):
        check_golden(with_golden(bundle, **arrays), engine)


@pytest.mark.parametrize("shape", [(2, 4), (2,), (2, 3, 1)])
def test_another_number_of_classes_is_a_mismatch(bundle, engine, shape):
    with pytest.raises(GoldenMismatchError, match=r"'logits' has shape \(3,\)"):
        check_golden(with_golden(bundle, logits=np.zeros(shape, np.int8)), engine)


def test_missing_vectors(bundle, engine):
    only = {"frames": golden_of(bundle)["frames"]}
    with pytest.raises(BadInputError, match=r"golden\.npz"):
        check_golden(replace(bundle, files={**bundle.files, "golden.npz": write_arrays(only)}), engine)
