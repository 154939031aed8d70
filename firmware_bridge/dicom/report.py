"""An exam's result as a structured report: Comprehensive 3D SR (PS3.3 A.35.13) of template TID 1500 (PS3.16).

It says what the exam's statement says, with the probabilities behind it, by which algorithm, and on which frames. It is
PRELIMINARY and UNVERIFIED, whoever looked at it: a finding that was accepted is still no diagnosis.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

from edge_cns import __version__
from edge_cns.bundle import Bundle
from edge_cns.data.dicom_identity import Identity
from edge_cns.decision.statement import ExamStatement, Outcome
from edge_cns.extras import require
from firmware_bridge.dicom.exams import ExamResult
from firmware_bridge.dicom.studies import Place, Study

__all__ = ["MAKER", "as_file", "build_report", "new_uid", "study_header", "warm_up"]

MAKER = "edge-cns"

_SCHEME = "99EDGECNS"  # private, as PS3.16 section 8.2 asks for: class names are a bundle's own
_PROCEDURES = {
    "US": ("16310003", "Diagnostic ultrasonography"),
    "CT": ("77477000", "Computed tomography"),
    "MR": ("113091000", "Magnetic resonance imaging"),
}
_ANY_PROCEDURE = ("363679005", "Imaging")
_ANY_CLASS = "1.2.840.10008.5.1.4.1.1.6.1"
_SERIES_NUMBER = 9101
_MEANING = 64  # characters of a code's meaning (VR LO)
_EMPTY = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyID", "StudyDate", "StudyTime")
_DISCLAIMER = "Research use only. Not a medical device. No diagnosis."


def build_report(result: ExamResult, study: Study, bundle: Bundle) -> Any:
    """Make the report.

    Args:
        result: of an exam of this study.
        study: patient, study, and where the frames come from.
        bundle: that classified.

    Returns:
        ``pydicom.Dataset`` with a SOP Instance UID of its own.

    Raises:
        MissingExtraError: highdicom is not installed.
    """
    highdicom, sr = require("highdicom", "bridge"), require("highdicom.sr", "bridge")
    places = _places(result, study)
    evidence = [_evidence(study, place) for place in _objects(places)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd values, which it would quote
        return sr.Comprehensive3DSR(
            evidence=evidence,
            content=_content(sr, result, study, bundle, places)[0],
            series_instance_uid=new_uid(),
            series_number=_SERIES_NUMBER,
            sop_instance_uid=new_uid(),
            instance_number=1,
            manufacturer=MAKER,
            manufacturer_model_name=_model(bundle),
            software_versions=__version__,
            device_serial_number=_digest(bundle)[:16],
            is_complete=True,
            is_final=False,
            is_verified=False,
            transfer_syntax_uid=highdicom.UID("1.2.840.10008.1.2.1"),
        )


def warm_up(bundle: Bundle) -> None:
    """Make a report of nobody, so that what the first one loads is there when a real one is wanted."""
    nobody = Identity("1.2", "1.2.1", "1.2.1.1", _ANY_CLASS)
    study = Study(nobody)
    study.shown(nobody, 0, 1)
    statement = ExamStatement(Outcome.INDETERMINATE, None, None, "nothing", n_frames=1).to_json()
    means = dict.fromkeys(bundle.contract.class_names, 0.0)
    as_file(build_report(ExamResult("", True, statement, None, means, 1, None), study, bundle))


def new_uid() -> str:
    """A UID of this moment (PS3.5 B.2: 2.25 and a random UUID)."""
    return str(require("pydicom.uid", "bridge").generate_uid(prefix=None))


def as_file(dataset: Any) -> bytes:
    """A data set as the bytes of a DICOM file."""
    pydicom = require("pydicom", "bridge")
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def study_header(study: Study) -> Any:
    """Patient and study of a new object, as the first object of the exam has them; what must be there is, if empty."""
    dataset = require("pydicom", "bridge").Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    for keyword in (*_EMPTY, "AccessionNumber", "ReferringPhysicianName"):
        setattr(dataset, keyword, "")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for keyword, text in study.identity.attributes.items():
            setattr(dataset, keyword, text)
    dataset.StudyInstanceUID = study.identity.study
    return dataset


def _places(result: ExamResult, study: Study) -> tuple[Place, ...]:
    """The frames behind a finding, or all objects that were looked at."""
    named = [study.place(int(sequence)) for sequence in result.statement["frames"]]
    return tuple(place for place in named if place is not None) or tuple(study.objects)


def _objects(places: Iterable[Place]) -> list[Place]:
    return list({place.instance: place for place in places}.values())


def _evidence(study: Study, place: Place) -> Any:
    """What the report's library reads of a source object."""
    dataset = study_header(study)
    dataset.SeriesInstanceUID, dataset.SOPInstanceUID, dataset.SOPClassUID = (
        place.series,
        place.instance,
        place.sop_class,
    )
    dataset.Modality = study.identity.modality or "OT"
    return dataset


