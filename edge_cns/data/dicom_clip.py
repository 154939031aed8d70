"""A DICOM file as a series of frames, decoded one at a time: memory holds one frame, however long the clip."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from mmap import PROT_READ, mmap
from pathlib import Path
from typing import Any

import numpy as np

from edge_cns.data.dicom import (
    as_frame,
    check_decoder,
    check_header,
    decoding,
    discreet,
    is_dicom,
    refuse_deflated,
    refuse_endless,
    undecodable,
)
from edge_cns.data.dicom_identity import Identity, identity_of
from edge_cns.errors import BadInputError
from edge_cns.extras import require
from edge_cns.frames import Frame

__all__ = ["DicomClip"]

_DEFERRED = 65536  # bytes; longer elements, pixels above all, stay in the file until they are wanted
_RATE = 30.0  # frames a second of a file that states none
_MOST = 100_000  # frames: an hour at 30 a second is less, and a damaged header states more
_SHORTEST, _LONGEST = 0.001, 10.0  # seconds a frame that a header may state and be believed
_UNDAMAGED = "copy it again from its source"


class DicomClip:
    """One DICOM file of one or more frames. Its header is read, and nothing of it but this is kept.

    Attributes:
        exam: sixteen hexadecimal digits that differ between exams and give none of the header away: of the SHA-256 of
            Study Instance UID and Patient ID. Empty where the file has neither.
        seconds: how long each frame is shown.

    Args:
        path: of the file.
        name: what errors call it.

    Raises:
        BadInputError: no DICOM, deflated, no integer pixels, a side outside 64 to 8192 px, or a compression that
            cannot be decoded here. The frames themselves are not decoded yet.
        MissingExtraError: pydicom is not installed.
    """

    def __init__(self, path: Path, name: str) -> None:
        require("pydicom.pixels", "dicom")
        self._path, self._name = path, name
        try:
            with path.open("rb") as file:
                start = file.read(4096)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise BadInputError(f"{name} cannot be read ({reason}); check its name and permissions") from None
        if not is_dicom(start):
            raise BadInputError(f"{name} is not DICOM; give a file that a DICOM archive wrote")
        with discreet():
            try:
                self._read(start)
            except BadInputError as error:
                raise BadInputError(f"{name} {error}") from None
            except Exception:  # as in decode_dicom: a damaged file raises anything, and quotes the header
                raise BadInputError(f"{name} is a damaged DICOM file; {_UNDAMAGED}") from None

    def _read(self, start: bytes) -> None:
        refuse_deflated(start)
        dataset = require("pydicom", "dicom").dcmread(self._path, force=True, defer_size=_DEFERRED)
        check_header(dataset)
        check_decoder(dataset)
        with self._path.open("rb") as file, mmap(file.fileno(), 0, prot=PROT_READ) as content:
            refuse_endless(dataset, content)
        self._dataset = dataset
        self._has_prefix = start[128:132] == b"DICM"  # without one it is read whole
        frames = int(dataset.get("NumberOfFrames") or 1)
        if not 1 <= frames <= _MOST:
            raise BadInputError(f"states {frames} frames; 1 to {_MOST} can be played")
        self.exam = _exam(dataset)
        self.seconds = _seconds(dataset, frames)

    @property
    def identity(self) -> Identity:
        """Whose image it is. It is read from the header when it is asked for, and not before."""
        with discreet():
            return identity_of(self._dataset)

    def __iter__(self) -> Iterator[Frame | BadInputError]:
        """Yield each frame as `decode_dicom` would, or why it cannot be decoded; the next one may be whole."""
        index = 0
        while index < len(self.seconds):
            decoded = iter(())
            healthy = True
            while healthy and index < len(self.seconds):
                frame, decoded = self._decode(index, decoded)
                yield frame
                index += 1
                healthy = isinstance(frame, Frame)

    def _decode(self, index: int, decoded: Iterator[Any]) -> tuple[Frame | BadInputError, Iterator[Any]]:
        """One frame, and the decoder that goes on behind it."""
        with discreet():
            try:
                with decoding(self._dataset) as decoder:
                    stored = next(decoded, None)
                    if stored is None:
                        decoded = self._decoder(index, decoder)
                        stored = next(decoded)
            except Exception:
                return BadInputError(f"{self._name} {undecodable(self._dataset)}"), decoded
            try:
                return as_frame(self._dataset, index, stored), decoded
            except BadInputError as error:
                return BadInputError(f"{self._name} {error}"), decoded
            except Exception:
                return BadInputError(f"{self._name} is a damaged DICOM file; {_UNDAMAGED}"), decoded

    def _decoder(self, index: int, decoder: str) -> Iterator[Any]:
        """Stored values from frame ``index`` on. From the first one pydicom reads straight on; else it searches."""
        onwards = range(index, len(self.seconds)) if index else None
        decode = require("pydicom.pixels", "dicom").iter_pixels
        if not self._has_prefix:
            yield from decode(self._dataset, indices=onwards, decoding_plugin=decoder)
            return
        with self._path.open("rb") as file:  # by its path it would be looked for on the disk, where it may not be
            yield from decode(file, indices=onwards, decoding_plugin=decoder)


def _exam(dataset: Any) -> str:
    study, patient = (str(dataset.get(keyword) or "") for keyword in ("StudyInstanceUID", "PatientID"))
    return hashlib.sha256(f"{study}\0{patient}".encode()).hexdigest()[:16] if study or patient else ""


def _seconds(dataset: Any, frames: int) -> tuple[float, ...]:
    """Seconds that each frame is shown: Frame Time Vector, Frame Time, Recommended Display Frame Rate, Cine Rate.

    PS3.3 C.7.6.5: times are in ms, and the vector's entries are the steps from the frame before, the first one 0.
    """
    vector = np.atleast_1d(dataset.get("FrameTimeVector") or ())
    if frames > 1 and len(vector) == frames:
        steps = [_believed(float(step) / 1000) for step in vector[1:]]
        if None not in steps:
            return (*(step for step in steps if step), steps[-1] or 1 / _RATE)
    rates = (dataset.get("RecommendedDisplayFrameRate"), dataset.get("CineRate"))
    stated = [float(dataset.get("FrameTime") or 0) / 1000] + [1 / float(rate) if rate else 0.0 for rate in rates]
    return (next(filter(None, map(_believed, stated)), 1 / _RATE),) * frames


def _believed(seconds: float) -> float | None:
    return seconds if _SHORTEST <= seconds <= _LONGEST else None
