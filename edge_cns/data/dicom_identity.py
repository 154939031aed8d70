"""Whose image a DICOM file holds, and which: for the few places that must know, and never for a log or a record."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

__all__ = ["PATIENT_AND_STUDY", "Identity", "identity_of"]

PATIENT_AND_STUDY = (
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "StudyDescription",
    "AccessionNumber",
    "ReferringPhysicianName",
)
"""Keywords of what a report on the study has to repeat (PS3.3 C.7.1.1 and C.7.2.1)."""

_LONGEST = 324  # characters: a name of three groups of 64 with 4 delimiters each, and no header fills memory
_UID = re.compile(r"(?=.{1,64}$)(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))+")  # PS3.5 section 9.1
_TWO_DIMENSIONAL, _M_MODE, _SPECTRAL = 1, 2, 3  # Region Spatial Format, PS3.3 C.8.5.5.1.1
_TISSUE, _COLOUR_FLOW = 1, 2  # Region Data Type, PS3.3 C.8.5.5.1.2
_STRICT = {
    "PatientBirthDate": re.compile(r"[0-9]{8}"),
    "StudyDate": re.compile(r"[0-9]{8}"),
    "StudyTime": re.compile(r"[0-9]{2}([0-9]{2}([0-9]{2}(\.[0-9]{1,6})?)?)?"),
    "PatientSex": re.compile(r"[MFO]"),
}


@dataclass(frozen=True, slots=True)
class Identity:
    """What tells an image from every other one. Its ``repr`` tells nothing.

    Attributes:
        study, series, instance, sop_class: UIDs; empty where the header has none that is valid.
        modality: DICOM's word.
        mode: imaging mode where the regions of an ultrasound image say that it is not B: ``M`` or ``doppler``.
        device: manufacturer and model, or empty.
        burned_in: whether the header says that the pixels hold text about the patient.
        number: Instance Number, or 0.
        taken: when the frames were acquired, or ``None``.
        attributes: of patient and study by keyword, as text; those that the header has.
    """

    study: str
    series: str
    instance: str
    sop_class: str
    modality: str = ""
    mode: str = ""
    device: str = ""
    burned_in: bool = False
    number: int = 0
    taken: datetime | None = None
    attributes: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __repr__(self) -> str:
        return "Identity(...)"


def identity_of(dataset: Any) -> Identity:
    """Read it from a data set. Values that DICOM does not allow count as absent."""
    attributes = {keyword: _text(dataset, keyword) for keyword in PATIENT_AND_STUDY}
    kept = {k: v for k, v in attributes.items() if v and (k not in _STRICT or _STRICT[k].fullmatch(v))}
    number = _text(dataset, "InstanceNumber")
    return Identity(
        study=_uid(dataset, "StudyInstanceUID"),
        series=_uid(dataset, "SeriesInstanceUID"),
        instance=_uid(dataset, "SOPInstanceUID"),
        sop_class=_uid(dataset, "SOPClassUID"),
        modality=_text(dataset, "Modality")[:16],
        mode=_mode(dataset),
        device=" ".join(filter(None, (_text(dataset, key)[:64] for key in ("Manufacturer", "ManufacturerModelName")))),
        burned_in=_text(dataset, "BurnedInAnnotation").upper() == "YES",
        number=int(number) if re.fullmatch(r"[0-9]{1,9}", number) else 0,
        taken=_taken(dataset),
        attributes=kept,
    )


def _text(dataset: Any, keyword: str) -> str:
    """A value as one line of printable text; empty where there is none, or one that cannot be read."""
    try:
        value = str(dataset.get(keyword) or "")
    except Exception:  # of a damaged element pydicom raises what it likes, and quotes it
        return ""
    return "".join(c for c in value[:_LONGEST] if c.isprintable()).strip()


def _uid(dataset: Any, keyword: str) -> str:
    text = _text(dataset, keyword)
    return text if _UID.fullmatch(text) else ""


def _taken(dataset: Any) -> datetime | None:
    """Acquisition Date Time, or date and time of acquisition, or of content (PS3.3 C.7.6.1 and C.12.1)."""
    pairs = (("AcquisitionDateTime", ""), ("AcquisitionDate", "AcquisitionTime"), ("ContentDate", "ContentTime"))
    for first, second in pairs:
        digits = re.match(r"[0-9]{14}", _text(dataset, first) + (_text(dataset, second) if second else ""))
        if digits:
            try:
                return datetime.strptime(digits[0], "%Y%m%d%H%M%S")  # only differences are used
            except ValueError:
                continue
    return None


def _mode(dataset: Any) -> str:
    """The mode of an image without a region of two-dimensional tissue."""
    try:
        regions = [
            (int(item.RegionSpatialFormat), int(item.RegionDataType))
            for item in dataset.get("SequenceOfUltrasoundRegions") or ()
        ]
    except (AttributeError, TypeError, ValueError):
        return ""
    if not regions or (_TWO_DIMENSIONAL, _TISSUE) in regions:
        return ""
    if any(form == _M_MODE for form, _ in regions):
        return "M"
    return "doppler" if any(form == _SPECTRAL or kind == _COLOUR_FLOW for form, kind in regions) else ""