def _content(sr: Any, result: ExamResult, study: Study, bundle: Bundle, places: Sequence[Place]) -> Any:
    """The content tree of TID 1500."""
    device = sr.DeviceObserverIdentifyingAttributes(
        uid=_device_uid(bundle),
        name=MAKER,
        manufacturer_name=MAKER,
        model_name=_model(bundle),
        serial_number=_digest(bundle)[:16],
    )
    observer = sr.ObserverContext(
        observer_type=_code(sr, "121007", "DCM", "Device"), observer_identifying_attributes=device
    )
    procedure = _PROCEDURES.get(study.identity.modality, _ANY_PROCEDURE)
    return sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=observer),
        procedure_reported=_code(sr, procedure[0], "SCT", procedure[1]),
        imaging_measurements=[_group(sr, result, bundle, places)],
        title=_code(sr, "126000", "DCM", "Imaging Measurement Report"),
    )


def _group(sr: Any, result: ExamResult, bundle: Bundle, places: Sequence[Place]) -> Any:
    """The statement, its probabilities and its frames (TID 1501)."""
    statement = result.statement
    outcome = str(statement["outcome"])
    evaluations = [
        sr.QualitativeEvaluation(name=_own(sr, "exam statement"), value=_own(sr, outcome.replace("_", " "))),
    ]
    if result.finding is not None:
        finding = _code(sr, "121071", "DCM", "Finding")
        evaluations.append(sr.QualitativeEvaluation(name=finding, value=_own(sr, result.finding)))
    algorithm = sr.AlgorithmIdentification(
        name=f"{MAKER} {_model(bundle)}",
        version=__version__,
        parameters=[
            f"model_sha256={_digest(bundle)}",
            f"calibrated={str(bundle.contract.decision.calibrated).lower()}",
            f"quantisation={bundle.proof}",
        ],
    )
    group = sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(uid=new_uid(), identifier=f"exam {result.exam}"),
        algorithm_id=algorithm,
        measurements=_measurements(sr, result) or None,
        qualitative_evaluations=evaluations,
        source_images=_sources(sr, places),
    )
    comment = _code(sr, "121106", "DCM", "Comment")
    for text in (str(statement["reason"]), _frames(statement), _review(result), _DISCLAIMER):
        if text:
            item = sr.TextContentItem(name=comment, value=text, relationship_type=sr.RelationshipTypeValues.CONTAINS)
            group[0].ContentSequence.append(item)
    return group


def _measurements(sr: Any, result: ExamResult) -> list[Any]:
    """The exam's score of each class where it was calibrated, and the mean probability over its frames."""
    one = _code(sr, "1", "UCUM", "no units")
    scores = [(f"exam score of {name}", value) for name, value in (result.statement.get("evidence") or {}).items()]
    means = [(f"mean frame probability of {name}", value) for name, value in result.means.items() if result.n_means]
    return [
        sr.Measurement(name=_own(sr, name), value=round(float(value), 6), unit=one) for name, value in scores + means
    ]


def _sources(sr: Any, places: Sequence[Place]) -> list[Any]:
    """One reference for each object, with the numbers of its frames."""
    numbers: dict[str, list[int]] = {}
    for place in places:
        numbers.setdefault(place.instance, []).extend([] if place.number is None else [place.number])
    return [
        sr.SourceImageForMeasurementGroup(
            referenced_sop_class_uid=place.sop_class,
            referenced_sop_instance_uid=place.instance,
            referenced_frame_numbers=sorted(numbers[place.instance]) or None,
        )
        for place in _objects(places)
    ]


def _frames(statement: Any) -> str:
    return f"{statement['n_supported']} of {statement['n_frames']} frames are of a supported view."


def _review(result: ExamResult) -> str:
    return "The finding was accepted by the operator of the device." if result.accepted else "Nobody has reviewed this."


def _own(sr: Any, text: str) -> Any:
    """A code of ours for a text: the same text always has the same code."""
    return _code(sr, hashlib.sha256(text.encode()).hexdigest()[:12], _SCHEME, text[:_MEANING])


def _code(sr: Any, value: str, scheme: str, meaning: str) -> Any:
    return sr.CodedConcept(value=value, scheme_designator=scheme, meaning=meaning)


def _model(bundle: Bundle) -> str:
    return bundle.path.name[:_MEANING]


def _digest(bundle: Bundle) -> str:
    return hashlib.sha256(bundle.files["model.tflite"]).hexdigest()


def _device_uid(bundle: Bundle) -> str:
    """The same for every report of one model."""
    return f"2.25.{int(_digest(bundle)[:32], 16)}"
