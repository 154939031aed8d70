"""A bundle on labelled frames: everything that ``evaluate`` reports, measured through the runtime itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from edge_cns.bundle import CALIBRATION
from edge_cns.contract import Contract, Decision
from edge_cns.data.manifest import Manifest, Row
from edge_cns.data.splits import set_of
from edge_cns.decision.aggregation import aggregate_cases
from edge_cns.decision.verdict import softmax
from edge_cns.errors import BadInputError
from edge_cns.evaluation.abstention import conformal_figures, novelty_figures, state_figures
from edge_cns.evaluation.exams import exam_figures, frames_of_verdicts
from edge_cns.evaluation.heatmaps import HeatmapStudy, measure_heatmaps, read_lesions
from edge_cns.evaluation.metrics import evaluate, probability_figures
from edge_cns.evaluation.predictions import UNSEEN, CaseDecisions, Predictions
from edge_cns.evaluation.rows import Rows, make_rows
from edge_cns.evaluation.subgroups import subgroup_columns
from edge_cns.frames import Frame
from edge_cns.progress import Progress, silent
from edge_cns.runtime.classifier import Classifier
from edge_cns.runtime.rows import Outputs, classify_rows
from edge_cns.strict_json import load_json
from edge_cns.training.run import FinishedRun

__all__ = ["Assessment", "assess"]

_RESAMPLES = 2000
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, eq=False)
class Assessment:
    """What was measured.

    Attributes:
        outputs: what the classifier said, row by row.
        predictions: the same as evaluation has it.
        metrics: figures, JSON-ready.
        heatmaps: what was measured of the heat maps, or ``None`` where nothing could be.
    """

    outputs: Outputs
    predictions: Predictions
    metrics: dict[str, Any]
    heatmaps: HeatmapStudy | None


def assess(
    classifier: Classifier, manifest: Manifest, *, run: FinishedRun | None = None, progress: Progress = silent
) -> Assessment:
    """Classify every row of a label file and compute every figure.

    Args:
        classifier: a loaded bundle.
        manifest: labelled frames; those of patients the model has seen are reported apart.
        run: the training of the bundle: its float model is then measured beside the int8 one.
        progress: told as work goes on.

    Raises:
        BadInputError: a label that the contract does not have, no readable image, or the training of another bundle.
    """
    if run is not None:
        _check_training(run, classifier)
    manifest.require_labels(classifier.contract.class_names)
    outputs = classify_rows(classifier, manifest.rows, "classifying", progress)
    predictions = _predictions(classifier, manifest, outputs)
    bundle, decision = classifier.bundle, classifier.contract.decision
    metrics = evaluate(predictions, decisions=_case_decisions(predictions, decision)) | {
        "bundle": bundle.path.name,
        "proof": bundle.proof,
        "calibrated": decision.calibrated,
        "labels_sha256": manifest.sha256,
        "n_unreadable": len(outputs.unreadable),
        "unreadable": list(outputs.unreadable),
        "shortcut_warnings": bundle.quantisation.get("shortcut_warnings", []),
        "flow": _flow(manifest, outputs, predictions),
    }
    evident = np.array([row.evidence is not False for row in outputs.rows])
    if evident.any() and not evident.all():
        # Figures over all rows blame the model for signs that are not on the frame.
        metrics["evident"] = evaluate(predictions.select(evident))
    if CALIBRATION in bundle.files:
        metrics["calibration_record"] = load_json(bundle.files[CALIBRATION], CALIBRATION)
    if decision.calibrated:
        metrics |= _abstention(outputs, predictions, evident, classifier.contract)
    reference = None
    if run is not None:
        from edge_cns.training.model import read_classifier

        reference = read_classifier(run.model)
        metrics |= _float_figures(reference, run, outputs.rows, predictions, progress)
    heatmaps = _heatmaps(classifier, manifest, outputs, predictions, reference, progress)
    if heatmaps is not None:
        metrics["heatmaps"] = heatmaps.block
    return Assessment(outputs, predictions, metrics, heatmaps)


def _predictions(classifier: Classifier, manifest: Manifest, outputs: Outputs) -> Predictions:
    names, patients = classifier.contract.class_names, classifier.bundle.patients
    exam = classifier.contract.decision.exam
    known = {p: set_of(patients["salt"], p, patients["sets"]) or UNSEEN for p in set(outputs.patients)}
    return Predictions(
        classes=names,
        paths=tuple(str(row.path) for row in outputs.rows),
        labels=outputs.labels(names),
        probabilities=outputs.probabilities,
        patient_ids=tuple(outputs.patients),
        sets=tuple(known[patient] for patient in outputs.patients),
        phantom=manifest.phantom or classifier.contract.intended_use.phantom,
        subgroups=subgroup_columns(outputs.rows),
        seconds=outputs.seconds,
        negative=None if exam is None else exam.negative,
    )


def _case_decisions(predictions: Predictions, decision: Decision) -> CaseDecisions | None:
    """The exam's rule and thresholds on every case, where the bundle has them."""
    rule = decision.exam
    if rule is None:
        return None
    cases = predictions.cases()
    negative = None if rule.negative is None else predictions.classes.index(rule.negative)
    scores = aggregate_cases(
        predictions.probabilities, cases.index, rule.aggregation, negative=negative, seconds=predictions.seconds
    )
    calls = scores >= np.array(rule.thresholds)
    return CaseDecisions(scores, calls, (rule.aggregation.rule,) * len(scores), rule.target_sensitivity)


