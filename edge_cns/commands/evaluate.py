"""``edge-cns evaluate``: a bundle against labelled frames, by frame and by patient."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from edge_cns.commands._shared import PATH, as_json, backend, progress_line, require_proof, threads, trusting
from edge_cns.extras import require

if TYPE_CHECKING:
    from edge_cns.data.manifest import Row
    from edge_cns.evaluation.predictions import Predictions
    from edge_cns.evaluation.report import Example
    from edge_cns.runtime.classifier import Classifier
    from edge_cns.signing.policy import Mode

__all__ = ["command"]

_EXAMPLES = 6  # right and wrong each


@click.command(name="evaluate")
@click.argument("bundle", type=PATH, metavar="NAME.cns")
@click.argument("labels", type=PATH, metavar="LABELS.csv")
@click.option("--out", type=PATH, required=True, help="New folder for metrics.json, figures and report.html.")
@click.option("--run", type=PATH, help="The training of the bundle: its float model is measured beside the int8 one.")
@backend
@threads
@as_json
@require_proof
@trusting
def command(
    bundle: Path,
    labels: Path,
    *,
    out: Path,
    run: Path | None,
    backend: str,
    threads: int,
    as_json: bool,
    require_proof: bool,
    trust: Path | None,
    signature: Mode | None,
) -> None:
    """Measure a bundle on labelled frames, as the runtime runs it.

    Frames of patients the model has seen are reported apart. Splits, folds and intervals cluster by patient.

    \b
    Example:
      edge-cns evaluate brain.cns scans/labels.csv --out evaluation --run run
    """
    from converters.model_card import model_card
    from edge_cns.assessment import assess
    from edge_cns.atomic import new_folder, write_json, write_text
    from edge_cns.data.manifest import read_manifest
    from edge_cns.evaluation.figures import draw, draw_heatmaps, write_figures
    from edge_cns.evaluation.prediction_file import write_predictions
    from edge_cns.evaluation.report import GateState, Report, write_report
    from edge_cns.runtime.classifier import load
    from edge_cns.training.run import read_run

    require("matplotlib", "evaluate")  # now, not after all frames have been classified
    manifest = read_manifest(labels)
    finished = None if run is None else read_run(run)
    opened = load(
        bundle, backend=backend, threads=threads, require_proof=require_proof, trust=trust, signature=signature
    )
    with opened as classifier, new_folder(out) as folder:
        progress = progress_line()
        measured = assess(classifier, manifest, run=finished, progress=progress)
        metrics, predictions, rows = measured.metrics, measured.predictions, measured.outputs.rows
        gate = classifier.bundle.quantisation
        figures = draw(predictions, metrics)
        if measured.heatmaps is not None:
            figures |= draw_heatmaps(measured.heatmaps, phantom=metrics["phantom"])
        metrics["predictions"] = write_predictions(folder / "predictions.csv", predictions)
        write_json(folder / "metrics.json", metrics)
        write_figures(folder, figures)
        write_text(folder / "model_card.md", model_card(classifier.contract, gate, metrics=metrics))
        settings = {"bundle": gate.get("training", {}), "quantisation": gate.get("method"), "backend": backend}
        settings |= {"labels": labels.name, "input": classifier.contract.to_json()["input"]}
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
    for line in metrics["unreadable"]:
        click.echo(f"left out: {line}", err=True)
    click.echo(json.dumps(metrics) if as_json else _text(metrics, out))


def _examples(classifier: Classifier, rows: Sequence[Row], predictions: Predictions) -> list[Example]:
    """Frames of patients new to the model if there are any: the surest errors first, then some right ones."""
    from edge_cns.data.images import read_image
    from edge_cns.evaluation.report import Example, encode_example
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
        picture = encode_example(draw_overlay(frame, verdict, classifier.contract.input))
        word = "right" if right[i] else f"wrong, it is {rows[i].label}"
        leading = f"{predictions.classes[predictions.predicted[i]]} {sureness[i]:.2f}"
        held_back = "" if verdict.label else f" ({verdict.state.value.replace('_', ' ')})"
        examples.append(Example(picture, f"{leading}{held_back}: {word}"))
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
