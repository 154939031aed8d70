"""Can the phantom's classes be told without looking at the lesion? And does a bundle look at it?

    python -m benchmarks.phantom_shortcuts phantom/labels.csv
    python -m benchmarks.phantom_shortcuts --bundle NAME.cns
    python -m benchmarks.phantom_shortcuts --figure docs/images/phantom.png

Shortcut baselines: random forests on the plane, on metadata, or on the grey levels alone, with patient-disjoint
folds, against chance. A bundle: its accuracy within each plane on fresh patients, how often its answer changes when
only nuisances change (it should not), and when only the lesion is taken away (it should).
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_cns.data import phantom
from edge_cns.errors import BadInputError, EdgeCnsError

__all__ = ["baselines", "bundle_report", "contact_sheet", "main"]

_FOLDS = 5
_TREES = 200
_RESAMPLES = 2000
_LABEL_FREE = ("plane", "metadata", "intensity")
Row = dict[str, str]
Classify = Callable[[phantom.Rendering], str | None]


def baselines(labels_csv: Path, *, seed: int = 0) -> list[dict[str, Any]]:
    """Balanced accuracy of each shortcut, over all planes and within each.

    Args:
        labels_csv: of a phantom data set.
        seed: of folds, forests and bootstrap.

    Returns:
        Rows with ``shortcut``, ``plane`` (``all`` or a name), ``frames``, ``accuracy`` (balanced), ``low`` and
        ``high`` (95 %, bootstrap over patients), ``chance``.

    Raises:
        BadInputError: not a phantom data set.
    """
    rows = _read(labels_csv)
    grey = np.array([_grey_levels(labels_csv.parent / row["path"]) for row in rows])
    results = []
    for shortcut in _LABEL_FREE:
        features = grey if shortcut == "intensity" else _one_hot(rows, shortcut)
        results.append(_score(rows, features, shortcut, "all", seed))
    for plane in phantom.PLANES:
        chosen = [i for i, row in enumerate(rows) if row["plane"] == plane]
        if chosen:
            results.append(_score([rows[i] for i in chosen], grey[chosen], "intensity", plane, seed))
    return results


def bundle_report(classify: Classify, *, patients: int = 8, seed: int = 100_000, size: int = 256) -> dict[str, Any]:
    """Show a classifier patients that were never in a data set of the default seed.

    Args:
        classify: from a rendering to a class name, or ``None`` for no answer.
        patients: of each class.
        seed: of the first patient.
        size: of the pictures.

    Returns:
        ``accuracy`` by plane on frames that show the lesion, or of normal patients, as ``[right, frames]``;
        ``flips`` by nuisance as ``[changed, frames]``; ``lesion_removed`` as ``[changed, became normal, frames]``.
    """
    accuracy: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    flips: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    removed = [0, 0, 0]
    for patient, plane, view in _cases(patients, seed, size):
        shown = phantom.render(patient, plane, view, size=size)
        if not shown.evidence and patient.label != "normal":
            continue
        answer = classify(shown)
        _count(accuracy[plane], answer == patient.label)
        for name, other in _variations(patient, plane, view, size):
            _count(flips[name], classify(phantom.render(patient, plane, other, size=size)) != answer)
        if shown.evidence:
            without = classify(phantom.render(patient, plane, view, size=size, lesion=False))
            for i, yes in enumerate((without != answer, without == "normal", True)):
                removed[i] += yes
    return {"accuracy": dict(accuracy), "flips": dict(flips), "lesion_removed": removed}


def contact_sheet(*, tile: int = 150, seed: int = 3) -> NDArray[np.uint8]:
    """A picture of each class (down) in each plane (across), with captions."""
    margin = 18
    sheet = np.full((margin + len(phantom.CLASSES) * (tile + margin), len(phantom.PLANES) * tile), 24, np.uint8)
    for column, plane in enumerate(phantom.PLANES):
        _caption(sheet, plane.replace("_", " "), column * tile + 6, 13)
        for row, label in enumerate(phantom.CLASSES):
            top = margin + row * (tile + margin)
            frame = _well_framed(phantom.telling_patient(label, seed + row), plane, 100 * (row + 1) + 16 * column)
            small = cv2.resize(frame.pixels, (tile, tile), interpolation=cv2.INTER_AREA)
            sheet[top : top + tile, column * tile : (column + 1) * tile] = small
            sign = ", ".join(frame.signs) or ("no sign on this plane" if frame.patient.lesion else "")
            caption = f"{label}: {sign}" if column == 0 and sign else sign or label
            _caption(sheet, caption, column * tile + 6, top + tile + 12)
    return (sheet // 6 * 6).astype(np.uint8)  # fewer grey levels: a smaller file


def _well_framed(patient: phantom.Patient, plane: str, seed: int) -> phantom.Rendering:
    """Of sixteen views, the uprightest one with all of the lesion in the picture, without writing on it."""

    drawn = (phantom.draw_view(patient, plane, k) for k in range(seed, seed + 16))
    clean = [replace(view, text=(), callipers=False, gain_db=-32.0) for view in drawn]
    clean.sort(key=lambda view: abs(view.pose.turn))
    frames = (phantom.render(patient, plane, view) for view in clean)
    whole = (frame for frame in frames if not frame.lesion_mask[:, [0, -1]].any())
    return next(whole, None) or phantom.render(patient, plane, clean[0])


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.phantom_shortcuts", description=__doc__.split("\n")[0])
    parser.add_argument("labels", nargs="?", type=Path, help="labels.csv of a phantom data set")
    parser.add_argument("--bundle", type=Path, help="NAME.cns to examine")
    parser.add_argument("--patients", type=int, default=8, help="fresh patients of each class for --bundle")
    parser.add_argument("--figure", type=Path, help="write the contact sheet here")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    if not (options.labels or options.bundle or options.figure):
        parser.error("give LABELS.csv, --bundle or --figure")
    report: dict[str, Any] = {}
    try:
        if options.figure:
            options.figure.parent.mkdir(parents=True, exist_ok=True)
            options.figure.write_bytes(phantom.encode_png(contact_sheet(), **phantom.PNG_TEXT))
        if options.labels:
            report["baselines"] = baselines(options.labels)
        if options.bundle:
            report["bundle"] = bundle_report(_bundle_classifier(options.bundle), patients=options.patients)
    except EdgeCnsError as error:
        print(error, file=sys.stderr)
        return 2
    print(json.dumps(report, indent=2) if options.json else _text(report))
    return 0


def _read(labels_csv: Path) -> list[Row]:
    try:
        with labels_csv.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise BadInputError(f"cannot read {labels_csv}: {error.strerror}; give a labels.csv") from error
    if not rows or any(row.get("reference_standard") != "phantom" for row in rows):
        raise BadInputError(f"{labels_csv} is not a phantom data set; make one with: edge-cns data phantom")
    return rows


def _grey_levels(path: Path) -> NDArray[np.float64]:
    """Mean, spread and a 24-bin histogram of the whole picture."""
    pixels = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if pixels is None:
        raise BadInputError(f"cannot read {path}; write the data set again")
    bins = np.histogram(pixels, bins=24, range=(0, 256))[0] / pixels.size
    return np.array([pixels.mean(), pixels.std(), *bins])


def _one_hot(rows: list[Row], shortcut: str) -> NDArray[np.float64]:
    names = ["plane"] if shortcut == "plane" else ["site", "device"]
    columns = [[float(row[n] == v) for row in rows] for n in names for v in sorted({row[n] for row in rows})]
    if shortcut == "metadata":
        columns += [[float(row[n]) for row in rows] for n in ("gestational_age_weeks", "mm_per_pixel")]
    return np.array(columns).T


def _score(rows: list[Row], features: NDArray[np.float64], shortcut: str, plane: str, seed: int) -> dict[str, Any]:
    """Predict each patient from the others; bootstrap over patients within their class."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import StratifiedGroupKFold

    labels = np.array([row["label"] for row in rows])
    patients = np.array([row["patient_id"] for row in rows])
    right = np.zeros(len(rows), bool)
    folds = StratifiedGroupKFold(_FOLDS, shuffle=True, random_state=seed)
    for train, test in folds.split(features, labels, patients):
        forest = RandomForestClassifier(_TREES, min_samples_leaf=3, class_weight="balanced", random_state=seed)
        right[test] = forest.fit(features[train], labels[train]).predict(features[test]) == labels[test]
    rng = np.random.default_rng(seed)
    resampled = np.zeros(_RESAMPLES)
    point = 0.0
    classes = np.unique(labels)
    for label in classes:
        mine = [right[(labels == label) & (patients == p)] for p in np.unique(patients[labels == label])]
        hits, counts = np.array([m.sum() for m in mine]), np.array([m.size for m in mine])
        drawn = rng.integers(0, len(mine), (_RESAMPLES, len(mine)))
        resampled += hits[drawn].sum(axis=1) / counts[drawn].sum(axis=1) / len(classes)
        point += hits.sum() / counts.sum() / len(classes)
    low, high = np.quantile(resampled, [0.025, 0.975])
    return {
        "shortcut": shortcut,
        "plane": plane,
        "frames": len(rows),
        "accuracy": round(float(point), 3),
        "low": round(float(low), 3),
        "high": round(float(high), 3),
        "chance": round(1.0 / len(classes), 3),
    }


