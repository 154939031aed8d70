"""The frame that shows the finding best, with its evidence over it, as a Secondary Capture (PS3.3 A.8.1)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from edge_cns.bundle import Bundle
from edge_cns.extras import require
from edge_cns.runtime.overlay import draw_overlay
from firmware_bridge.dicom.exams import ExamResult
from firmware_bridge.dicom.report import MAKER, new_uid, study_header
from firmware_bridge.dicom.studies import Study

__all__ = ["build_picture"]

_CLASS = "1.2.840.10008.5.1.4.1.1.7"  # Secondary Capture Image Storage
_SERIES_NUMBER = 9102


def build_picture(result: ExamResult, study: Study, bundle: Bundle) -> Any | None:
    """Draw it.

    Text that the machine burned into the frame is in it: it goes to the patient's own study, and says so.

    Returns:
        ``pydicom.Dataset`` with a SOP Instance UID of its own; ``None`` where no frame was kept.
    """
    record = result.picture
    if record is None or record.frame is None or record.verdict is None:
        return None
    pixels = draw_overlay(record.frame, record.verdict, bundle.contract.input)[..., ::-1]
    uid = require("pydicom.uid", "bridge")
    now = datetime.now()
    dataset = study_header(study)
    dataset.file_meta = require("pydicom.dataset", "bridge").FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = _CLASS
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = new_uid()
    dataset.SeriesInstanceUID = new_uid()
    dataset.SeriesNumber, dataset.InstanceNumber = _SERIES_NUMBER, 1
    dataset.Modality, dataset.ConversionType = study.identity.modality or "OT", "WSD"
    dataset.Manufacturer, dataset.SecondaryCaptureDeviceManufacturer = MAKER, MAKER
    dataset.ContentDate, dataset.ContentTime = now.strftime("%Y%m%d"), now.strftime("%H%M%S")
    dataset.InstanceCreationDate, dataset.InstanceCreationTime = dataset.ContentDate, dataset.ContentTime
    dataset.ImageType = ["DERIVED", "SECONDARY"]
    dataset.BurnedInAnnotation, dataset.PatientOrientation, dataset.Laterality = "YES", "", ""
    dataset.DerivationDescription = "Evidence of a classifier over a frame. Research use only."
    place = study.place(record.verdict.sequence)
    if place is not None:
        source = require("pydicom", "bridge").Dataset()
        source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID = place.sop_class, place.instance
        if place.number is not None:
            source.ReferencedFrameNumber = place.number
        dataset.SourceImageSequence = [source]
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PlanarConfiguration = 3, "RGB", 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
    content = pixels.tobytes()
    dataset.PixelData = content + b"\0" * (len(content) % 2)
    dataset["PixelData"].VR = "OB"
    return dataset
