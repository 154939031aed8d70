"""The folder of a training: ``settings.json`` first, a checkpoint after each epoch, ``run.json`` when it is finished.

RUN/settings.json   what was asked for; another request on an unfinished folder is refused
RUN/checkpoint.npz  weights, moments, average and best so far, with the history: the last whole epoch
RUN/model.keras     the trained classifier
RUN/run.json        all that produced it; its presence says that the training is finished
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edge_cns.atomic import write_bytes, write_json
from edge_cns.bundle import read_arrays
from edge_cns.contract import Contract
from edge_cns.errors import BadInputError, brief
from edge_cns.strict_json import load_json
from edge_cns.training.augment import Augmentation

__all__ = [
    "MODEL",
    "Checkpoint",
    "FinishedRun",
    "Settings",
    "finish_run",
    "kept_epoch",
    "open_run",
    "pack_checkpoint",
    "read_checkpoint",
    "read_run",
    "unpack_checkpoint",
    "write_checkpoint",
]

_SETTINGS, _CHECKPOINT, _RUN, MODEL = "settings.json", "checkpoint.npz", "run.json", "model.keras"


@dataclass(frozen=True, slots=True)
class Settings:
    """What a training is asked for.

    Attributes:
        backbone, alpha, image_size: the network.
        region: ``auto`` finds the ultrasound image in a frame, ``whole`` takes the frame (slices of CT and MR, frames
            that are cropped already).
        weights: ``imagenet``, ``none`` or a path.
        epochs: of fine-tuning at most; it stops early when the *stop* patients only lose.
        patience: epochs below the best accuracy on *stop* patients before it stops.
        batch_size: frames a step.
        learning_rate: of AdamW at its peak; rises over the first steps, then falls as a cosine.
        weight_decay: of AdamW, on kernels only.
        average: decay of the exponential moving average of the weights, which is what is kept.
        dropout: share of feature channels left out in a step.
        seed: of everything that is drawn.
        augmentation: ranges of variation.
    """

    backbone: str = "mobilenet_v2"
    alpha: float = 1.0
    weights: str = "imagenet"
    image_size: int = 224
    region: Literal["auto", "whole"] = "auto"
    epochs: int = 10
    patience: int = 6
    batch_size: int = 16
    learning_rate: float = 2e-4
    weight_decay: float = 0.01
    average: float = 0.98
    dropout: float = 0.2
    seed: int = 0
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise BadInputError(f"epochs is {self.epochs}; give at least 1")
        if not 0 <= self.seed < 2**31:
            raise BadInputError(f"seed is {self.seed}; give 0 to {2**31 - 1}")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state after a whole epoch.

    Attributes:
        epoch: epochs done.
        history: a row for each.
        arrays: every variable by name.
    """

    epoch: int
    history: list[dict[str, float]]
    arrays: Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """A finished training, as conversion needs it.

    Attributes:
        path: its folder.
        contract: of the model, before calibration.
        labels: the ``labels.csv`` it was trained on, and its digest.
        sets: set name by patient id.
        settings: what was asked for.
        record: all of ``run.json``.
    """

    path: Path
    contract: Contract
    settings: Settings
    labels: Path
    labels_sha256: str
    sets: Mapping[str, str]
    record: Mapping[str, Any]

    @property
    def model(self) -> Path:
        """The Keras model."""
        return self.path / MODEL


def kept_epoch(history: Sequence[Mapping[str, float]]) -> Mapping[str, float]:
    """The epoch whose weights are kept: the best accuracy on *stop* patients, and of equals the last.

    Not the smallest loss: that prefers a hesitant epoch while the learning rate is still high, and rounding to int8
    then flips more verdicts. Of equals, the last has been averaged and cooled the longest.

    Args:
        history: rows with ``epoch`` and ``stop_accuracy``; at least one.
    """
    return max(history, key=lambda row: (row["stop_accuracy"], row["epoch"]))


def check_run(path: Path, settings: Settings, labels: Path, labels_sha256: str) -> None:
    """Find out whether a folder can take this training, touching nothing.

    Raises:
        BadInputError: it is finished, belongs to other settings or other labels, or is something else.
    """
    if (path / _RUN).exists():
        raise BadInputError(f"{path} holds a finished training; choose another --out, or convert it")
    wanted = _request(settings, labels, labels_sha256)
    if (path / _SETTINGS).exists():
        found = load_json((path / _SETTINGS).read_bytes(), str(path / _SETTINGS))
        if not isinstance(found, dict) or {key: found.get(key) for key in wanted} != wanted:
            raise _other_settings(path, _difference(found, wanted))
        return
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise BadInputError(f"{path} exists and is no training; choose another --out")


