"""The model card, from a bundle's quantisation report and from an evaluation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from converters.model_card import model_card
from edge_cns.contract import (
    Aggregation,
    ClassDefinition,
    ConformalRule,
    Contract,
    Decision,
    ExamRule,
    InputSpec,
    IntendedUse,
    NoveltyRule,
)
from edge_cns.evaluation.metrics import evaluate
from edge_cns.evaluation.predictions import Predictions

CONTRACT = Contract(
    classes=(ClassDefinition("a|b", "first"), ClassDefinition("normal", "second")),
    input=InputSpec(64, 64),
    intended_use=IntendedUse("Research use only. Not a medical device."),
)
CALIBRATED = Decision(
    calibrated=True,
    temperature=1.5,
    model_sha256="0" * 64,
    conformal=ConformalRule(0.9, (0.2, 0.3), pooled=("normal",)),
    novelty=NoveltyRule(3.0, 0.05),
    exam=ExamRule(Aggregation("log_odds"), (0.5, 0.6), 0.95, "normal", ("axial", "sagittal")),
)
ROW = {"n_frames": 9, "n_patients": 3, "float_sensitivity": 1.0, "int8_sensitivity": 1.0}
QUANTISATION: dict[str, Any] = {
    "training": {
        "settings": {"backbone": "mobilenet_v2", "epochs": 10, "seed": 4},
        "frames": {"fit": 20, "gate": 9},
        "weights": None,
    },
    "shortcut_warnings": [],
    "method": "ptq",
    "outcome": "undecided",
    "margin": 0.02,
    "classes": {"a|b": ROW | {"difference": 0.0, "lower": -0.4, "upper": 0.4, "outcome": "undecided"}},
    "agreement": 1.0,
    "n_frames": 9,
    "n_patients": 3,
    "float_accuracy": 1.0,
    "int8_accuracy": 1.0,
}


def measured(**changes: Any) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 2
    first = np.clip(0.2 + 0.6 * (labels == 0) + rng.normal(0, 0.2, 40), 0.01, 0.99)
    predictions = Predictions(
        classes=CONTRACT.class_names,
        paths=tuple(f"{i}.png" for i in range(40)),
        labels=labels.astype(np.int64),
        probabilities=np.stack([first, 1 - first], axis=1),
        patient_ids=tuple(f"p{i // 4}-{i % 2}" for i in range(40)),
        sets=("unseen",) * 40,
        negative="normal",
        subgroups={"site": tuple(f"s{i % 8 // 4}" for i in range(40))},
    )
    return evaluate(replace(predictions, **changes), resamples=50)


def test_without_an_evaluation_it_says_so() -> None:
    card = model_card(CONTRACT, QUANTISATION)
    assert "not detection in a population" in card
    assert "No evaluation is quoted here" in card
    assert "## Measured" not in card
    assert "Every frame is sorted into one of the classes" in card
    assert "probabilities are raw softmax, and nothing abstains" in card
    assert "Start: random numbers; 10 epochs at most, seed 4" in card


def test_a_calibrated_bundle_says_what_abstains() -> None:
    card = model_card(replace(CONTRACT, decision=CALIBRATED), QUANTISATION)
    for text in (
        "Temperature 1.500",
        "coverage of 90%",
        "threshold of their own: `normal`",
        "5% of the supported frames",
        "`log_odds`, with thresholds for a sensitivity of 95%",
        "before these views were seen: axial, sagittal",
    ):
        assert text in card
    assert "Every frame is sorted" not in card
    assert "raw softmax" not in card


def test_figures_are_those_of_the_metrics() -> None:
    metrics = measured()
    card = model_card(CONTRACT, QUANTISATION, metrics=metrics)
    frame, patient = metrics["by_set"]["unseen"]["frame"], metrics["by_set"]["unseen"]["patient"]
    low, high = frame["accuracy_interval"]
    assert f"| accuracy | {frame['accuracy']:.3f} ({low:.3f} to {high:.3f}) |" in card
    assert "On 40 frames of 20 unseen patients" in card
    ppv = patient["at_prevalence"]["any_finding"]["ppv"]["value"]
    assert f"If 1 in 1,000 exams had the finding (any finding): PPV {ppv:.3f}" in card
    assert "No evaluation is quoted here" not in card
    for line in card.splitlines():
        if line.startswith("| a"):
            assert "\\|" in line or line.startswith("| accuracy")  # a name does not make a column


def test_what_lowers_the_worth_of_the_figures_is_a_limit() -> None:
    metrics = measured(sets=("fit",) * 40, phantom=True)
    group = metrics["subgroups"]["columns"]["site"]["groups"][0]
    group["flags"] = ["accuracy"]
    metrics["heatmaps"] = {"randomisation": {"loses_the_lesion": False}}
    card = model_card(CONTRACT, QUANTISATION, metrics=metrics)
    limits = card.partition("## Limits")[2].partition("## Training")[0]
    assert "patients whom the model has met only" in limits
    assert f"Site s0 ({group['accuracy']:.3f})" in limits
    assert "Heat maps survive shuffled weights" in limits
    assert "**Phantom data: no figure is a clinical one.**" in card


@pytest.mark.parametrize("n", [0, 5])
def test_exams_and_conformal_sets_are_quoted(n: int) -> None:
    rate = {"value": 0.25, "n": 5, "interval": [0.1, 0.5]}
    metrics = measured() | {
        "conformal": {"overall": rate},
        "exams": {"answered": rate, "error": rate, "unlisted_clear": rate | {"n": n}},
    }
    card = model_card(CONTRACT, QUANTISATION, metrics=metrics)
    assert "Conformal sets hold the true class: 0.250 (0.100 to 0.500)" in card
    assert ("unlisted anomaly" in card) is (n > 0)
