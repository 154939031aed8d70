"""Leaks that are planted, and shown to be caught; and chance, where there is nothing to find.

The audit: change the labels of the tested patient only. An honest procedure predicts that patient as before, because
nothing it does may depend on them. A procedure that fits, selects or calibrates on them does not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs the evaluate extra")
from sklearn.feature_selection import SelectKBest, f_classif

from edge_cns.data.manifest import Row
from edge_cns.evaluation.metrics import evaluate
from edge_cns.training.cross_validation.choices import statement
from edge_cns.training.cross_validation.folds import Folds, make_folds
from edge_cns.training.cross_validation.problem import labelled, make_problem
from edge_cns.training.cross_validation.results import gather
from edge_cns.training.cross_validation.settings import INVERSE_PENALTIES
from tests.training.cross_validation.made import draw, features_of, nested_problem, rows_of, solved

Procedure = Callable[[np.ndarray, list[Row]], np.ndarray]
"""Features and rows to the probabilities of the tested rows, by whatever it takes."""


def audit(procedure: Procedure, features: np.ndarray, rows: list[Row], tested: np.ndarray) -> float:
    """Largest change of the tested rows' predictions when their own labels, and nothing else, are changed."""
    turned = {"a": "b", "b": "c", "c": "a"}
    changed = [replace(row, label=turned[row.label]) if t else row for row, t in zip(rows, tested, strict=True)]
    return float(np.abs(procedure(features, rows) - procedure(features, changed)).max())


@pytest.fixture
def ours(tmp_path: Path) -> Procedure:
    """The nested cross-validation of patient p005."""
    runs = iter(range(99))

    def predict(features: np.ndarray, rows: list[Row]) -> np.ndarray:
        every = make_folds(rows, "leave-one-patient-out")
        asked = every.names.index("p005")
        folds = Folds(("p005",), np.where(every.fold == asked, 0, -1), every.group)
        problem = make_problem(features, labelled(rows, None), folds, INVERSE_PENALTIES, 0.9)
        (result,) = solved(problem, tmp_path / str(next(runs)))
        return statement(result.logits, problem.known, result.rows, result.choice.operating)[0]

    return predict


def of_p005(rows: list[Row]) -> np.ndarray:
    return np.array([row.patient_id == "p005" for row in rows])


@pytest.mark.parametrize("signal", [0.0, 0.5])
def test_nothing_that_is_done_for_a_patient_depends_on_their_label(ours: Procedure, signal: float) -> None:
    features, rows = draw(patients=30, channels=60, signal=signal, seed=3)
    assert audit(ours, features, rows, of_p005(rows)) < 1e-3  # what a solver's tolerance may leave


def test_a_selection_leak_is_caught(ours: Procedure) -> None:
    """Channels chosen on all labels, the tested patient's among them."""
    features, rows = draw(patients=30, channels=300, signal=0.0, seed=4)

    def leaky(values: np.ndarray, them: list[Row]) -> np.ndarray:
        return ours(SelectKBest(f_classif, k=10).fit_transform(values, [row.label for row in them]), them)

    assert audit(leaky, features, rows, of_p005(rows)) > 0.05


def test_a_label_leak_through_copies_is_caught(ours: Procedure) -> None:
    """The tested patient's frames lie in the training under another id; linking the two ids mends it."""
    features, rows = draw(patients=30, channels=60, signal=0.5, seed=5)
    own = of_p005(rows)
    copies = [replace(row, patient_id="p999") for row, t in zip(rows, own, strict=True) if t]
    both, values = [*rows, *copies], np.concatenate([features, features[own]])
    changed = np.concatenate([own, np.ones(len(copies), bool)])
    assert audit(ours, values, both, changed) > 0.05

    def linked(them_values: np.ndarray, them: list[Row]) -> np.ndarray:
        return ours(them_values, [replace(r, patient_id="p005") if r.patient_id == "p999" else r for r in them])

    assert audit(linked, values, both, changed) < 1e-3


def figures(problem, folder: Path) -> dict:
    gathered = gather(solved(problem, folder), problem.known, 0.9)
    rows = [Row(i, Path(f"{i}.png"), "x", who) for i, who in enumerate(problem.known.patients)]
    return evaluate(problem.known.predictions(rows, gathered.probabilities, phantom=False), resamples=500)["frame"]


@pytest.mark.parametrize("seed", range(3))
def test_random_labels_give_chance(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(60), 3)
    features = features_of(np.zeros(60, int), person, 80, 0.0, rng)
    rows = rows_of(rng.permutation(np.repeat(np.arange(3), 20))[person], person)
    frame = figures(nested_problem(features, rows), tmp_path)
    assert frame["auroc_macro_interval"][0] < 0.5 < frame["auroc_macro_interval"][1]
    assert frame["balanced_accuracy_interval"][0] < 1 / 3 < frame["balanced_accuracy_interval"][1]


def test_what_the_two_leaks_would_have_claimed_on_random_labels(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    person = np.repeat(np.arange(60), 3)
    labels = rng.permutation(np.repeat(np.arange(3), 20))
    features, rows = features_of(np.zeros(60, int), person, 300, 0.0, rng), rows_of(labels[person], person)

    chosen = SelectKBest(f_classif, k=15).fit_transform(features, labels[person])
    selected = figures(nested_problem(chosen, rows), tmp_path / "selected")
    assert selected["auroc_macro_interval"][0] > 0.6

    copied = [replace(row, patient_id=f"q{row.patient_id}") for row in rows]
    twice = np.concatenate([features, features])
    unlinked = figures(nested_problem(twice, rows + copied), tmp_path / "unlinked")
    assert unlinked["auroc_macro"] > 0.95
    pairs = [(row.patient_id, f"q{row.patient_id}") for row in rows]
    linked = figures(nested_problem(twice, rows + copied, together=pairs), tmp_path / "linked")
    assert linked["auroc_macro_interval"][0] < 0.5 < linked["auroc_macro_interval"][1]
