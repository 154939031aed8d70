"""A whole training: labelled frames in, ``RUN/model.keras`` and ``RUN/run.json`` out."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from edge_cns.atomic import write_bytes
from edge_cns.contract import ClassDefinition, Contract, InputSpec, IntendedUse
from edge_cns.data.check import check
from edge_cns.data.manifest import Manifest
from edge_cns.data.splits import SETS, draw_sets
from edge_cns.errors import BadInputError
from edge_cns.progress import Progress, silent
from edge_cns.strict_json import load_json
from edge_cns.training.dataset import load_images, rows_of
from edge_cns.training.run import MODEL, Settings, check_run, finish_run, open_run, read_checkpoint

__all__ = ["train"]

_LIBRARIES = ("edge-cns", "tensorflow", "tf-keras", "scikit-learn", "numpy", "opencv-python")
STATEMENT = "Research use only. Not a medical device. Sorts ultrasound frames into the listed classes."


def train(manifest: Manifest, out: Path, settings: Settings, progress: Progress = silent) -> dict[str, Any]:
    """Train by transfer learning, or go on with a training that was interrupted.

    Args:
        manifest: labelled frames; from rows of ``split`` = ``test`` nothing is learned and nothing chosen. The check
            reads them, because a test frame that is also a training frame must be refused.
        out: folder of the training.
        settings: what is asked for.
        progress: told as work goes on.

    Returns:
        The record that was written as ``run.json``.

    Raises:
        BadInputError: data that `edge_cns.data.check` refuses, weights that cannot be found, or a folder that holds
            something else; see also `edge_cns.training.run.open_run`.
        MissingExtraError: TensorFlow or scikit-learn is not installed.
    """
    from edge_cns.training.backbones.build import build
    from edge_cns.training.finetune import finetune
    from edge_cns.training.head import fit_head
    from edge_cns.training.keras import keras
    from edge_cns.training.model import embeddings, make_classifier
    from edge_cns.training.weights import resolve_weights

    check_run(out, settings, manifest.path, manifest.sha256)
    weights = resolve_weights(settings.backbone, settings.alpha, settings.image_size, settings.weights)
    findings = check(manifest, progress=progress)
    if findings.refusal:
        raise BadInputError(findings.refusal)
    sets = draw_sets(manifest.for_training(), seed=settings.seed, together=findings.linked_patients)
    contract = _contract(manifest, settings)
    keras.utils.set_random_seed(settings.seed)
    backbone = build(settings.backbone, alpha=settings.alpha, image_size=settings.image_size, weights=weights)
    model = make_classifier(backbone, len(contract.classes))

    digest = None if weights is None else weights.sha256
    open_run(out, settings, manifest.path, manifest.sha256, weights_sha256=digest)
    fit, stop = (
        load_images(rows_of(manifest, sets, name), contract, f"reading {name} frames", progress)
        for name in ("fit", "stop")
    )
    if read_checkpoint(out) is None:
        progress("fitting the head on frozen features", 0, 1)
        model.get_layer("cam").set_weights(fit_head(embeddings(model, fit.images), fit.labels, len(contract.classes)))
        progress("fitting the head on frozen features", 1, 1)
    history = finetune(model, fit, stop, settings, path=out, progress=progress)

    _save(model, out / MODEL)
    from edge_cns.training.curves import draw_curves

    write_bytes(out / "curves.png", draw_curves(history, phantom=manifest.phantom))
    record = {
        "contract": contract.to_json(),
        "labels": str(manifest.path.resolve()),
        "labels_sha256": manifest.sha256,
        "settings": asdict(settings),
        "weights": None if weights is None else {"origin": weights.origin, "sha256": weights.sha256},
        "sets": sets,
        "frames": {name: len(rows_of(manifest, sets, name)) for name in SETS},
        "shortcut_warnings": list(findings.shortcut_warnings),
        "history": history,
        "versions": {name: version(name) for name in _LIBRARIES},
        "python": platform.python_version(),
        "machine": platform.machine(),
    }
    record = dict(json.loads(json.dumps(record)))
    finish_run(out, record)
    return record


def _save(model: Any, path: Path) -> None:
    """Write ``model.keras`` whole or not at all."""
    temporary = path.with_name(f".{path.name}")
    try:
        model.save(temporary, save_format="keras")
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _contract(manifest: Manifest, settings: Settings) -> Contract:
    rows = manifest.for_training()
    classes = sorted({row.label for row in rows})
    definitions = _definitions(manifest.path.parent / "classes.json")
    ages = [row.gestational_age_weeks for row in rows if row.gestational_age_weeks is not None]
    spacings = list(_numbers(row.value("mm_per_pixel") for row in rows))
    return Contract(
        classes=tuple(
            ClassDefinition(n, definitions.get(n, f"frames labelled {n!r} by the data set")) for n in classes
        ),
        input=InputSpec(settings.image_size, settings.image_size),
        intended_use=IntendedUse(
            statement=STATEMENT,
            planes=tuple(sorted({row.plane for row in rows if row.plane})),
            gestational_age_weeks=(min(ages), max(ages)) if ages else None,
            mm_per_pixel=(min(spacings), max(spacings)) if spacings else None,
            phantom=manifest.phantom,
        ),
    )


def _definitions(path: Path) -> dict[str, str]:
    """Class definitions that a data set may carry beside its labels: ``classes.json``, name to sentence."""
    if not path.exists():
        return {}
    value = load_json(path.read_bytes(), str(path))
    if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
        raise BadInputError(f"{path} is not a JSON object of class names and sentences; mend or remove it")
    return value


def _numbers(texts: Iterable[str]) -> Iterable[float]:
    for text in texts:
        try:
            value = float(text)
        except ValueError:
            continue
        if 0 < value < 10:
            yield value
