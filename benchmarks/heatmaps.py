"""Are a bundle's heat maps right? Measured on phantom patients that are drawn for this and nothing else.

    python -m benchmarks.heatmaps NAME.cns [--run RUN] [--patients 60] [--seed 900] [--figures DIR] [--json]

With ``--run``, the training of the bundle, the maps are also held against the float model's Grad-CAM and against
shuffled weights. The last table moves the maps by parts of a cell: if they lay beside what they stand for, a move would
make them better.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

import edge_cns
from edge_cns.data.manifest import Manifest, read_manifest
from edge_cns.data.phantom import CLASSES, write_dataset
from edge_cns.errors import BadInputError, EdgeCnsError
from edge_cns.evaluation.clustered import clustered_mean
from edge_cns.evaluation.figures import draw_heatmaps, write_figures
from edge_cns.evaluation.heatmaps import FloatModel, measure_heatmaps, read_lesions
from edge_cns.evaluation.heatmaps.localisation import localise
from edge_cns.evaluation.heatmaps.maps import Map
from edge_cns.evaluation.heatmaps.shown import CamModel, Settings, Shown, show
from edge_cns.frames import Frame
from edge_cns.runtime.classifier import Classifier

__all__ = ["main", "measure", "moved", "table"]

OFFSETS = (-0.5, -0.25, 0.0, 0.25, 0.5)
"""By which part of a cell the maps are moved, right and down."""
_RESAMPLES = 2000


def measure(bundle: Path, run: Path | None, *, patients: int, seed: int, figures: Path | None = None) -> dict[str, Any]:
    """Draw phantom patients, and ask all questions about the heat maps of the frames that show a lesion.

    Args:
        bundle: ``NAME.cns`` with the phantom's classes.
        run: the training of the bundle, or ``None``.
        patients: how many to draw; a fifth of them are normal.
        seed: of the drawing; not that of the training data.
        figures: folder for the pictures, or ``None``.

    Returns:
        JSON-ready: the ``heatmaps`` block of an evaluation, and ``offsets``.

    Raises:
        EdgeCnsError: a bundle or a training that cannot be used.
    """
    reference = None if run is None else _float_model(run)
    with tempfile.TemporaryDirectory() as folder, edge_cns.load(bundle) as classifier:
        if classifier.contract.class_names != CLASSES:
            raise BadInputError(
                f"{bundle} has other classes than the phantom ({', '.join(CLASSES)}); give a bundle trained on it"
            )
        write_dataset(Path(folder) / "set", patients=patients, frames=6, seed=seed, clips=False)
        manifest = read_manifest(Path(folder) / "set" / "labels.csv")
        study = measure_heatmaps(
            _cam(classifier),
            manifest.rows,
            classifier.contract,
            lesions=read_lesions(manifest),
            reference=reference,
            resamples=_RESAMPLES,
        )
        assert study is not None, "the phantom always has lesions"
        if figures is not None:
            write_figures(figures, draw_heatmaps(study, phantom=True))
        return study.block | {"offsets": _offsets(classifier, manifest)}


def _float_model(run: Path) -> FloatModel:
    from edge_cns.training.gradcam import KerasMaps
    from edge_cns.training.model import read_classifier
    from edge_cns.training.run import read_run

    return KerasMaps(read_classifier(read_run(run).model))


def _cam(classifier: Classifier) -> CamModel:
    def cam(frame: Frame) -> NDArray[np.float32]:
        classifier.preprocess(frame)
        classifier.backend.invoke()
        return classifier.output("cam")

    return cam


def _offsets(classifier: Classifier, manifest: Manifest) -> list[dict[str, Any]]:
    """Pointing and mass with the maps moved."""
    settings = Settings(classifier.contract, 0, _RESAMPLES)
    found = [show(_cam(classifier), lesion, classifier.contract) for lesion in read_lesions(manifest)]
    shown = [s for s in found if s is not None]
    patients = [s.seen.row.patient_id for s in shown]
    rows = []
    for part in OFFSETS:
        hits, masses = localise([_at(settings, s, part) for s in shown], shown)
        means = {"pointing": clustered_mean(hits, patients), "mass": clustered_mean(masses, patients)}
        rows.append({"cells": part, **means})
    return rows


def _at(settings: Settings, shown: Shown, part: float) -> Map:
    cell = settings.contract.input.width / shown.seen.cams.shape[1]
    return moved(settings.drawn(shown.seen.cams, shown.label, shown.seen.box), part * cell)


def moved(heatmap: Map, pixels: float) -> Map:
    """The map moved right and down by so many pixels; what comes in at the edge repeats the edge."""
    shift = np.array([[1, 0, pixels], [0, 1, pixels]], np.float32)
    size = heatmap.shape[1], heatmap.shape[0]
    return np.asarray(cv2.warpAffine(heatmap, shift, size, borderMode=cv2.BORDER_REPLICATE), np.float32)


def table(result: dict[str, Any]) -> str:
    """Markdown."""
    lesions = result["lesions"]
    lines = ["PHANTOM DATA", "", "| | points at the lesion | mass in the lesion |", "| --- | --- | --- |"]
    lines += [
        f"| {name} | {_share(lesions['pointing' + key])} | {_share(lesions['mass' + key])} |"
        for name, key in (
            ("int8 maps", ""),
            ("maps of other patients", "_swapped"),
            ("gain over those", "_gain"),
            ("area", "_area"),
        )
    ]
    shuffling = result.get("randomisation", {"stages": ()})
    for stage in shuffling["stages"]:
        name = f"float maps, {shuffling['n_frames']} frames" if stage["share"] is None else f"shuffled: {stage['name']}"
        lines.append(f"| {name} | {_share(stage['pointing'])} | {_share(stage['mass'])} |")
    lines += [
        f"| int8 maps moved by {row['cells']:+.2f} cell | {_share(row['pointing'])} | {_share(row['mass'])} |"
        for row in result["offsets"]
    ]
    pairs = result["counterfactual"]
    lines += [
        "",
        f"{lesions['n_frames']} frames of {lesions['n_patients']} patients. Without the lesion the logit falls in "
        f"{_share(pairs['share_falling'])} of the pairs, by {pairs['logit_fall']['value']:.2f} on average; "
        f"{_share(pairs['evidence_left'])} of the evidence in its place is left.",
    ]
    if "agreement" in result:
        lines.append(f"Rank correlation with the float model's Grad-CAM: {_share(result['agreement']['signed'])}.")
    return "\n".join(lines)


def _share(mean: dict[str, Any]) -> str:
    if mean["value"] is None:
        return "-"
    low, high = mean["interval"] or (float("nan"), float("nan"))
    return f"{mean['value']:.2f} ({low:.2f} to {high:.2f})"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table or JSON; 2 if the bundle or the training cannot be used."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--patients", type=int, default=60)
    parser.add_argument("--seed", type=int, default=900)
    parser.add_argument("--figures", type=Path)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args(arguments)
    try:
        result = measure(asked.bundle, asked.run, patients=asked.patients, seed=asked.seed, figures=asked.figures)
    except EdgeCnsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(json.dumps(result) if asked.json else table(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
