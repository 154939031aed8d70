"""Does a calibrated bundle know what it was not trained on? Held-out frames against everything else.

    python -m benchmarks.novelty NAME.cns LABELS.csv [--other NAME=FOLDER_OR_CSV ...] [--plot FILE.png] [--json]

Rows of patients whom the model has met are left out. Against them stand the sources that are given, and pictures drawn
here: noise, a black screen, a screen of text, held-out frames under a colour Doppler box, and the phantom. Each picture
of another source is taken for a patient of its own.

Another hospital's frames of the training anatomy are no strangers. Given as a labels.csv with the bundle's classes,
they are counted once more: those that the network reads rightly, which should be let through, and the others.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

import edge_cns
from edge_cns.data.images import IMAGE_SUFFIXES, read_image
from edge_cns.data.manifest import Row, read_manifest
from edge_cns.data.phantom import CLASSES, PLANES, draw_patient, render
from edge_cns.data.splits import set_of
from edge_cns.errors import BadInputError, EdgeCnsError
from edge_cns.evaluation.abstention import novelty_figures
from edge_cns.evaluation.intervals import wilson
from edge_cns.evaluation.rows import make_rows
from edge_cns.frames import Frame
from edge_cns.grey import grey8
from edge_cns.runtime.classifier import Classifier

__all__ = ["DRAWN", "drawn", "main", "measure", "table"]

DRAWN = ("noise", "black", "text", "doppler", "phantom")
_EACH = 60  # pictures of each drawn kind
_SIDE = 256


def measure(
    bundle: Path, labels: Path, others: dict[str, Path]
) -> tuple[dict[str, Any], dict[str, NDArray[np.float64]]]:
    """Score held-out frames and everything else.

    Args:
        bundle: calibrated ``NAME.cns``.
        labels: ``labels.csv`` with the bundle's classes.
        others: by name, a folder or a ``labels.csv`` of images that are no supported view, or come from elsewhere.

    Returns:
        The ``novelty`` block of an evaluation, with ``read`` in each source whose labels are the bundle's classes; and
        the scores by source, where ``held out`` are the supported frames.

    Raises:
        EdgeCnsError: a bundle without a rule for novelty, or files that cannot be used.
    """
    with edge_cns.load(bundle) as classifier:
        rule = classifier.contract.decision.novelty
        if rule is None:
            raise BadInputError(f"{bundle} has no rule for novelty; run edge-cns calibrate with the training's labels")
        rows = _held_out(classifier, labels)
        frames = [read_image(row.path) for row in rows]
        scores = {"held out": _judge(classifier, frames)[0]}
        read: dict[str, dict[str, Any]] = {}
        for name, source in others.items():
            paths, labels_there = _pictures(source)
            scores[name], leading = _judge(classifier, (read_image(path) for path in paths))
            if labels_there and set(labels_there) <= set(classifier.contract.class_names):
                right = np.array(leading) == np.array(labels_there)
                read[name] = _by_reading(scores[name] > rule.threshold, right)
        for name in DRAWN:
            if name != "phantom" or not classifier.contract.intended_use.phantom:
                scores[name] = _judge(classifier, drawn(name, frames))[0]
        names = classifier.contract.class_names
    known = make_rows(
        np.array([names.index(row.label) for row in rows], np.int64),
        [row.patient_id for row in rows],
        names,
        seed=0,
        resamples=1000,
    )
    strange = {name: values for name, values in scores.items() if name != "held out"}
    block = novelty_figures(known, scores["held out"], rule, strange)
    for name, shares in read.items():
        block["others"][name]["read"] = shares
    return block, scores


def drawn(kind: str, frames: list[Frame]) -> Iterator[NDArray[np.uint8]]:
    """Pictures of one kind out of `DRAWN`.

    Args:
        kind: name.
        frames: on which colour Doppler is painted.
    """
    for i in range(_EACH):
        random = np.random.default_rng([i, DRAWN.index(kind)])
        if kind == "noise":
            yield random.integers(0, 256, (_SIDE, _SIDE), np.uint8)
        elif kind == "black":
            yield np.full((_SIDE, _SIDE), random.integers(0, 6), np.uint8)
        elif kind == "text":
            yield _text(random)
        elif kind == "doppler":
            yield _doppler(frames[i * len(frames) // _EACH], random)
        else:
            label, plane = CLASSES[i % len(CLASSES)], PLANES[i % len(PLANES)]
            yield render(draw_patient(label, seed=50_000 + i), plane, view=i).pixels


def table(block: dict[str, Any]) -> str:
    """The figures as text."""
    lines = [f"{'source':<12}{'pictures':>9}   AUROC (95 %)             held back (95 %, Wilson)"]
    own = block["flagged"]
    low, high = own["wilson"]
    lines.append(f"{'held out':<12}{own['n']:>9}   {'':<25}{own['value']:.3f} ({low:.3f} to {high:.3f})")
    for name, row in block["others"].items():
        area, flagged = row["auroc"], row["flagged"]
        span = "" if area["interval"] is None else f" ({area['interval'][0]:.3f} to {area['interval'][1]:.3f})"
        low, high = flagged["wilson"]
        area_text = f"{area['value']:.3f}{span}"
        share = f"{flagged['value']:.3f} ({low:.3f} to {high:.3f})"
        lines.append(f"{name:<12}{row['n']:>9}   {area_text:<25}{share}")
        for how, part in row.get("read", {}).items():
            share = "" if part["value"] is None else "{:.3f} ({:.3f} to {:.3f})".format(part["value"], *part["wilson"])
            lines.append(f"  {how:<10}{part['n']:>9}   {'':<25}{share}".rstrip())
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.novelty", description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("labels", type=Path)
    parser.add_argument("--other", action="append", default=[], metavar="NAME=FOLDER_OR_CSV")
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    try:
        pairs = [text.partition("=") for text in options.other]
        if wrong := [name for name, _, source in pairs if not name or not source]:
            raise BadInputError(f"--other {wrong[0]!r} is not NAME=FOLDER_OR_CSV")
        block, scores = measure(options.bundle, options.labels, {name: Path(source) for name, _, source in pairs})
        if options.plot is not None:
            _plot(options.plot, scores, block["threshold"])
    except (EdgeCnsError, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    print(json.dumps(block) if options.json else table(block))
    return 0


def _held_out(classifier: Classifier, labels: Path) -> list[Row]:
    manifest, patients = read_manifest(labels), classifier.bundle.patients
    manifest.require_labels(classifier.contract.class_names)
    rows = [r for r in manifest.rows if set_of(patients["salt"], r.patient_id, patients["sets"]) is None]
    if not rows:
        raise BadInputError(f"{labels} has no patient whom the model has not met; give rows that were kept for testing")
    return rows


def _pictures(source: Path) -> tuple[list[Path], list[str]]:
    """The images of a folder, or those of a ``labels.csv`` and their labels."""
    if source.suffix.lower() == ".csv":
        rows = read_manifest(source).rows
        return [row.path for row in rows], [row.label for row in rows]
    paths = sorted(p for p in source.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES) if source.is_dir() else []
    if not paths:
        raise BadInputError(f"{source} has no images; give a folder that has, or a labels.csv")
    return paths, []


def _judge(
    classifier: Classifier, frames: Iterable[Frame | NDArray[np.uint8]]
) -> tuple[NDArray[np.float64], list[str]]:
    """Novelty, and the class of the largest probability: what the network would have said if nothing held it back."""
    verdicts = [classifier.classify(frame) for frame in frames]
    leading = [max(verdict.probabilities, key=verdict.probabilities.__getitem__) for verdict in verdicts]
    return np.array([verdict.novelty for verdict in verdicts], np.float64), leading


def _by_reading(held_back: NDArray[np.bool_], right: NDArray[np.bool_]) -> dict[str, Any]:
    """How many are held back of those that the network reads rightly, and of the others."""
    shares = {}
    for name, mask in (("rightly", right), ("wrongly", ~right)):
        events, n = int(held_back[mask].sum()), int(mask.sum())
        shares[name] = {"n": n, "value": events / n if n else None, "wilson": wilson(events, n)}
    return shares


def _text(random: np.random.Generator) -> NDArray[np.uint8]:
    screen = np.zeros((_SIDE, _SIDE), np.uint8)
    for line in range(18, _SIDE, 18):
        words = "".join(random.choice(list("abcdefghiklmnoprstuvwxyz   0123456789:."), 26))
        cv2.putText(screen, words, (6, line), cv2.FONT_HERSHEY_SIMPLEX, 0.42, 230, 1, cv2.LINE_AA)
    return screen


def _doppler(frame: Frame, random: np.random.Generator) -> NDArray[np.uint8]:
    """A box of coloured flow over a held-out frame."""
    picture = cv2.cvtColor(grey8(frame.pixels, frame.bits_stored), cv2.COLOR_GRAY2BGR)
    height, width = picture.shape[:2]
    h, w = height * 2 // 5, width * 2 // 5
    y, x = int(random.integers(height // 6, height // 2)), int(random.integers(width // 6, width // 2))
    flow = cv2.GaussianBlur(random.normal(size=(h, w)), (0, 0), max(2.0, width / 50))
    flow = flow / np.abs(flow).max()
    shown = np.abs(flow) > 0.25
    red_blue = np.stack([np.where(flow < 0, 255, 0), np.full((h, w), 60), np.where(flow > 0, 255, 0)], axis=-1)
    box = picture[y : y + h, x : x + w]
    box[shown] = (red_blue * np.abs(flow)[..., None] ** 0.5).astype(np.uint8)[shown]
    cv2.rectangle(picture, (x, y), (x + w, y + h), (0, 220, 220), 1)
    return np.asarray(picture, np.uint8)


def _plot(path: Path, scores: dict[str, NDArray[np.float64]], threshold: float) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 0.42 * len(scores) + 1.3), layout="constrained")
    axes = figure.subplots()
    for row, values in enumerate(scores.values()):
        jitter = np.random.default_rng(0).uniform(-0.28, 0.28, len(values))
        axes.plot(values, row + jitter, ".", markersize=3, color="#0072B2" if row == 0 else "#D55E00", alpha=0.6)
    axes.axvline(threshold, color="black", linewidth=1.2)
    axes.set_yticks(range(len(scores)), [f"{name} (n={len(values)})" for name, values in scores.items()])
    axes.invert_yaxis()
    axes.set_xlabel("novelty: to the right of the line a frame is not a supported view")
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    sys.exit(main())