def _cases(patients: int, seed: int, size: int) -> Iterator[tuple[phantom.Patient, str, phantom.View]]:
    for label in phantom.CLASSES:
        for i in range(patients):
            patient = phantom.draw_patient(label, seed + i)
            for j, plane in enumerate(phantom.PLANES):
                yield patient, plane, phantom.draw_view(patient, plane, seed + 10 * i + j, size=size)


def _variations(
    patient: phantom.Patient, plane: str, view: phantom.View, size: int
) -> Iterator[tuple[str, phantom.View]]:
    """The same frame with one nuisance changed."""
    yield "gain", replace(view, gain_db=view.gain_db + (6.0 if view.gain_db < -34.0 else -6.0))
    pose = replace(view.pose, flip=not view.pose.flip)
    yield "flip", replace(view, pose=pose)
    yield "text", replace(view, text=() if view.text else ("SITE X", "OB 4.0MHz"), callipers=not view.callipers)
    index = phantom.MACHINES.index(view.machine)
    machine = phantom.MACHINES[(index + 1) % len(phantom.MACHINES)]
    yield "machine", phantom.draw_view(patient, plane, view.seed, machine=machine, site=view.site, size=size)
    yield "everything", phantom.draw_view(patient, plane, view.seed + 50_000, size=size)


