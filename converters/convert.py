"""The whole conversion: a finished training in, a proven bundle out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from converters.bias import correct_bias
from converters.gate import GateReport, run_gate
from converters.model_card import model_card
from converters.tflite import to_float, to_int8
from edge_cns.atomic import json_bytes, write_json
from edge_cns.bundle import write_arrays, write_bundle
from edge_cns.data.manifest import Manifest, Row, read_manifest
from edge_cns.data.phantom import CLASSES, draw_patient, render
from edge_cns.data.splits import hashes_by_set, new_salt
from edge_cns.errors import BadInputError, OperationError
from edge_cns.preprocess import as_float
from edge_cns.progress import Progress, silent
from edge_cns.runtime.backends.litert import LiteRT
from edge_cns.runtime.selftest import engine_identity, record_golden
from edge_cns.training.dataset import load_images, rows_of
from edge_cns.training.model import predict_logits, read_classifier
from edge_cns.training.run import FinishedRun, read_run

__all__ = ["Quantisation", "convert", "report_path"]

Quantisation = Literal["ptq", "qat"]

_CALIBRATION_FRAMES = 200
_FLOAT_TOLERANCE = 1e-2  # logits: Keras and LiteRT sum in another order


def report_path(out: Path) -> Path:
    """Where the gate's report goes when it refuses a bundle."""
    return out.with_suffix(".quantisation.json")


def convert(
    path: Path,
    out: Path,
    *,
    quantize: Quantisation = "ptq",
    margin: float = 0.02,
    allow_drift: bool = False,
    require_proof: bool = False,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Quantise, prove, and write a bundle.

    Args:
        path: folder of a finished training.
        out: ``NAME.cns``; must not exist.
        quantize: post-training quantisation, or quantisation-aware training.
        margin: largest loss of a class's sensitivity that counts as none.
        allow_drift: write the bundle although the gate failed, and stamp that in.
        require_proof: write it only if the gate passed.
        progress: told as work goes on.

    Returns:
        The gate's report, as ``quantisation.json`` has it. If the outcome forbids a bundle, the report is at
        `report_path` and ``written`` in it is false.

    Raises:
        BadInputError: no finished training, its data have gone or changed, or ``out`` exists.
        UnsupportedError: the network cannot be quantised in full.
    """
    if out.suffix != ".cns" or out.exists():
        why = "exists already; remove it or choose another --out" if out.exists() else "must end in .cns"
        raise BadInputError(f"{out} {why}")
    run = read_run(path)
    manifest = _labels_of(run)
    model = read_classifier(run.model)
    fit, gate = (rows_of(manifest, run.sets, name) for name in ("fit", "gate"))
    calibration = load_images(_calibration_rows(fit), run.contract, "reading calibration frames", progress).images
    progress("converting to float32 TFLite", 0, 1)
    float_model = to_float(model)
    _check_float(model, float_model, calibration[:4])
    progress("converting to float32 TFLite", 1, 1)
    rounded = _quantised(model, quantize, calibration, run, fit, progress)
    # Quantisation-aware training has moved the weights on: the float model's means are not its own.
    int8_model = correct_bias(float_model, rounded, calibration) if quantize == "ptq" else rounded
    report = run_gate(
        float_model, int8_model, run.contract, gate, margin=margin, uncorrected=rounded, progress=progress
    )

    drift = allow_drift and report.outcome == "failed" and not require_proof
    written = report.outcome == "passed" or drift or (report.outcome == "undecided" and not require_proof)
    quantisation: dict[str, Any] = {
        "outcome": report.outcome,
        "drift_allowed": drift,
        "method": quantize,
        "written": written,
    }
    quantisation |= report.to_json()
    if not written:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_json(report_path(out), quantisation)
        return quantisation
    write_bundle(out, _files(run, manifest, calibration, quantisation, report, float_model, int8_model))
    return quantisation


def _labels_of(run: FinishedRun) -> Manifest:
    manifest = read_manifest(run.labels)
    if manifest.sha256 != run.labels_sha256:
        raise BadInputError(f"{run.labels} has changed since {run.path} was trained on it; restore it or train again")
    return manifest


def _quantised(
    model: Any,
    quantize: Quantisation,
    calibration: NDArray[np.uint8],
    run: FinishedRun,
    fit: Sequence[Row],
    progress: Progress,
) -> bytes:
    if quantize == "qat":
        from edge_cns.training.qat import train_quantised

        frames = load_images(fit, run.contract, "reading fit frames", progress)
        model = train_quantised(model, frames, run.settings.augmentation, seed=run.settings.seed, progress=progress)
    progress("converting to int8 TFLite", 0, 1)
    content = to_int8(model, calibration)
    progress("converting to int8 TFLite", 1, 1)
    return content


def _calibration_rows(fit: Sequence[Row]) -> tuple[Row, ...]:
    """At most `_CALIBRATION_FRAMES` frames of *fit* patients, each class in turn, ordered by patient and line."""
    seen: Counter[str] = Counter()
    ranked = []
    for row in sorted(fit, key=lambda row: (row.patient_id, row.line)):
        ranked.append((seen[row.label], row.label, row))
        seen[row.label] += 1
    return tuple(row for *_, row in sorted(ranked, key=lambda item: item[:2])[:_CALIBRATION_FRAMES])


def _check_float(model: Any, float_model: bytes, images: NDArray[np.uint8]) -> None:
    """The float reference must be the trained model."""
    engine = LiteRT(float_model)
    for picture, logits in zip(images, predict_logits(model, images), strict=True):
        engine.input()[:] = as_float(picture[None])
        engine.invoke()
        difference = float(np.abs(engine.output("logits")[0] - logits).max())
        if difference > _FLOAT_TOLERANCE * max(1.0, float(np.abs(logits).max())):
            raise OperationError(f"the float model differs from Keras by {difference:.3g} logits; report this")
    engine.close()


def _files(
    run: FinishedRun,
    manifest: Manifest,
    calibration: NDArray[np.uint8],
    quantisation: Mapping[str, Any],
    report: GateReport,
    float_model: bytes,
    int8_model: bytes,
) -> dict[str, bytes]:
    engine = LiteRT(int8_model)
    golden = record_golden(engine, _golden_frames(), run.contract.input)
    record = dict(quantisation) | {
        "calibration_frames": len(calibration),
        "golden": {"engine": engine_identity(engine), "tolerance_steps": report.tolerance_steps},
        "training": {key: run.record[key] for key in ("weights", "settings", "versions", "frames", "labels_sha256")},
        "shortcut_warnings": run.record["shortcut_warnings"],
    }
    engine.close()
    salt = new_salt()
    return {
        "model.tflite": int8_model,
        "contract.json": json_bytes(run.contract.to_json()),
        "golden.npz": write_arrays(golden),
        "quantisation.json": json_bytes(json.loads(json.dumps(record))),
        "model_card.md": model_card(run.contract, record, manifest).encode(),
        "patients.json": json_bytes({"salt": salt, "sets": hashes_by_set(salt, run.sets)}),
        "float.tflite": float_model,
        "calibration.npz": write_arrays({"images": calibration}),
    }


def _golden_frames() -> list[NDArray[np.uint8]]:
    """Phantom frames: a device then holds nobody's pixels."""
    views = zip(CLASSES, ("transventricular", "coronal_face", "transthalamic", "transcerebellar"), strict=False)
    return [render(draw_patient(name, seed=i), plane, view=i).pixels for i, (name, plane) in enumerate(views)]
