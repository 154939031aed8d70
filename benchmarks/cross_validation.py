"""Cross-validation: how fast beside a plain scikit-learn loop, and whether both say the same.

    python -m benchmarks.cross_validation LABELS.csv [--folds 60] [--patients 20] [--jobs N] [--json]
    python -m benchmarks.cross_validation --generated [--frames 10000] [--people 1000] [--jobs N] [--json]
    python -m benchmarks.cross_validation --null [--people 60] [--sets 30] [--json]

With labels, on the features of the frozen ImageNet MobileNetV2 (computed before, cached):

- un-nested: `fit_head` for a sample of the folds, against all folds of the cross-validation;
- nested: the same choice made with `fit_head` for some patients, against the cross-validation of these patients;
- the nested default over all patients.

Both sides use all cores, and the differences of probabilities are over the sampled folds. With ``--generated``, the
nested default on features drawn at random. With ``--null``, three frames a patient and labels that mean nothing: how
often the 95 % interval contains chance.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_cns.data.manifest import Row, read_manifest
from edge_cns.errors import EdgeCnsError
from edge_cns.evaluation.metrics import evaluate
from edge_cns.training.cross_validation.choices import choose, statement
from edge_cns.training.cross_validation.features import frozen_features
from edge_cns.training.cross_validation.folds import INNER_GROUPS, Folds, make_folds
from edge_cns.training.cross_validation.journal import Journal
from edge_cns.training.cross_validation.nested import FoldResult
from edge_cns.training.cross_validation.pool import cores, open_pool
from edge_cns.training.cross_validation.problem import Labelled, labelled, make_problem
from edge_cns.training.cross_validation.results import gather
from edge_cns.training.cross_validation.run import solve_problem
from edge_cns.training.cross_validation.settings import INVERSE_PENALTIES
from edge_cns.training.head import INVERSE_PENALTY, fit_head
from edge_cns.training.run import Settings

__all__ = ["generated", "main", "measure", "null", "plain_fold", "plain_nested_fold", "table"]

_TARGET = 0.95
_CHANNELS = 1280
_EXACT = 6  # one of so many sampled folds is also fitted to convergence, which takes longer


def measure(labels: Path, *, folds: int = 60, patients: int = 20, jobs: int = 1) -> dict[str, Any]:
    """Time and compare on real frames.

    Args:
        labels: ``labels.csv``.
        folds: how many folds the plain loop fits, evenly spread.
        patients: how many patients the plain nested loop tests, evenly spread.
        jobs: processes of the cross-validation.

    Returns:
        JSON-ready: ``plain`` and ``nested`` with seconds of both sides, ``speed`` (plain by ours),
        ``largest_difference`` of a probability and whether classes are ``equal``; ``all_nested_seconds``. ``converged``
        compares with scikit-learn run to a gradient of 1e-8 in place of its default of 1e-4.
    """
    manifest = read_manifest(labels)
    features = frozen_features([row.path for row in manifest.rows], Settings()).values
    known = labelled(manifest.rows, None)
    every = make_folds(manifest.rows, "leave-one-patient-out")
    count = len(every.names)
    result: dict[str, Any] = {"frames": len(features), "patients": count, "jobs": jobs}

    ours, seconds = _solved(features, known, every, nested=False, jobs=jobs)
    sample = _spread(count, folds)
    started = time.perf_counter()
    plain = {f: plain_fold(features, known, every.fold == f) for f in sample}
    plain_seconds = (time.perf_counter() - started) / len(sample)
    result["plain"] = {
        "plain_seconds_a_fold": plain_seconds,
        "seconds_a_fold": seconds / count,
        "speed": plain_seconds * count / seconds,
        "sampled_folds": len(sample),
        **_compared({f: _softmax(logits) for f, logits in plain.items()}, _said(ours, known)),
    }
    double = features.astype(np.float64)
    exact = {f: plain_fold(double, known, every.fold == f, tolerance=1e-8) for f in sample[::_EXACT]}
    result["converged"] = {
        "sampled_folds": len(exact),
        **_compared({f: _softmax(logits) for f, logits in exact.items()}, _said(ours, known)),
    }

    few = _only(every, _spread(count, patients))
    ours, seconds = _solved(features, known, few, nested=True, jobs=jobs)
    started = time.perf_counter()
    wanted = {f: plain_nested_fold(features, known, few, f) for f in range(len(few.names))}
    plain_seconds = time.perf_counter() - started
    result["nested"] = {
        "patients": len(few.names),
        "plain_seconds": plain_seconds,
        "seconds": seconds,
        "speed": plain_seconds / seconds,
        "same_penalty": all(wanted[r.fold][1] == r.choice.penalty for r in ours),
        **_compared({f: probabilities for f, (probabilities, _) in wanted.items()}, _said(ours, known)),
    }
    result["all_nested_seconds"] = _solved(features, known, every, nested=True, jobs=jobs)[1]
    return result


def generated(*, frames: int = 10_000, people: int = 1000, jobs: int = 1, channels: int = _CHANNELS) -> dict[str, Any]:
    """Time the nested default on features drawn at random, and the memory it takes.

    Returns:
        JSON-ready: ``seconds``, and ``memory_mib``: the peak of this process, and of the largest worker times ``jobs``.
    """
    rng = np.random.default_rng(0)
    person = np.sort(np.concatenate([np.arange(people), rng.integers(people, size=frames - people)]))
    classes = rng.integers(5, size=people)[person]
    centres = rng.normal(size=(5, channels)) * 0.15
    habits = rng.normal(size=(people, channels)) * 0.5
    features = (centres[classes] + habits[person] + rng.normal(size=(frames, channels))).astype(np.float32)
    rows = _rows(classes, person)
    _, seconds = _solved(
        features, labelled(rows, None), make_folds(rows, "leave-one-patient-out"), nested=True, jobs=jobs
    )
    own, worker = (resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    memory = own + (jobs * worker if jobs > 1 else 0)
    return {"frames": frames, "patients": people, "jobs": jobs, "seconds": seconds, "memory_mib": round(memory)}


def null(*, people: int = 60, sets: int = 30, channels: int = 80) -> dict[str, Any]:
    """Nested leave-one-patient-out where labels mean nothing, on many made-up data sets.

    Returns:
        JSON-ready: ``contains_chance``, sets whose interval holds 0.5 (macro AUROC, by frame) and 1/3 (balanced
        accuracy), and the ``mean`` of both figures.
    """
    held, values = np.zeros(2, np.int64), np.zeros(2)
    for seed in range(sets):
        rng = np.random.default_rng(seed)
        person = np.repeat(np.arange(people), 3)
        features = rng.normal(size=(people, channels))[person] + rng.normal(size=(len(person), channels))
        classes = rng.permutation(np.arange(people) % 3)[person]
        rows = _rows(classes, person)
        known = labelled(rows, None)
        folds = make_folds(rows, "leave-one-patient-out")
        results, _ = _solved(features.astype(np.float32), known, folds, nested=True, jobs=1)
        said = gather(results, known, _TARGET).probabilities
        frame = evaluate(known.predictions(rows, said, phantom=False), resamples=500)["frame"]
        for i, (key, chance) in enumerate((("auroc_macro", 0.5), ("balanced_accuracy", 1 / 3))):
            low, high = frame[f"{key}_interval"]
            held[i] += low < chance < high
            values[i] += frame[key] / sets
    names = ("auroc_macro", "balanced_accuracy")
    return {
        "sets": sets,
        "patients": people,
        "contains_chance": dict(zip(names, held.tolist(), strict=True)),
        "mean": dict(zip(names, values.tolist(), strict=True)),
    }


def plain_fold(
    features: NDArray[Any],
    known: Labelled,
    tested: NDArray[np.bool_],
    *,
    inverse_penalty: float = INVERSE_PENALTY,
    tolerance: float = 1e-4,
) -> NDArray[np.float32]:
    """Logits of the rows ``tested (N,)`` by scikit-learn, taught by all others."""
    kernel, bias = fit_head(
        features[~tested],
        known.labels[~tested],
        len(known.classes),
        inverse_penalty=inverse_penalty,
        tolerance=tolerance,
    )
    return np.asarray(features[tested] @ kernel[0, 0] + bias, np.float32)


def plain_nested_fold(
    features: NDArray[np.float32], known: Labelled, folds: Folds, fold: int
) -> tuple[NDArray[np.float64], int]:
    """One nested fold as anybody would write it: probabilities of its rows, and the index of the chosen penalty."""
    train = folds.fold != fold
    n, k = len(known.labels), len(known.classes)
    inner = np.zeros((len(INVERSE_PENALTIES), n, k), np.float32)
    for group in range(INNER_GROUPS):
        held = train & (folds.group == group)
        taught = train & (folds.group != group)
        for p, inverse_penalty in enumerate(INVERSE_PENALTIES):
            some = replace(known, labels=known.labels[taught | held])
            rows, asked = features[taught | held], held[taught | held]
            inner[p, held] = plain_fold(rows, some, asked, inverse_penalty=inverse_penalty)
    choice = choose(inner, known, train, train, _TARGET)
    logits = plain_fold(features, known, ~train, inverse_penalty=INVERSE_PENALTIES[choice.penalty])
    return statement(logits, known, np.flatnonzero(~train), choice.operating)[0], choice.penalty


def table(result: dict[str, Any]) -> str:
    """The measurement for a person."""
    if "sets" in result:
        held, mean = result["contains_chance"], result["mean"]
        return (
            f"{result['sets']} sets of {result['patients']} patients: the interval contains chance in "
            f"{held['auroc_macro']} (macro AUROC, mean {mean['auroc_macro']:.3f}) and "
            f"{held['balanced_accuracy']} (balanced accuracy, mean {mean['balanced_accuracy']:.3f})"
        )
    size = f"{result['frames']} frames of {result['patients']} patients, {result['jobs']} processes"
    if "plain" not in result:
        return f"{size}, generated, nested: {result['seconds']:.0f} s, {result['memory_mib']} MiB"
    plain, exact, nested = result["plain"], result["converged"], result["nested"]
    lines = [
        size,
        f"un-nested  plain {plain['plain_seconds_a_fold']:.3f} s a fold, here {plain['seconds_a_fold']:.4f} s: "
        f"{plain['speed']:.0f} times faster",
        f"           {_agreement(plain)} ({plain['sampled_folds']} folds)",
        f"           {_agreement(exact)} of scikit-learn run to convergence ({exact['sampled_folds']} folds)",
        f"nested     plain {nested['plain_seconds']:.0f} s for {nested['patients']} patients, here "
        f"{nested['seconds']:.1f} s: {nested['speed']:.0f} times faster",
        f"           {_agreement(nested)}, {'the same' if nested['same_penalty'] else 'OTHER'} penalties",
        f"           every patient: {result['all_nested_seconds']:.0f} s",
    ]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labels", type=Path, nargs="?", metavar="LABELS.csv")
    parser.add_argument("--generated", action="store_true", help="features drawn at random")
    parser.add_argument("--null", action="store_true", help="labels that mean nothing")
    parser.add_argument("--sets", type=int, default=30, help="of --null")
    parser.add_argument("--frames", type=int, default=10_000)
    parser.add_argument("--people", type=int, help="patients of --generated (1000) and --null (60)")
    parser.add_argument("--folds", type=int, default=60, help="of the plain loop")
    parser.add_argument("--patients", type=int, default=20, help="of the plain nested loop")
    parser.add_argument("--jobs", type=int, default=cores())
    parser.add_argument("--json", action="store_true", help="print JSON")
    asked = parser.parse_args(arguments)
    if [asked.labels is not None, asked.generated, asked.null].count(True) != 1:
        parser.error("give LABELS.csv, --generated or --null")
    try:
        if asked.generated:
            result = generated(frames=asked.frames, people=asked.people or 1000, jobs=asked.jobs)
        elif asked.null:
            result = null(people=asked.people or 60, sets=asked.sets)
        else:
            result = measure(asked.labels, folds=asked.folds, patients=asked.patients, jobs=asked.jobs)
    except EdgeCnsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(json.dumps(result) if asked.json else table(result))
    return 0


def _solved(
    features: NDArray[np.float32], known: Labelled, folds: Folds, *, nested: bool, jobs: int
) -> tuple[list[FoldResult], float]:
    """The folds' results, and how long they took."""
    penalties, target = (INVERSE_PENALTIES, _TARGET) if nested else ((INVERSE_PENALTY,), None)
    with tempfile.TemporaryDirectory() as folder, open_pool(jobs) as pool:
        started = time.perf_counter()
        problem = make_problem(features, known, folds, penalties, target)
        (Path(folder) / "journal").mkdir()
        results = solve_problem(problem, Journal(Path(folder), resumed=False), pool)
        return results, time.perf_counter() - started


