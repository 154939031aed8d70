"""``edge-cns evaluate``: a bundle against labelled frames, by frame and by patient."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import cv2
import numpy as np
from numpy.typing import NDArray

from edge_cns.commands._shared import PATH, as_json, progress_line, require_proof, threads
from edge_cns.errors import BadInputError
from edge_cns.extras import require
from edge_cns.progress import Progress

if TYPE_CHECKING:
    from edge_cns.data.manifest import Manifest, Row
    from edge_cns.evaluation.predictions import Predictions
    from edge_cns.evaluation.report import Example
    from edge_cns.runtime.classifier import Classifier
    from edge_cns.training.run import FinishedRun

__all__ = ["command"]

_EXAMPLES = 6  # right and wrong each


@click.command(name="evaluate")
@click.argument("bundle", type=PATH, metavar="NAME.cns")
@click.argument("labels", type=PATH, metavar="LABELS.csv")
@click.option("--out", type=PATH, required=True, help="New folder for metrics.json, figures and report.html.")
@click.option("--run", type=PATH, help="The training of the bundle: its float model is measured beside the int8 one.")
@threads
@as_json
@require_proof
def command(
    bundle: Path,
    labels: Path,
    *,
    out: Path,
    run: Path | None,
    threads: int,
    as_json: bool,
    require_proof: bool,
) -> None:
    """Measure a bundle on labelled frames, as the runtime runs it.

    Frames of patients the model has seen are reported apart. Splits, folds and intervals cluster by patient.

    \b
    Example:
      edge-cns evaluate brain.cns scans/labels.csv --out evaluation --run run
    """
    from edge_cns.atomic import new_folder, write_json
    from edge_cns.data.manifest import read_manifest
    from edge_cns.evaluation.figures import draw, write_figures
    from edge_cns.evaluation.metrics import evaluate
    from edge_cns.evaluation.report import GateState, Report, write_report
    from edge_cns.runtime.classifier import load
    from edge_cns.training.run import read_run

    require("matplotlib", "evaluate")  # now, not after all frames have been classified
    manifest = read_manifest(labels)
    finished = None if run is None else read_run(run)
    with load(bundle, threads=threads, require_proof=require_proof) as classifier, new_folder(out) as folder:
        progress = progress_line()
        if finished is not None:
            _check_training(finished, classifier)
        rows, unreadable, predictions = _classify(classifier, manifest, progress)
        gate = classifier.bundle.quantisation
        metrics = evaluate(predictions) | {
            "bundle": bundle.name,
            "proof": classifier.bundle.proof,
            "calibrated": classifier.contract.decision.calibrated,
            "labels_sha256": manifest.sha256,
            "n_unreadable": len(unreadable),
            "unreadable": unreadable,
            "shortcut_warnings": gate.get("shortcut_warnings", []),
        }
        evident = np.array([row.evidence is not False for row in rows])
        if evident.any() and not evident.all():
            # Figures over all rows blame the model for signs that are not on the frame.
            metrics["evident"] = evaluate(predictions.select(evident))
        if finished is not None:
            metrics |= _float_figures(finished, rows, predictions, progress)
        figures = draw(predictions, metrics)
        write_json(folder / "metrics.json", metrics)
        write_figures(folder, figures)
        settings = {"bundle": gate.get("training", {}), "quantisation": gate.get("method"), "labels": labels.name}
        report = Report(
            title=f"{bundle.resolve().name} on {labels.resolve().parent.name}/{labels.name}",
            metrics=metrics,
            figures=figures,
            gate=GateState(gate["outcome"], gate["reason"], gate["drift_allowed"]),
            warnings=metrics["shortcut_warnings"],
            examples=_examples(classifier, rows, predictions),
            settings=settings | {"labels_sha256": manifest.sha256, "calibrated": metrics["calibrated"]},
        )
        write_report(folder / "report.html", report)
    for line in unreadable:
        click.echo(f"left out: {line}", err=True)
    click.echo(json.dumps(metrics) if as_json else _text(metrics, out))


def _classify(
    classifier: Classifier, manifest: Manifest, progress: Progress
) -> tuple[list[Row], list[str], Predictions]:
    """Run every readable frame; rows of patients the model has seen are marked with their set."""
    from edge_cns.data.images import read_image
    from edge_cns.data.splits import set_of
    from edge_cns.evaluation.predictions import UNSEEN, Predictions

    names = classifier.contract.class_names
    for row in manifest.rows:
        if row.label not in names:
            raise BadInputError(
                f"{manifest.path} line {row.line}: label {row.label!r} is not in the contract ({', '.join(names)}); "
                "evaluate with the labels the model was trained on"
            )
    rows, unreadable, probabilities = [], [], []
    for i, row in enumerate(manifest.rows):
        try:
            verdict = classifier.classify(read_image(row.path))
        except BadInputError as error:
            unreadable.append(str(error))
        else:
            rows.append(row)
            probabilities.append([verdict.probabilities[name] for name in names])
        progress("classifying", i + 1, len(manifest.rows))
    if not rows:
        raise BadInputError(f"{manifest.path}: none of its {len(unreadable)} images can be read ({unreadable[0]})")
    patients = classifier.bundle.patients
    sets = {row.patient_id: set_of(patients["salt"], row.patient_id, patients["sets"]) or UNSEEN for row in rows}
    predictions = Predictions(
        classes=names,
        paths=tuple(str(row.path) for row in rows),
        labels=np.array([names.index(row.label) for row in rows], np.int64),
        probabilities=np.array(probabilities),
        patient_ids=tuple(row.patient_id for row in rows),
        sets=tuple(sets[row.patient_id] for row in rows),
        phantom=manifest.phantom or classifier.contract.intended_use.phantom,
    )
    return rows, unreadable, predictions


def _check_training(run: FinishedRun, classifier: Classifier) -> None:
    """Refuse a training that the bundle was not made from."""
    made_from = classifier.bundle.quantisation.get("training", {})
    same = all(run.record.get(key) == value for key, value in made_from.items())
    if not same or run.contract.to_json() | {"decision": None} != classifier.contract.to_json() | {"decision": None}:
        raise BadInputError(f"{run.path} is not the training that {classifier.bundle.path} was made from")


def _float_figures(
    run: FinishedRun, rows: Sequence[Row], predictions: Predictions, progress: Progress
) -> dict[str, Any]:
    """The training's float model on the same frames: its own figures, and how often the two agree."""
    from dataclasses import replace

    from edge_cns.decision.verdict import softmax
    from edge_cns.evaluation.metrics import evaluate
    from edge_cns.training.dataset import load_images
    from edge_cns.training.model import predict_logits, read_classifier

    images = load_images(rows, run.contract, "reading frames for the float model", progress).images
    probabilities = softmax(predict_logits(read_classifier(run.model), images), run.contract.decision)
    exact = replace(predictions, probabilities=probabilities)
    figures = evaluate(exact)
    same: NDArray[np.bool_] = exact.predicted == predictions.predicted
    unseen = predictions.in_sets("unseen")
    return {
        "float": {key: figures[key] for key in ("frame", "patient", "by_set")},
        "agreement": float(same.mean()),
        "agreement_unseen": float(same[unseen].mean()) if unseen.any() else None,
    }