def _count(tally: list[int], yes: bool) -> None:
    tally[0] += yes
    tally[1] += 1


def _bundle_classifier(path: Path) -> Classify:
    import edge_cns

    classifier = edge_cns.load(path)

    def classify(shown: phantom.Rendering) -> str | None:
        spacing = (shown.mm_per_pixel, shown.mm_per_pixel)
        label = classifier.classify(edge_cns.Frame(shown.pixels, mm_per_pixel=spacing, region=shown.region)).label
        return None if label is None else str(label)

    return classify


def _caption(sheet: NDArray[np.uint8], text: str, x: int, y: int) -> None:
    cv2.putText(sheet, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.33, 225, 1, cv2.LINE_AA)


def _text(report: dict[str, Any]) -> str:
    lines = []
    if "baselines" in report:
        lines += [
            "| shortcut | plane | frames | balanced accuracy (95 %) | chance |",
            "| --- | --- | --- | --- | --- |",
        ]
        lines += [
            f"| {r['shortcut']} | {r['plane'].replace('_', ' ')} | {r['frames']} "
            f"| {r['accuracy']:.2f} ({r['low']:.2f}-{r['high']:.2f}) | {r['chance']:.2f} |"
            for r in report["baselines"]
        ]
    if "bundle" in report:
        found = report["bundle"]
        lines += [f"accuracy, {plane}: {right} of {count}" for plane, (right, count) in found["accuracy"].items()]
        lines += [f"answer changed by {name}: {n} of {count}" for name, (n, count) in found["flips"].items()]
        changed, normal, count = found["lesion_removed"]
        lines.append(f"lesion removed: answer changed in {changed}, became normal in {normal}, of {count}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
