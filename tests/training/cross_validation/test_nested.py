"""The folds of a cross-validation against the loop that anybody would write."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs the evaluate extra")
from benchmarks.cross_validation import plain_fold, plain_nested_fold
from edge_cns.training.cross_validation.choices import statement
from edge_cns.training.cross_validation.folds import make_folds
from edge_cns.training.cross_validation.nested import FOLDS_A_TASK, group_tasks
from edge_cns.training.cross_validation.problem import labelled, make_problem
from edge_cns.training.cross_validation.results import chosen_by_folds, gather, pack, unpack
from edge_cns.training.cross_validation.settings import INVERSE_PENALTIES
from tests.training.cross_validation.made import draw, nested_problem, probabilities_of, solved


@pytest.mark.parametrize("scheme", ["leave-one-patient-out", "grouped-k-fold"])
def test_nested_as_the_plain_loop(scheme: str, tmp_path: Path) -> None:
    features, rows = draw(patients=36, signal=0.4, seed=1)
    problem = nested_problem(features, rows, scheme)
    # The plain loop stops at scikit-learn's default tolerance; a fold's choice between equals may then differ.
    for result in solved(problem, tmp_path)[::7]:
        said = statement(result.logits, problem.known, result.rows, result.choice.operating)[0]
        plain, penalty = plain_nested_fold(features, problem.known, problem.folds, result.fold)
        assert result.choice.penalty == penalty
        np.testing.assert_allclose(said, plain, atol=5e-3)


def test_without_choices_as_the_plain_loop(tmp_path: Path) -> None:
    features, rows = draw(signal=0.5)
    known, folds = labelled(rows, None), make_folds(rows, "leave-one-patient-out")
    results = solved(make_problem(features, known, folds, [0.01], None), tmp_path)
    assert len(results) == 30
    for result in results[::3]:
        plain = plain_fold(features, known, folds.fold == result.fold, tolerance=1e-8)
        np.testing.assert_allclose(probabilities_of(result.logits), probabilities_of(plain), atol=5e-4)
    gathered = gather(results, known, None)
    assert gathered.decisions is None
    np.testing.assert_allclose(gathered.probabilities.sum(axis=1), 1)


def test_more_processes_say_the_same_to_the_last_bit(tmp_path: Path) -> None:
    features, rows = draw(patients=FOLDS_A_TASK + 12, frames=1, channels=8)
    problem = nested_problem(features, rows)
    assert len(group_tasks(problem)) == 10
    alone, together = (solved(problem, tmp_path / str(jobs), jobs) for jobs in (1, 2))
    for one, other in zip(alone, together, strict=True):
        assert one.fold == other.fold
        np.testing.assert_array_equal(one.logits, other.logits)
        assert one.choice.operating.temperature == other.choice.operating.temperature


def test_frames_without_the_sign_are_tested_and_teach_nothing(tmp_path: Path) -> None:
    features, rows = draw(patients=24, signal=0.6)
    hidden = np.arange(0, len(rows), 7)
    rows = [replace(row, evidence=False) if i in hidden else row for i, row in enumerate(rows)]
    spoilt = features.copy()
    spoilt[hidden] = features[hidden][::-1] * 3
    before, after = (solved(nested_problem(f, rows), tmp_path / n) for f, n in ((features, "a"), (spoilt, "b")))
    assert sum(len(result.rows) for result in before) == len(rows)
    for one, other in zip(before, after, strict=True):
        taught = ~np.isin(one.rows, hidden)
        assert one.choice.operating.temperature == pytest.approx(other.choice.operating.temperature, rel=1e-2)
        found = [probabilities_of(result.logits[taught]) for result in (one, other)]
        np.testing.assert_allclose(*found, atol=2e-3)


def test_classes_that_some_inner_groups_lack(tmp_path: Path) -> None:
    """One class has two patients: while one is tested the other is alone, and no inner model can have known it."""
    features, rows = draw(patients=24, signal=1.0)
    rare = {"p000", "p001"}
    rows = [replace(row, label="z") if row.patient_id in rare else row for row in rows]
    problem = nested_problem(features, rows)
    results = solved(problem, tmp_path)
    gathered = gather(results, problem.known, 0.9)
    assert np.isfinite(gathered.probabilities).all()
    for result in results:
        threshold = result.choice.operating.thresholds[-1]
        assert (threshold == np.inf) == (problem.folds.names[result.fold] in rare)
    record = chosen_by_folds(gathered.choices, problem.known.classes, INVERSE_PENALTIES)
    assert record["thresholds"]["z"]["folds_without"] == 2
    assert sum(record["inverse_penalty"].values()) == sum(record["rule"].values()) == 24
    assert "folds_without" not in record["temperature"]


def test_results_are_packed_and_unpacked(tmp_path: Path) -> None:
    features, rows = draw(patients=12)
    results = solved(nested_problem(features, rows), tmp_path)
    for one, other in zip(results, unpack(pack(results)), strict=True):
        assert (one.fold, one.choice.penalty, one.choice.operating.rule) == (
            other.fold,
            other.choice.penalty,
            other.choice.operating.rule,
        )
        np.testing.assert_array_equal(one.logits, other.logits)
        np.testing.assert_array_equal(one.choice.operating.thresholds, other.choice.operating.thresholds)
