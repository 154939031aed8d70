"""A whole training: labelled frames in, ``RUN/model.keras`` and ``RUN/run.json`` out."""

from __future__ import annotations

import contextlib
import json
import platform
import shutil
from collections.abc import Iterable
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from edge_cns.atomic import write_bytes
from edge_cns.contract import ClassDefinition, Contract, InputSpec, IntendedUse
from edge_cns.data.check import check
from edge_cns.data.manifest import Manifest
from edge_cns.data.splits import SETS, draw_sets
from edge_cns.errors import BadInputError
from edge_cns.progress import Progress, silent
from edge_cns.strict_json import load_json
from edge_cns.training.dataset import Frames, rows_of, stream_images
from edge_cns.training.distribute import ALONE, join
from edge_cns.training.frame_cache import MEMORY_BYTES
from edge_cns.training.meeting import Cluster
from edge_cns.training.run import MODEL, Settings, check_run, finish_run, open_run, read_checkpoint
from edge_cns.training.weights import ResolvedWeights, resolve_weights

__all__ = ["train"]

_LIBRARIES = ("edge-cns", "tensorflow", "tf-keras", "scikit-learn", "numpy", "opencv-python")
STATEMENT = "Research use only. Not a medical device. Sorts {what} into the listed classes."
_ULTRASOUND = "US"
_HEAD_FRAMES = 10_000  # the head's first fit takes all features at once; fine-tuning goes on with every frame
_HEAD_PART = 512
_HEAD_TASK = "fitting the head on frozen features"


def train(
    manifest: Manifest,
    out: Path,
    settings: Settings,
    progress: Progress = silent,
    *,
    cluster: Cluster | None = None,
    wait_seconds: float = 120.0,
    memory_bytes: int = MEMORY_BYTES,
) -> dict[str, Any]:
    """Train by transfer learning, or go on with a training that was interrupted.

    Args:
        manifest: labelled frames; from rows of ``split`` = ``test`` nothing is learned and nothing chosen. The check
            reads them, because a test frame that is also a training frame must be refused.
        out: folder of the training. Of several workers, only the chief writes results and checkpoints to it.
        settings: what is asked for.
        progress: told as work goes on.
        cluster: the workers that train together, each a process that calls this with the same data and settings;
            ``None`` for one process.
        wait_seconds: how long to wait until all of them have come.
        memory_bytes: most memory for the images of a set; what is beyond it is on disk under ``out`` meanwhile.

    Returns:
        The record that was written as ``run.json``.

    Raises:
        BadInputError: data that `edge_cns.data.check` refuses, weights that cannot be found, or a folder that holds
            something else; see also `edge_cns.training.run.open_run`.
        MissingExtraError: TensorFlow or scikit-learn is not installed.
        OperationError: another worker has stopped.
        OperationTimeoutError: another worker has not come in time.
    """
    from edge_cns.training.finetune import finetune

    if cluster is None or cluster.index == 0:
        check_run(out, settings, manifest.path, manifest.sha256)
    weights = resolve_weights(settings.backbone, settings.alpha, settings.image_size, settings.weights)
    workers = ALONE if cluster is None else join(cluster, _request(manifest, settings, weights), wait_seconds, progress)
    findings = check(manifest, progress=progress)
    if findings.refusal:
        raise BadInputError(findings.refusal)
    sets = draw_sets(manifest.for_training(), seed=settings.seed, together=findings.linked_patients)
    contract = _contract(manifest, settings)
    model = _new_model(settings, weights, len(contract.classes))
    if workers.chief:
        digest = None if weights is None else weights.sha256
        open_run(out, settings, manifest.path, manifest.sha256, weights_sha256=digest)
    cache = out / ("frames" if workers.chief else f"frames-{workers.index}")
    fit, stop = (
        stream_images(
            rows_of(manifest, sets, name),
            contract,
            f"reading {name} frames",
            progress,
            folder=cache,
            memory_bytes=memory_bytes,
        )
        for name in ("fit", "stop")
    )
    if workers.chief and read_checkpoint(out) is None:
        _fit_head(model, fit, len(contract.classes), progress)
    history = finetune(model, fit, stop, settings, path=out, progress=progress, workers=workers)
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
        "workers": workers.count,
        "versions": {name: version(name) for name in _LIBRARIES},
        "python": platform.python_version(),
        "machine": platform.machine(),
    }
    record = dict(json.loads(json.dumps(record)))
    if workers.chief:
        _write(model, out, record, phantom=manifest.phantom)
    _forget(cache)
    return record


def _request(manifest: Manifest, settings: Settings, weights: ResolvedWeights | None) -> dict[str, Any]:
    """What all workers must have been asked for alike; paths may differ between machines."""
    return asdict(settings) | {
        "weights": None if weights is None else weights.sha256[:12],
        "labels.csv": manifest.sha256[:12],
        "edge-cns": version("edge-cns"),
    }


def _new_model(settings: Settings, weights: ResolvedWeights | None, classes: int) -> Any:
    from edge_cns.training.backbones.build import build
    from edge_cns.training.keras import keras
    from edge_cns.training.model import make_classifier

    keras.utils.set_random_seed(settings.seed)
    backbone = build(settings.backbone, alpha=settings.alpha, image_size=settings.image_size, weights=weights)
    return make_classifier(backbone, classes)


def _fit_head(model: Any, fit: Frames, classes: int, progress: Progress) -> None:
    """Fit the head on features of the frozen backbone; of very many frames each class gives some in turn."""
    from edge_cns.training.head import fit_head
    from edge_cns.training.model import embeddings

    chosen = np.arange(len(fit.labels))
    if len(chosen) > _HEAD_FRAMES:
        turns = np.empty_like(chosen)
        for label in range(classes):
            turns[fit.labels == label] = np.arange((fit.labels == label).sum())
        chosen = np.sort(np.argsort(turns, kind="stable")[:_HEAD_FRAMES])
    features = []
    for start in range(0, len(chosen), _HEAD_PART):
        progress(_HEAD_TASK, start, len(chosen))
        features.append(embeddings(model, fit.images[chosen[start : start + _HEAD_PART]]))
    model.get_layer("cam").set_weights(fit_head(np.concatenate(features), fit.labels[chosen], classes))
    progress(_HEAD_TASK, len(chosen), len(chosen))


def _write(model: Any, out: Path, record: dict[str, Any], *, phantom: bool) -> None:
    """Model, curves, and last ``run.json``, which makes the training finished."""
    from edge_cns.training.curves import draw_curves

    _save(model, out / MODEL)
    write_bytes(out / "curves.png", draw_curves(record["history"], phantom=phantom))
    finish_run(out, record)


def _forget(cache: Path) -> None:
    """Remove prepared frames, and the folder of a worker that has nothing else in it."""
    shutil.rmtree(cache, ignore_errors=True)
    with contextlib.suppress(OSError):
        cache.parent.rmdir()


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
    modalities = sorted({row.value("modality").upper() or _ULTRASOUND for row in rows})
    what = "ultrasound frames" if modalities == [_ULTRASOUND] else f"{' and '.join(modalities)} images"
    return Contract(
        classes=tuple(
            ClassDefinition(n, definitions.get(n, f"frames labelled {n!r} by the data set")) for n in classes
        ),
        input=InputSpec(settings.image_size, settings.image_size, settings.region),
        intended_use=IntendedUse(
            statement=STATEMENT.format(what=what),
            planes=tuple(sorted({row.plane for row in rows if row.plane})),
            gestational_age_weeks=(min(ages), max(ages)) if ages else None,
            modes=tuple("B" if modality == _ULTRASOUND else modality for modality in modalities),
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
