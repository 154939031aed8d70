"""What is said of whole exams of phantom patients, and of those with an anomaly that the model does not know.

    python -m benchmarks.phantom_exams NAME.cns [--stills 30] [--films 8] [--seconds 14] [--fps 4] [--seed 0] [--json]

New patients of every class, and of the anomalies that are in no data set (ventriculomegaly, hydranencephaly, cystic
hygroma), are examined twice over: by stills, one of each plane, and by a film that sweeps through the planes. Every
frame goes through the bundle, and its verdicts into the exam's statement, as in the live runtime. The bundle must be
calibrated. All of it is simulated: the figures show how the rules behave, not how well anything is recognised.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import edge_cns
from edge_cns.data import phantom
from edge_cns.data.phantom.clip import sweep
from edge_cns.errors import BadInputError, EdgeCnsError
from edge_cns.evaluation.exams import exam_figures, frames_of_verdicts
from edge_cns.runtime.classifier import Classifier

__all__ = ["film", "main", "measure", "stills", "table"]

_STREAM = 21  # no data set of the phantom draws its patients from this stream
_OUTCOMES = ("right_finding", "wrong_finding", "no_listed_finding", "indeterminate", "not_supported_view")
_SHARES = {
    "answered": "answered, of exams of listed classes",
    "error": "wrong among those answered",
    "found": "finding stated, of exams with a listed finding",
    "missed": "no listed finding said, of exams with one",
    "false_finding": "finding stated, of exams without one",
    "cleared": "no listed finding said, of exams without one",
    "unlisted_clear": "no listed finding said, of unlisted anomalies",
    "unlisted_found": "finding stated, of unlisted anomalies",
}

Pictures = list[NDArray[np.uint8]]
Draw = Callable[[str, int, int], Pictures]


def stills(label: str, index: int, seed: int) -> Pictures:
    """One picture of each plane, each with its own view, of one patient on one machine."""
    rng, patient = _patient(label, index, seed)
    machine = phantom.MACHINES[int(rng.integers(len(phantom.MACHINES)))]
    site = phantom.SITES[int(rng.integers(len(phantom.SITES)))]
    views = [
        phantom.draw_view(patient, plane, int(rng.integers(2**31)), machine=machine, site=site)
        for plane in phantom.PLANES
    ]
    return [phantom.render(patient, plane, view).pixels for plane, view in zip(phantom.PLANES, views, strict=True)]


def film(label: str, index: int, seed: int, *, seconds: float, fps: float) -> Pictures:
    """A sweep through the planes, again and again, under one probe setting."""
    rng, patient = _patient(label, index, seed)
    frames = sweep(patient, int(rng.integers(2**31)), fps=fps, size=256)
    return [frame.pixels for frame in islice(frames, max(1, round(seconds * fps)))]


def measure(
    classifier: Classifier, draw: Draw, patients: int, *, fps: float | None = None, seed: int = 0
) -> dict[str, Any]:
    """Examine new patients of each class of the contract, and of each unlisted anomaly.

    Args:
        classifier: of a calibrated bundle whose classes the phantom can draw.
        draw: from a label, the number of a patient and the seed to the frames of an exam.
        patients: of each label.
        fps: frames a second of a film; ``None`` for stills.
        seed: of all patients.

    Returns:
        What `edge_cns.evaluation.exams.exam_figures` returns.

    Raises:
        BadInputError: a bundle that is not calibrated, or with classes of its own.
    """
    names = classifier.contract.class_names
    if strange := sorted(set(names) - set(phantom.CLASSES)):
        raise BadInputError(f"{classifier.bundle.path} has the class {strange[0]!r}, which the phantom cannot draw")
    if classifier.contract.decision.exam is None:
        raise BadInputError(f"{classifier.bundle.path} is not calibrated; run edge-cns calibrate on it first")
    truths = [label for label in (*names, *phantom.UNLISTED) for _ in range(patients)]
    verdicts, exam, seconds = [], [], []
    for m, pictures in enumerate(_drawn(draw, truths, patients, seed)):
        verdicts += [classifier.classify(pixels) for pixels in pictures]
        exam += [m] * len(pictures)
        seconds += [i / fps for i in range(len(pictures))] if fps else []
    frames = frames_of_verdicts(verdicts, names, np.array(exam), np.array(seconds) if fps else None)
    return exam_figures(classifier.contract, frames, truths, [f"{m}" for m in range(len(truths))], seed=seed)


def table(name: str, figures: dict[str, Any]) -> str:
    """The measurement for a person."""
    heads = [outcome.replace("_", " ") for outcome in _OUTCOMES]
    missing = sorted(figures["views_missing"].items())
    lines = [
        f"{name}: {figures['n']} exams, rule {figures['rule'].replace('_', ' ')}",
        f"required views: {', '.join(figures['required_views']) or 'none'}",
        f"exams without them: {', '.join(f'{view} {n}' for view, n in missing) or 'none'}",
        "",
        "| " + " | ".join(["truth", "exams", *heads]) + " |",
        "| " + " | ".join(["---"] * (2 + len(heads))) + " |",
    ]
    listed = [truth for truth in figures["outcomes"] if truth not in phantom.UNLISTED]
    for truth in (*listed, *(t for t in phantom.UNLISTED if t in figures["outcomes"])):
        counts = figures["outcomes"][truth]
        row = [truth.replace("_", " "), sum(counts.values()), *(counts.get(outcome, 0) for outcome in _OUTCOMES)]
        lines.append("| " + " | ".join(map(str, row)) + " |")
    lines += ["", "| share | of | value | 95 % (Wilson) |", "| --- | --- | --- | --- |"]
    for key, text in _SHARES.items():
        rate = figures[key]
        value = "not defined" if rate["value"] is None else f"{rate['value']:.3f}"
        limits = "" if rate["wilson"] is None else "{:.3f} to {:.3f}".format(*rate["wilson"])
        lines.append(f"| {text} | {rate['n']} | {value} | {limits} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path, metavar="NAME.cns")
    parser.add_argument("--stills", type=int, default=30, help="patients of each class, 6 stills each")
    parser.add_argument("--films", type=int, default=8, help="patients of each class, one film each")
    parser.add_argument("--seconds", type=float, default=14.0, help="length of a film; one sweep takes 6.6")
    parser.add_argument("--fps", type=float, default=4.0, help="frames a second of a film")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print JSON")
    asked = parser.parse_args(arguments)

    def draw_film(label: str, index: int, seed: int) -> Pictures:
        return film(label, index, seed, seconds=asked.seconds, fps=asked.fps)

    result: dict[str, Any] = {"phantom": True, "bundle": asked.bundle.name, "seed": asked.seed}
    try:
        with edge_cns.load(asked.bundle) as classifier:
            if asked.stills:
                result["stills"] = measure(classifier, stills, asked.stills, seed=asked.seed)
            if asked.films:
                result["films"] = measure(classifier, draw_film, asked.films, fps=asked.fps, seed=asked.seed)
    except EdgeCnsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if asked.json:
        print(json.dumps(result))
    else:
        kinds = [kind for kind in ("stills", "films") if kind in result]
        print("\n\n".join(["PHANTOM DATA: no figure here is a clinical one", *(table(k, result[k]) for k in kinds)]))
    return 0


def _patient(label: str, index: int, seed: int) -> tuple[np.random.Generator, phantom.Patient]:
    """A patient of any age, and the stream that everything else about the exam is drawn from."""
    rng = np.random.default_rng([seed, _STREAM, (*phantom.CLASSES, *phantom.UNLISTED).index(label), index])
    return rng, phantom.draw_patient(label, int(rng.integers(2**31)))


def _drawn(draw: Draw, truths: Sequence[str], patients: int, seed: int) -> Iterator[Pictures]:
    """The exams in order, drawn on all cores, one label at a time."""
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        for start in range(0, len(truths), patients):
            labels = truths[start : start + patients]
            yield from pool.map(draw, labels, range(len(labels)), [seed] * len(labels))


if __name__ == "__main__":
    sys.exit(main())