def _examples(classifier: Classifier, rows: Sequence[Row], predictions: Predictions) -> list[Example]:
    """Frames of patients new to the model if there are any: the surest errors first, then some right ones."""
    from edge_cns.data.images import read_image
    from edge_cns.evaluation.report import Example
    from edge_cns.runtime.overlay import draw_overlay

    eligible = predictions.in_sets("unseen")
    eligible = eligible if eligible.any() else np.ones(len(rows), bool)
    right = predictions.predicted == predictions.labels
    sureness = predictions.probabilities.max(axis=1)
    wrong = sorted(np.flatnonzero(eligible & ~right), key=lambda i: -sureness[i])[:_EXAMPLES]
    correct = np.flatnonzero(eligible & right)
    spread = correct[np.linspace(0, len(correct) - 1, min(_EXAMPLES, len(correct))).astype(int)]
    examples = []
    for i in (*wrong, *spread):
        frame = read_image(rows[i].path)
        verdict = classifier.classify(frame)
        _, png = cv2.imencode(".png", draw_overlay(frame, verdict, classifier.contract.input))
        word = "right" if right[i] else f"wrong, it is {rows[i].label}"
        examples.append(Example(png.tobytes(), f"{verdict.label} {verdict.probability:.2f}: {word}"))
    return examples


def _text(metrics: dict[str, Any], out: Path) -> str:
    from edge_cns.evaluation.metrics import headline

    whose, part = headline(metrics)
    frame, patient = part["frame"], part["patient"]
    low, high = frame["accuracy_interval"] or (float("nan"), float("nan"))
    area = "not defined" if frame["auroc_macro"] is None else f"{frame['auroc_macro']:.4f}"
    lines = [
        *(["PHANTOM DATA: no figure here is a clinical one"] if metrics["phantom"] else []),
        f"{whose}: {part['n_frames']} frames, {part['n_patients']} patients",
        f"  by frame    accuracy {frame['accuracy']:.4f} ({low:.4f} to {high:.4f}), "
        f"balanced {frame['balanced_accuracy']:.4f}, macro AUROC {area}",
        f"  by patient  accuracy {patient['accuracy']:.4f} ({patient['unit']})",
    ]
    if "evident" in metrics:
        seen = headline(metrics["evident"])[1]["frame"]
        lines.append(f"  frames on which the sign can be seen: accuracy {seen['accuracy']:.4f}")
    if "float" in metrics:
        other = metrics["float"]["by_set"]["unseen"] or metrics["float"]
        agreement = metrics["agreement" if metrics["agreement_unseen"] is None else "agreement_unseen"]
        lines.append(f"  float       accuracy {other['frame']['accuracy']:.4f}, agreement with int8 {agreement:.4f}")
    lines += [f"  SHORTCUT    {text}" for text in metrics["shortcut_warnings"]]
    lines += [f"  quantisation {metrics['proof']}"] if metrics["proof"] != "passed" else []
    return "\n".join([*lines, f"{out / 'report.html'}"])