def open_run(
    path: Path, settings: Settings, labels: Path, labels_sha256: str, *, weights_sha256: str | None = None
) -> None:
    """Make or re-enter the folder of a training.

    Args:
        path: the folder.
        settings: of the training.
        labels: the ``labels.csv``.
        labels_sha256: its digest.
        weights_sha256: digest of the weights file it starts from; ``None`` where it starts from random numbers.

    Raises:
        BadInputError: what `check_run` raises, or a training that started from another weights file: a checkpoint
            does not hold what is frozen.
    """
    check_run(path, settings, labels, labels_sha256)
    if (path / _SETTINGS).exists():
        started = load_json((path / _SETTINGS).read_bytes(), str(path / _SETTINGS)).get("weights_sha256")
        if started is not None and started != weights_sha256:
            raise _other_settings(path, f"weights file {started[:12]} there, {str(weights_sha256)[:12]} now")
    path.mkdir(parents=True, exist_ok=True)
    request = _request(settings, labels, labels_sha256) | {"weights_sha256": weights_sha256}
    write_json(path / _SETTINGS, request)


def pack_checkpoint(checkpoint: Checkpoint) -> bytes:
    """A checkpoint as the bytes of its file; `unpack_checkpoint` is its inverse."""
    buffer = io.BytesIO()
    state = json.dumps({"epoch": checkpoint.epoch, "history": checkpoint.history}).encode()
    np.savez(buffer, __state__=np.frombuffer(state, np.uint8), **checkpoint.arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def unpack_checkpoint(content: bytes, name: str) -> Checkpoint:
    """Read the bytes of a checkpoint.

    Raises:
        BadInputError: it is damaged; the text has ``name``.
    """
    try:
        arrays = read_arrays(content, _CHECKPOINT)
        state = json.loads(arrays.pop("__state__").tobytes())
        return Checkpoint(state["epoch"], state["history"], arrays)
    except (KeyError, TypeError, ValueError) as error:
        reason = brief(error)
        raise BadInputError(f"{name} is damaged ({reason}); remove it to start again") from None


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Replace the checkpoint in the folder of a training atomically."""
    write_bytes(path / _CHECKPOINT, pack_checkpoint(checkpoint))


def read_checkpoint(path: Path) -> Checkpoint | None:
    """The state after the last whole epoch, or ``None`` before the first.

    Raises:
        BadInputError: the checkpoint is damaged.
    """
    file = path / _CHECKPOINT
    return unpack_checkpoint(file.read_bytes(), str(file)) if file.exists() else None


def finish_run(path: Path, record: Mapping[str, Any]) -> None:
    """Write ``run.json``, which makes the training finished, and drop the checkpoint."""
    write_json(path / _RUN, record)
    (path / _CHECKPOINT).unlink(missing_ok=True)


def read_run(path: Path) -> FinishedRun:
    """Read a finished training.

    Raises:
        BadInputError: not a training, or not finished.
    """
    if not path.is_dir():
        what = "is a file" if path.exists() else "does not exist"
        raise BadInputError(f"{path} {what}; give the folder that edge-cns train wrote")
    if not (path / _RUN).exists():
        state = "is unfinished; repeat its train command" if (path / _SETTINGS).exists() else "is no training"
        raise BadInputError(f"{path} {state}")
    record = load_json((path / _RUN).read_bytes(), str(path / _RUN))
    try:
        contract = Contract.from_json(record["contract"])
        settings = dict(record["settings"])
        ranges = dict(settings.pop("augmentation"))
        ranges["zoom"] = tuple(ranges["zoom"])
        labels, digest, sets = Path(record["labels"]), record["labels_sha256"], dict(record["sets"])
        for key in ("weights", "versions", "frames", "shortcut_warnings"):
            record[key]  # conversion quotes them
        asked = Settings(**settings, augmentation=Augmentation(**ranges))
    except (KeyError, TypeError, ValueError) as error:
        raise BadInputError(f"{path / _RUN} is damaged ({error}); train again") from None
    return FinishedRun(path, contract, asked, labels, digest, sets, record)


def _request(settings: Settings, labels: Path, labels_sha256: str) -> dict[str, Any]:
    """What ``settings.json`` says, as it reads back."""
    request = {"settings": asdict(settings), "labels": str(labels.resolve()), "labels_sha256": labels_sha256}
    return dict(json.loads(json.dumps(request)))


def _other_settings(path: Path, difference: str) -> BadInputError:
    return BadInputError(
        f"{path} holds an unfinished training with other settings ({difference}); "
        "repeat the same command to go on, or choose another --out"
    )


def _difference(found: Any, wanted: dict[str, Any]) -> str:
    if not isinstance(found, dict) or not isinstance(found.get("settings"), dict):
        return "damaged settings.json"
    old, new = found["settings"] | {"labels": found.get("labels")}, wanted["settings"] | {"labels": wanted["labels"]}
    changed = [f"{k} {old.get(k)} there, {new[k]} now" for k in new if old.get(k) != new[k]]
    return "; ".join(changed) or "labels.csv has changed"
