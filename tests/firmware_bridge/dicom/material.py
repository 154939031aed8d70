"""DICOM objects of ultrasound studies, records of exams, and a stand-in for a bundle."""

from __future__ import annotations

import io
import itertools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from edge_cns.contract import ClassDefinition, Contract, InputSpec, IntendedUse
from edge_cns.data.dicom_identity import Identity
from edge_cns.decision.statement import ExamStatement, Outcome
from edge_cns.runtime.sinks.base import Record, RecordType, Session
from firmware_bridge.dicom.studies import Study
from tests.dicoms import dicom_bytes

__all__ = [
    "BIRTH",
    "CLASSES",
    "NAME",
    "NUMBER",
    "US",
    "US_CLIP",
    "bundle",
    "event",
    "exam",
    "identity",
    "object_bytes",
    "picture",
    "session",
    "study",
    "summary",
    "verdict",
]

NAME, NUMBER, BIRTH = "Wirrwarr^Quendolin", "ZX-8814-QQ", "19871102"
"""Of the patient: they must be in no record, in no log and on no page."""
US, US_CLIP = "1.2.840.10008.5.1.4.1.1.6.1", "1.2.840.10008.5.1.4.1.1.3.1"
CLASSES = ("anencephaly", "holoprosencephaly", "normal")

_numbers = itertools.count(1)


def picture(seed: int, frames: int = 1, size: int = 96) -> np.ndarray:
    """``(frames, size, size)`` uint8 that looks like nothing, each frame another."""
    return np.random.default_rng(seed).integers(20, 220, (frames, size, size), dtype=np.uint8)


def object_bytes(pixels: np.ndarray, *, study: str = "1.2.3.1", number: str = NUMBER, **elements: Any) -> bytes:
    """An uncompressed ultrasound object of a study; ``(1, H, W)`` is an image, more frames are a clip."""
    import pydicom

    still = len(pixels) == 1
    header = {
        "SOPClassUID": US if still else US_CLIP,
        "StudyInstanceUID": study,
        "SeriesInstanceUID": f"{study}.1",
        "SOPInstanceUID": f"{study}.1.{next(_numbers)}",
        "Modality": "US",
        "PatientName": NAME,
        "PatientID": number,
        "PatientBirthDate": BIRTH,
        "PatientSex": "F",
        "StudyDate": "20260102",
        "StudyTime": "101112",
        "StudyID": "7",
        "AccessionNumber": "ACC-QUOLL-9",
        "FrameTime": "20",
    }
    if still:
        pixels = pixels[0]
    dataset = pydicom.dcmread(io.BytesIO(dicom_bytes(pixels, **header | elements)))
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def identity(instance: str = "1.2.3.1.1.1", **changes: Any) -> Identity:
    values: dict[str, Any] = {
        "study": "1.2.3.1",
        "series": "1.2.3.1.1",
        "instance": instance,
        "sop_class": US_CLIP,
        "modality": "US",
        "attributes": {
            "PatientName": NAME,
            "PatientID": NUMBER,
            "PatientBirthDate": BIRTH,
            "PatientSex": "F",
            "StudyDate": "20260102",
            "StudyTime": "101112",
            "StudyID": "7",
            "AccessionNumber": "ACC-QUOLL-9",
        },
    }
    return Identity(**values | changes)


def study(frames: int = 30) -> Study:
    """One clip and one image after it."""
    made = Study(identity())
    made.shown(identity(), 0, frames)
    made.shown(identity("1.2.3.1.1.2", sop_class=US), frames, 1)
    return made


def bundle() -> Any:
    contract = Contract(
        tuple(ClassDefinition(n) for n in CLASSES), InputSpec(64, 64), IntendedUse("Research use only.")
    )
    return SimpleNamespace(path=Path("tiny.cns"), contract=contract, proof="passed", files={"model.tflite": b"a model"})


def session(source: str = "dicom-scp://127.0.0.1:11112") -> Session:
    controls: Any = None
    return Session(bundle(), source, controls)


def event(name: str, **more: Any) -> Record:
    return Record(RecordType.EVENT, {"at_ns": 1, "event": name, "detail": "", **more})


def summary() -> Record:
    return Record(RecordType.SUMMARY, {"ended": "stopped"})


def exam(name: str, label: str | None = "anencephaly", frames: tuple[int, ...] = (3, 4), n: int = 31) -> Record:
    outcome = Outcome.FINDING if label else Outcome.INDETERMINATE
    score = 0.91 if label else None
    statement = ExamStatement(outcome, label, score, "enough frames show it", (), (), frames, n, n - 1)
    scores = {"anencephaly": 0.91, "holoprosencephaly": 0.05, "normal": 0.04}
    return Record(RecordType.EXAM, {"exam": name, "fetus": "", **statement.to_json(), "evidence": scores})


def verdict(sequence: int, label: str = "anencephaly", share: float = 0.8, state: str = "class") -> Record:
    shares = {name: share if name == label else (1 - share) / 2 for name in CLASSES}
    value = {"state": state, "label": label, "probability": share, "probabilities": shares, "sequence": sequence}
    value["latency_ms"] = 5.0
    return Record(RecordType.VERDICT, value)