def _rows(classes: NDArray[np.int64], person: NDArray[np.int64]) -> list[Row]:
    pairs = enumerate(zip(classes, person, strict=True))
    return [Row(i + 2, Path(f"{i}.png"), "abcde"[c], f"p{p}") for i, (c, p) in pairs]


def _only(folds: Folds, chosen: list[int]) -> Folds:
    """Folds that test the chosen ones; the other patients teach."""
    number = {f: i for i, f in enumerate(chosen)}
    fold = np.array([number.get(int(f), -1) for f in folds.fold], np.int64)
    return Folds(tuple(folds.names[f] for f in chosen), fold, folds.group)


def _spread(count: int, wanted: int) -> list[int]:
    return [int(f) for f in np.unique(np.linspace(0, count - 1, min(wanted, count)).astype(int))]


def _said(results: list[FoldResult], known: Labelled) -> dict[int, NDArray[np.float64]]:
    return {r.fold: statement(r.logits, known, r.rows, r.choice.operating)[0] for r in results}


def _compared(wanted: dict[int, NDArray[np.float64]], found: dict[int, NDArray[np.float64]]) -> dict[str, Any]:
    return {
        "largest_difference": max(float(np.abs(found[f] - p).max()) for f, p in wanted.items()),
        "equal": all(np.array_equal(found[f].argmax(axis=1), p.argmax(axis=1)) for f, p in wanted.items()),
    }


def _agreement(part: dict[str, Any]) -> str:
    classes = "the same classes" if part["equal"] else "OTHER CLASSES"
    return f"{classes}, probabilities within {part['largest_difference']:.1g}"


def _softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    values = np.exp(np.asarray(logits, np.float64) - logits.max(axis=1, keepdims=True))
    return np.asarray(values / values.sum(axis=1, keepdims=True))


if __name__ == "__main__":
    sys.exit(main())
