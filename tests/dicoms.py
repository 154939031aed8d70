"""DICOM files for tests: made by hand, or cut from the CT and MR slices that pydicom's package carries."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["NAME", "SECRET", "dicom_bytes", "packaged", "write_slices"]

NAME, SECRET = "Doe^Jane", "MRN-4711"
"""Name and number of the patient in every file made here: they must appear nowhere else."""


def packaged(name: str) -> Path:
    """A file inside pydicom's wheel; nothing is fetched."""
    from pydicom.data import get_testdata_file

    found = get_testdata_file(name, download=False)
    assert found, name
    return Path(found)


def dicom_bytes(pixels: np.ndarray, **elements: Any) -> bytes:
    """An uncompressed file around ``(H, W)``, ``(N, H, W)`` or ``(..., H, W, 3)`` with ``PhotometricInterpretation``.

    Args:
        pixels: 8- or 16-bit integers.
        elements: more of the header, by keyword.
    """
    import pydicom
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

    colour = pixels.shape[-1] == 3
    planes = pixels.ndim - 2 - colour
    height, width = pixels.shape[planes : planes + 2]
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = generate_uid()
    dataset.PatientName, dataset.PatientID = NAME, SECRET
    dataset.Rows, dataset.Columns = height, width
    dataset.SamplesPerPixel = 3 if colour else 1
    dataset.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if colour:
        dataset.PlanarConfiguration = 0
    if planes:
        dataset.NumberOfFrames = len(pixels)
    dataset.BitsAllocated = dataset.BitsStored = 8 * pixels.dtype.itemsize
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    dataset.PixelData = pixels.tobytes()
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tests want impossible values as well
        for keyword, value in elements.items():
            setattr(dataset, keyword, value)
        dataset["PixelData"].VR = "OW"
        pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def write_slices(folder: Path, *, patients: int, frames: int = 2, seed: int = 0) -> Path:
    """Write ``labels.csv`` of CT against MR windows, cut at random from two packaged slices: material for tests only.

    Every invented patient gives ``frames`` windows of 64x64 px of one slice, with a little noise so that no two are the
    same, in the slice's own modality, rescale and window.
    """
    import pydicom

    folder.mkdir(parents=True)
    lines = ["path,label,patient_id,modality"]
    sources = {name: pydicom.dcmread(packaged(f"{name}_small.dcm")) for name in ("CT", "MR")}
    for number in range(patients):
        modality = ("CT", "MR")[number % 2]
        source, random = sources[modality], np.random.default_rng([seed, number])
        stored = np.pad(source.pixel_array, 8, mode="reflect")
        keywords = ("RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth", "PixelSpacing")
        header = {keyword: source.get(keyword) for keyword in keywords if keyword in source}
        for frame in range(frames):
            top, left = (random.integers(0, side - 63) for side in stored.shape)
            window = stored[top : top + 64, left : left + 64] + random.integers(-20, 21, (64, 64))
            name = f"p{number:03d}-{frame}.dcm"
            content = dicom_bytes(window.astype(np.int16), Modality=modality, **header)
            (folder / name).write_bytes(content)
            lines.append(f"{name},{modality.lower()},p{number:03d},{modality}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder / "labels.csv"
