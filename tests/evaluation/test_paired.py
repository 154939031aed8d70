from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from edge_cns.errors import BadInputError
from edge_cns.evaluation.metrics import evaluate
from edge_cns.evaluation.paired import compare_models, mcnemar
from edge_cns.evaluation.predictions import Predictions


def another(predictions: Predictions, noise: float, seed: int = 0) -> Predictions:
    """The same rows by a model whose scores differ a little."""
    logits = np.log(predictions.probabilities)
    logits += noise * np.random.default_rng(seed).normal(size=logits.shape)
    p = np.exp(logits)
    return replace(predictions, probabilities=p / p.sum(axis=1, keepdims=True))


@pytest.fixture
def pair(make_predictions) -> tuple[Predictions, Predictions]:
    a = make_predictions(several_labels=True, patients=80, sets=("unseen",))
    return a, another(a, 1.0)


def test_a_published_mcnemar_example() -> None:
    # Fagerland, Lydersen & Laake 2013, BMC Med. Res. Methodol. 13:91: airway hyper-responsiveness of 21 children
    before = np.repeat([True, True, False, False], [1, 1, 7, 12])
    after = np.repeat([True, False, True, False], [1, 1, 7, 12])
    found = mcnemar(before, after)
    assert found["p_value"] == pytest.approx(0.0703, abs=5e-5)
    assert [found[key] for key in ("both_right", "only_a", "only_b", "both_wrong")] == [1, 1, 7, 12]


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_the_binomial_test_of_the_discordant(only_a: int, only_b: int) -> None:
    a = np.repeat([True, False, True], [only_a, only_b, 5])
    b = np.repeat([False, True, True], [only_a, only_b, 5])
    expected = binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
    assert mcnemar(a, b)["p_value"] == pytest.approx(expected)
    assert mcnemar(b, a)["p_value"] == pytest.approx(expected)


def test_figures_are_those_of_each_model_and_their_difference(pair) -> None:
    a, b = pair
    found = compare_models(a, b, resamples=300)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    alone = [evaluate(model, resamples=20) for model in pair]
    for level in ("frame", "patient"):
        for key in ("accuracy", "balanced_accuracy", "auroc_macro"):
            figure = found[level][key]
            assert (figure["a"], figure["b"]) == pytest.approx(tuple(metrics[level][key] for metrics in alone))
            assert figure["difference"] == pytest.approx(figure["b"] - figure["a"])
            low, high = figure["interval"]
            assert low < figure["difference"] < high
        for name, entry in found[level]["per_class"].items():
            expected = [metrics[level]["per_class"][name] for metrics in alone]
            assert entry["sensitivity"]["a"] == pytest.approx(expected[0]["sensitivity"]["value"])
            assert entry["auroc"]["b"] == pytest.approx(expected[1]["auroc"]["value"])
    assert found["patient"]["unit"] == "cases (patient_id, label)"
    assert found["n_cases"] == found["patient"]["n"] == found["n_patients"] * 3


def test_swapping_the_models_turns_the_differences(pair) -> None:
    one, other = compare_models(*pair, resamples=300), compare_models(*pair[::-1], resamples=300)
    for key in ("accuracy", "balanced_accuracy", "auroc_macro"):
        assert one["frame"][key]["difference"] == pytest.approx(-other["frame"][key]["difference"])
        assert one["frame"][key]["interval"] == pytest.approx([-x for x in other["frame"][key]["interval"][::-1]])
    assert one["frame"]["mcnemar"]["only_a"] == other["frame"]["mcnemar"]["only_b"]


def test_pairing_narrows_the_interval(pair) -> None:
    a, _ = pair
    b = another(a, 0.2)
    figure = compare_models(a, b, resamples=300)["frame"]["accuracy"]
    alone = evaluate(a, resamples=300)["frame"]["accuracy_interval"]
    assert np.ptp(figure["interval"]) < np.ptp(alone) / 2


def test_a_model_against_itself_is_bounded_by_the_number_of_patients(pair) -> None:
    a, _ = pair
    found = compare_models(a, a, resamples=100)
    assert found["frame"]["mcnemar"]["p_value"] == 1
    accuracy = found["patient"]["accuracy"]
    assert accuracy["difference"] == 0
    assert accuracy["interval"] == pytest.approx([-(1 - 0.025 ** (1 / 80)), 1 - 0.025 ** (1 / 80)])
    assert found["frame"]["auroc_macro"]["interval"] is None


def test_rows_in_another_order_and_folder_are_the_same_rows(pair) -> None:
    a, b = pair
    order = np.random.default_rng(0).permutation(len(b))
    moved = replace(
        b,
        paths=tuple(f"/mnt/scans/{b.paths[i]}" for i in order),
        labels=b.labels[order],
        probabilities=b.probabilities[order],
        patient_ids=tuple(b.patient_ids[i] for i in order),
        subgroups={},
    )
    a_elsewhere = replace(a, paths=tuple(f"data/../scans/{path}" for path in a.paths))
    assert compare_models(a_elsewhere, moved, resamples=100) == compare_models(a, b, resamples=100)


def test_patients_that_a_model_has_met_are_left_out(make_predictions) -> None:
    a = make_predictions(several_labels=True, patients=60)  # a third of the patients each: fit, gate, unseen
    b = replace(another(a, 0.5), sets=tuple("fit" if s == "gate" else s for s in a.sets))
    found = compare_models(a, b, resamples=100)
    assert (found["whose"], found["n_patients"], found["n_left_out"]) == ("patients unseen by both", 20, 160)
    met = replace(b, sets=tuple("fit" if s == "unseen" else "unseen" for s in a.sets))
    found = compare_models(a, met, resamples=100)
    assert (found["whose"], found["n_patients"], found["n_left_out"]) == ("patients that a model has seen", 60, 0)


def test_a_class_without_rows_has_no_figures(pair) -> None:
    a, b = (model.select(model.labels != 2) for model in pair)
    found = compare_models(a, b, resamples=100)["frame"]
    assert found["per_class"]["spine"] == {"n": 0, "sensitivity": None, "auroc": None}
    assert found["balanced_accuracy"]["a"] == pytest.approx(
        np.mean([found["per_class"][name]["sensitivity"]["a"] for name in ("cord", "head")])
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: b.select(np.arange(len(b)) > 0), "A has 320 frames, B has 319"),
        (lambda b: replace(b, classes=("cord", "head", "tail")), "cord, head, spine in A, cord, head, tail in B"),
        (lambda b: replace(b, paths=("other.png", *b.paths[1:])), "frame frame0.png is in A, not in B"),
        (lambda b: replace(b, paths=("a.png", *b.paths[1:])), "frame a.png is in B, not in A"),
        (
            lambda b: replace(b, patient_ids=("new", *b.patient_ids[1:])),
            "frame frame0.png is of patient 'p000' in A, of 'new' in B",
        ),
        (
            lambda b: replace(b, labels=np.where(np.arange(len(b)) == 7, 0, b.labels)),
            "frame frame7.png has the label 'head' in A, 'cord' in B",
        ),
    ],
)
def test_the_first_difference_is_named(pair, change, message: str) -> None:
    a, b = pair
    with pytest.raises(BadInputError, match=message) as caught:
        compare_models(a, change(b))
    assert "\n" not in str(caught.value)