def _flow(manifest: Manifest, outputs: Outputs, predictions: Predictions) -> dict[str, Any]:
    """How many went in, how many were left out and why, and where those analysed stood."""
    lost = {row.patient_id for row in manifest.rows} - set(outputs.patients)
    excluded = []
    if outputs.unreadable:
        reason = "the image could not be read"
        excluded.append({"reason": reason, "rows": len(outputs.unreadable), "patients": len(lost)})
    by_set: dict[str, dict[str, int]] = {}
    for name in dict.fromkeys(predictions.sets):
        inside = predictions.in_sets(name)
        by_set[name] = {"rows": int(inside.sum()), "patients": len(set(_picked(predictions.patient_ids, inside)))}
    return {
        "rows": len(manifest.rows),
        "patients": len(manifest.patients),
        "excluded": excluded,
        "analysed": {"rows": len(predictions), "patients": len(set(predictions.patient_ids))},
        "by_set": by_set,
    }


def _picked(values: Sequence[_T], rows: NDArray[np.bool_]) -> list[_T]:
    return [value for value, wanted in zip(values, rows, strict=True) if wanted]


def _abstention(
    outputs: Outputs, predictions: Predictions, evident: NDArray[np.bool_], contract: Contract
) -> dict[str, Any]:
    """Blocks of a calibrated bundle, on the patients that count: those new to the model if there are any."""
    decision = contract.decision
    counted = _counted(predictions)
    quoted, verdicts = predictions.select(counted), [outputs.verdicts[i] for i in np.flatnonzero(counted)]
    rows = _rows(quoted)
    before = softmax(outputs.logits[counted], Decision())
    states = [verdict.state.value for verdict in verdicts]
    blocks: dict[str, Any] = {
        "before_calibration": probability_figures(replace(quoted, probabilities=before)),
        "states": state_figures(rows, states, quoted.predicted == quoted.labels),
    }
    shown = evident[counted]
    if decision.conformal is not None and shown.any():
        seen = quoted.select(shown)
        blocks["conformal"] = conformal_figures(_rows(seen), seen.probabilities, decision.conformal)
    if decision.novelty is not None:
        scores = np.array([verdict.novelty for verdict in verdicts], np.float64)
        blocks["novelty"] = novelty_figures(rows, scores, decision.novelty)
    if decision.exam is not None:
        keys = [(row.patient_id, row.exam_id, row.label) for row in _picked(outputs.rows, counted)]
        exams = {key: m for m, key in enumerate(dict.fromkeys(keys))}
        exam = np.array([exams[key] for key in keys], np.int64)
        frames = frames_of_verdicts(verdicts, quoted.classes, exam, quoted.seconds)
        blocks["exams"] = exam_figures(contract, frames, [k[2] for k in exams], [k[0] for k in exams])
    return blocks


def _rows(predictions: Predictions) -> Rows:
    return make_rows(predictions.labels, predictions.patient_ids, predictions.classes, seed=0, resamples=_RESAMPLES)


def _check_training(run: FinishedRun, classifier: Classifier) -> None:
    """Refuse a training that the bundle was not made from."""
    made_from = classifier.bundle.quantisation.get("training", {})
    same = all(run.record.get(key) == value for key, value in made_from.items())
    if not same or run.contract.to_json() | {"decision": None} != classifier.contract.to_json() | {"decision": None}:
        raise BadInputError(f"{run.path} is not the training that {classifier.bundle.path} was made from")


def _float_figures(
    model: Any, run: FinishedRun, rows: Sequence[Row], predictions: Predictions, progress: Progress
) -> dict[str, Any]:
    """The training's float model on the same frames: its own figures, and how often the two agree."""
    from edge_cns.training.dataset import load_images
    from edge_cns.training.model import predict_logits

    images = load_images(rows, run.contract, "reading frames for the float model", progress).images
    exact = replace(predictions, probabilities=softmax(predict_logits(model, images), run.contract.decision))
    figures = evaluate(exact)
    same: NDArray[np.bool_] = exact.predicted == predictions.predicted
    unseen = predictions.in_sets(UNSEEN)
    return {
        "float": {key: figures[key] for key in ("frame", "patient", "by_set")},
        "agreement": float(same.mean()),
        "agreement_unseen": float(same[unseen].mean()) if unseen.any() else None,
    }


def _heatmaps(
    classifier: Classifier,
    manifest: Manifest,
    outputs: Outputs,
    predictions: Predictions,
    model: Any,
    progress: Progress,
) -> HeatmapStudy | None:
    """The int8 maps against outlined lesions and, with a Keras model, against its own."""

    def cam(frame: Frame) -> NDArray[np.float32]:
        classifier.preprocess(frame)
        classifier.backend.invoke()
        return classifier.output("cam")

    reference = None
    if model is not None:
        from edge_cns.training.gradcam import KerasMaps

        reference = KerasMaps(model)
    rows = _picked(outputs.rows, _counted(predictions))
    return measure_heatmaps(
        cam, rows, classifier.contract, lesions=read_lesions(manifest), reference=reference, progress=progress
    )


def _counted(predictions: Predictions) -> NDArray[np.bool_]:
    """``(N,)``: rows of the patients that count: those new to the model if there are any."""
    unseen = predictions.in_sets(UNSEEN)
    return unseen if unseen.any() else np.ones(len(predictions), bool)
