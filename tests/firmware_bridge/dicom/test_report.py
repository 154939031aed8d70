"""The report: valid, complete, and preliminary."""

from __future__ import annotations

import io

import numpy as np
import pytest

pytest.importorskip("highdicom", reason="needs the bridge extra")
import pydicom

from edge_cns.decision.verdict import State, Verdict
from edge_cns.frames import Frame
from edge_cns.runtime.sinks.base import Record
from firmware_bridge.dicom.exams import ExamGatherer
from firmware_bridge.dicom.picture import build_picture
from firmware_bridge.dicom.report import as_file, build_report
from firmware_bridge.dicom.studies import Study
from tests.firmware_bridge.dicom.material import (
    CLASSES,
    NAME,
    NUMBER,
    US_CLIP,
    bundle,
    event,
    exam,
    identity,
    study,
    summary,
    verdict,
)
from tests.peers.dicom import errors_of, need_dciodvfy


def result(*records):
    gatherer = ExamGatherer(CLASSES, pictures=True)
    return [gatherer.take(record) for record in (event("exam_reset", exam="ab12"), *records, summary())][-1]


def report(*records, of=None):
    return pydicom.dcmread(io.BytesIO(as_file(build_report(result(*records), of or study(), bundle()))))


def texts(item) -> list[str]:
    """Everything that a content tree says, as text."""
    said = []
    for child in item.get("ContentSequence", []):
        name = child.ConceptNameCodeSequence[0].CodeMeaning if "ConceptNameCodeSequence" in child else ""
        value = child.get("TextValue") or ""
        if "ConceptCodeSequence" in child:
            value = child.ConceptCodeSequence[0].CodeMeaning
        if "MeasuredValueSequence" in child:
            value = str(child.MeasuredValueSequence[0].NumericValue)
        if "ReferencedSOPSequence" in child:
            one = child.ReferencedSOPSequence[0]
            value = f"{one.ReferencedSOPInstanceUID} {one.get('ReferencedFrameNumber', '')}"
        said += [f"{name}: {value}", *texts(child)]
    return said


FINDING = (verdict(3), verdict(4), exam("ab12", frames=(3, 4, 30)), event("finding_accepted"))


def test_what_it_says():
    made = report(*FINDING)
    assert made.SOPClassUID == "1.2.840.10008.5.1.4.1.1.88.34"
    assert made.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    assert (made.PreliminaryFlag, made.VerificationFlag, made.CompletionFlag) == (
        "PRELIMINARY",
        "UNVERIFIED",
        "COMPLETE",
    )
    assert (str(made.PatientName), made.PatientID, made.AccessionNumber) == (NAME, NUMBER, "ACC-QUOLL-9")
    assert made.StudyInstanceUID == "1.2.3.1"
    said = texts(made)
    for line in (
        "Finding: anencephaly",
        "exam statement: finding",
        "exam score of holoprosencephaly: 0.05",
        "mean frame probability of anencephaly: 0.8",
        "Algorithm Name: edge-cns tiny.cns",
        "Comment: enough frames show it",
        "Comment: 30 of 31 frames are of a supported view.",
        "Comment: The finding was accepted by the operator of the device.",
        "Comment: Research use only. Not a medical device. No diagnosis.",
    ):
        assert line in said, line
    assert any("model_sha256=" in line for line in said)
    assert any(line.endswith("1.2.3.1.1.1 [4, 5]") for line in said), said
    assert any(line.endswith("1.2.3.1.1.2 ") for line in said), said


def test_without_a_finding_it_names_the_objects():
    said = texts(report(exam("ab12", label=None, frames=())))
    assert "exam statement: indeterminate" in said
    assert not any(line.startswith("Finding:") for line in said)
    assert "Comment: Nobody has reviewed this." in said
    assert sum("1.2.3.1.1." in line for line in said) == 2


def test_each_report_has_a_uid_of_its_own_and_codes_are_the_same_for_ever():
    first, second = report(*FINDING), report(*FINDING)
    assert first.SOPInstanceUID != second.SOPInstanceUID

    def codes(made):
        return [str(c.ConceptCodeSequence[0].CodeValue) for c in made.ContentSequence if "ConceptCodeSequence" in c]

    assert codes(first) == codes(second)


def test_names_in_other_scripts_stay_what_they_are():
    attributes = {"PatientName": "Yamada^Tarou=山田^太郎=やまだ^たろう", "PatientID": "Größe-1"}
    of = Study(identity(attributes=attributes))
    of.shown(identity(attributes=attributes), 0, 31)
    made = report(*FINDING, of=of)
    assert str(made.PatientName) == attributes["PatientName"]
    assert made.PatientID == attributes["PatientID"]
    assert made.PatientSex == ""


@pytest.mark.parametrize("kind", ["finding", "none", "bare", "ct", "long"])
def test_dciodvfy_finds_no_error(tmp_path, kind):
    need_dciodvfy()
    records, of = FINDING, study()
    if kind == "none":
        records = (exam("ab12", label=None, frames=()),)
    elif kind == "bare":
        of = Study(identity(attributes={}, modality=""))
        of.shown(identity(), 0, 31)
    elif kind == "ct":
        of = Study(identity(modality="CT", sop_class="1.2.840.10008.5.1.4.1.1.2"))
        of.shown(identity(sop_class="1.2.840.10008.5.1.4.1.1.2"), 0, 1)
    elif kind == "long":
        of = Study(identity())
        for number in range(40):
            of.shown(identity(f"1.2.3.1.1.{number}"), number, 1)
        records = (exam("ab12", frames=tuple(range(16))),)
    path = tmp_path / "report.dcm"
    path.write_bytes(as_file(build_report(result(*records), of, bundle())))
    assert errors_of(path) == []


def shown(sequence: int = 4) -> Record:
    heatmap = np.outer(np.arange(4), np.arange(4)).astype(np.float32)
    said = Verdict(
        State.CLASS, "anencephaly", 0.9, {}, "", sequence, 1, 2, 3, 4.0, heatmap, calibrated=True, proof="passed"
    )
    plain = verdict(sequence, share=0.9)
    return Record(plain.type, plain.value, said, Frame(np.full((80, 100), 90, np.uint8)))


def test_the_picture(tmp_path):
    gathered = result(shown(), exam("ab12"))
    made = build_picture(gathered, study(), bundle())
    read = pydicom.dcmread(io.BytesIO(as_file(made)))
    assert (read.BurnedInAnnotation, read.Modality, read.PatientID) == ("YES", "US", NUMBER)
    source = read.SourceImageSequence[0]
    assert (source.ReferencedSOPClassUID, source.ReferencedFrameNumber) == (US_CLIP, 5)
    assert read.pixel_array.shape == (read.Rows, read.Columns, 3)
    assert read.pixel_array.max() > 100
    need_dciodvfy()
    path = tmp_path / "picture.dcm"
    path.write_bytes(as_file(made))
    assert errors_of(path) == []


def test_no_picture_where_no_frame_was_kept():
    assert build_picture(result(exam("ab12")), study(), bundle()) is None
