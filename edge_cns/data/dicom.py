"""DICOM files as frames: CT and MR slices, ultrasound images, single frames of a clip.

Stored values become grey as a viewer would show them: rescale slope and intercept or modality LUT, then VOI window or
VOI LUT (DICOM PS3.3 C.11.1 and C.11.2), then the photometric interpretation. Nothing of a header but what concerns the
pixels is kept, and no error quotes a header: names and numbers of patients are in it.
"""

from __future__ import annotations

import io
import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from mmap import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_cns.errors import BadInputError
from edge_cns.extras import require
from edge_cns.frames import MAX_SIDE, MIN_SIDE, Frame, Region
from edge_cns.quiet import quiet_stderr

__all__ = ["CT_WINDOW", "decode_dicom", "is_dicom"]

CT_WINDOW = (40.0, 400.0)
"""Centre and width in Hounsfield units of the soft-tissue window of a CT slice that brings none of its own."""

_GREY = ("MONOCHROME1", "MONOCHROME2")
_COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
_PALETTE = "PALETTE COLOR"
_DEFLATED = b"1.2.840.10008.1.2.1.99"
_PREFERRED = {
    "1.2.840.10008.1.2.4.50": "pillow",  # JPEG Baseline
    "1.2.840.10008.1.2.4.80": "pyjpegls",  # JPEG-LS Lossless, Near-lossless
    "1.2.840.10008.1.2.4.81": "pyjpegls",
    "1.2.840.10008.1.2.4.90": "pillow",  # JPEG 2000 Lossless, and any
    "1.2.840.10008.1.2.4.91": "pillow",
    "1.2.840.10008.1.2.5": "pydicom",  # RLE Lossless
}
_UNDAMAGED = "copy it again from its source"
_DECODER = "install a decoder for it (pydicom's handbook lists them), or store the file uncompressed"
_JPEG_2000 = ("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91")
_JP2 = b"\0\0\0\x0cjP  "  # how a container begins; four bytes more are of its first box
_MOST_BOXES = 64  # a container has five or so
_SMALLEST_REGION = MIN_SIDE // 2
_RESCALE = (("Slope", 1.0), ("Intercept", 0.0))
_CENTIMETRES, _TWO_DIMENSIONAL, _TISSUE = 3, 1, 1
_one_at_a_time = threading.Lock()  # warning filters and loggers belong to the whole process


def is_dicom(data: bytes) -> bool:
    """Whether bytes look like DICOM: the prefix of a file, or a data set without it (groups 0002 or 0008)."""
    if data[128:132] == b"DICM":
        return True
    little = data[:2] in (b"\x02\0", b"\x08\0") and data[3:4] == b"\0"
    big = data[:2] in (b"\0\x02", b"\0\x08") and data[2:3] == b"\0"
    return (little and (data[4:6].isalpha() or data[6:8] == b"\0\0")) or (big and data[4:6].isalpha())


def decode_dicom(data: bytes, name: str, *, number: int | None = None, sequence: int = 0) -> Frame:
    """Decode one frame of a DICOM file.

    Monochrome pixels are windowed to the whole range of uint8 (up to 8 bits stored) or uint16 (more). Without a window
    of its own a CT slice gets `CT_WINDOW`, ultrasound and 8-bit images stay as stored, and anything else is spread from
    its smallest to its largest value, padding aside. MONOCHROME1 is inverted; a palette and YBR become BGR.

    Args:
        data: the whole file.
        name: what an error calls it.
        number: of the frame, from 1, as DICOM counts; ``None`` for a file of one frame.
        sequence: number of the frame in its series.

    Returns:
        The frame, with mm per pixel and the region of a calibrated ultrasound image where the header has them. A region
        that does not fit the image is not believed: somebody has resized or cropped the pixels since.

    Raises:
        BadInputError: damaged, no integer pixels, a pixel format or compression that cannot be decoded, a side outside
            64 to 8192 px, several frames and no number, or a number that is none of theirs.
        MissingExtraError: pydicom is not installed.
    """
    require("pydicom.pixels", "dicom")
    with discreet():
        try:
            refuse_deflated(data)
            return _decode(data, name, number, sequence)
        except BadInputError as error:
            raise BadInputError(f"{name} {error}") from None
        except Exception:  # a damaged file makes pydicom and its decoders raise what they like, and quote the header
            raise BadInputError(f"{name} is a damaged DICOM file; {_UNDAMAGED}") from None


@contextmanager
def discreet() -> Iterator[None]:
    """Hold back what pydicom warns and logs of odd values: it quotes them."""
    logger = logging.getLogger("pydicom")
    with _one_at_a_time, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = logger.level
        logger.setLevel(logging.CRITICAL + 1)  # its decoders' loggers inherit that
        try:
            yield
        finally:
            logger.setLevel(before)


def refuse_deflated(start: bytes) -> None:
    """Refuse deflated DICOM by its first 4096 bytes: inflating is unbounded, and images are never written so."""
    if _DEFLATED in start[:4096]:
        raise BadInputError("is deflated DICOM, which is not read; store it uncompressed")


def refuse_endless(dataset: Any, content: bytes | mmap) -> None:
    """Refuse JPEG 2000 in a container (JP2, ISO/IEC 15444-1 annex I) whose boxes lead nowhere.

    DICOM asks for the code stream alone, and pydicom steps over a container that is there all the same. A box that
    states a length of 0 it would step over for ever.
    """
    if str(dataset.file_meta.TransferSyntaxUID) not in _JPEG_2000:
        return
    start = content.find(_JP2)
    while start >= 0:
        at, boxes = start + len(_JP2) + 4, 0
        while at < len(content) and content[at + 4 : at + 8] != b"jp2c":
            length, boxes = int.from_bytes(content[at : at + 4], "big"), boxes + 1
            if length < 8 or boxes > _MOST_BOXES:
                raise BadInputError(f"has a damaged JPEG 2000 container in it; {_UNDAMAGED}")
            at += length
        start = content.find(_JP2, start + 1)


def _decode(data: bytes, name: str, number: int | None, sequence: int) -> Frame:
    dataset = require("pydicom", "dicom").dcmread(io.BytesIO(data), force=True)
    check_header(dataset)
    index = _index(dataset, name, number)
    check_decoder(dataset)
    refuse_endless(dataset, data)
    stored = _stored(dataset, index)
    return as_frame(dataset, index, stored, sequence)


def as_frame(dataset: Any, index: int, stored: NDArray[Any], sequence: int = 0) -> Frame:
    """Stored values of one frame as a viewer would show them, with region and spacing."""
    photometric = dataset.PhotometricInterpretation
    if photometric in _GREY:
        pixels = _grey(dataset, index, stored)
    else:
        if photometric == _PALETTE:
            stored = require("pydicom.pixels", "dicom").apply_color_lut(stored, dataset)
        elif stored.dtype == np.uint16:
            stored = stored << (16 - dataset.BitsStored)
        pixels = np.ascontiguousarray(stored[..., ::-1])  # RGB to BGR
    region, spacing = _region(dataset)
    return Frame(pixels, sequence=sequence, mm_per_pixel=spacing or _spacing(dataset, index), region=region)


def check_header(dataset: Any) -> None:
    """Refuse what holds no image that can be a frame, before any decoder allocates memory for it.

    As everywhere below, the text of an error starts with a verb, for the name of the file to stand before it.
    """
    if "FloatPixelData" in dataset or "DoubleFloatPixelData" in dataset:
        raise BadInputError("has floating-point pixels; store them as integers with rescale slope and intercept")
    if "PixelData" not in dataset or not dataset.get("Rows") or not dataset.get("Columns"):
        raise BadInputError("has no pixel data (DICOM), or its end is missing; give files that hold images")
    height, width = int(dataset.Rows), int(dataset.Columns)
    if min(height, width) < MIN_SIDE or max(height, width) > MAX_SIDE:
        raise BadInputError(f"is {width}x{height} px; both sides must be {MIN_SIDE} to {MAX_SIDE} px")
    allocated, samples = int(dataset.BitsAllocated), int(dataset.SamplesPerPixel)
    if allocated not in (8, 16) or not 1 <= int(dataset.BitsStored) <= allocated:
        raise BadInputError(f"has {allocated} bits a pixel; save it with 8 or 16")
    photometric = str(dataset.PhotometricInterpretation)
    if samples != (3 if photometric in _COLOUR else 1) or photometric not in (*_GREY, _PALETTE, *_COLOUR):
        raise BadInputError(f"has {samples} samples a pixel of kind {photometric[:16]!r}; save it as grey or RGB")


def _index(dataset: Any, name: str, number: int | None) -> int:
    """Position of the wanted frame, from 0."""
    frames = int(dataset.get("NumberOfFrames") or 1)
    if number is None and frames > 1:
        raise BadInputError(f"has {frames} frames; say which one: {name}#1 to {name}#{frames}")
    if number is not None and not 1 <= number <= frames:
        raise BadInputError(
            f"has {frames} frame{'s' if frames > 1 else ''}; there is no frame {number}, they count from 1"
        )
    return (number or 1) - 1


def check_decoder(dataset: Any) -> None:
    """Refuse a compression that cannot be decoded here; a data set without the header of a file gets its encoding."""
    uid = require("pydicom.uid", "dicom")
    if "TransferSyntaxUID" not in dataset.file_meta:
        implicit, little = dataset.original_encoding
        plain = uid.ImplicitVRLittleEndian if implicit else uid.ExplicitVRLittleEndian
        dataset.file_meta.TransferSyntaxUID = plain if little else uid.ExplicitVRBigEndian
    syntax = dataset.file_meta.TransferSyntaxUID
    try:
        available = require("pydicom.pixels", "dicom").get_decoder(syntax).is_available
    except NotImplementedError:
        available = False
    if not available:
        known = " ".join(syntax.name.split())[:64]  # of one that nobody knows, the header's own words
        raise BadInputError(f"is compressed as {known}, which cannot be decoded here; {_DECODER}")


@contextmanager
def decoding(dataset: Any) -> Iterator[str]:
    """The decoder to take, where several can: the one that has met the most hostile files. Empty for any.

    What a decoder writes to standard error by itself is held back meanwhile.
    """
    syntax = dataset.file_meta.TransferSyntaxUID
    preferred = _PREFERRED.get(str(syntax), "")
    if preferred and preferred not in require("pydicom.pixels", "dicom").get_decoder(syntax).available_plugins:
        preferred = ""
    with quiet_stderr() if syntax.is_compressed and not preferred else nullcontext():
        yield preferred


def undecodable(dataset: Any) -> BadInputError:
    """Why a frame that ought to be decoded was not."""
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax.is_compressed:
        return BadInputError(f"is damaged, or a variant of {syntax.name} that is not decoded here; {_DECODER}")
    return BadInputError(f"is cut short or damaged (DICOM); {_UNDAMAGED}")


def _stored(dataset: Any, index: int) -> NDArray[Any]:
    """Stored values of one frame: ``(H, W)``, or ``(H, W, 3)`` RGB whatever colour space they were stored in."""
    try:
        with decoding(dataset) as decoder:
            decode = require("pydicom.pixels", "dicom").pixel_array
            return np.asarray(decode(dataset, index=index, decoding_plugin=decoder))
    except Exception:
        raise undecodable(dataset) from None


def _grey(dataset: Any, index: int, stored: NDArray[Any]) -> NDArray[Any]:
    """Stored values to grey: modality transformation, window, inversion, padding."""
    signed, bits = bool(dataset.get("PixelRepresentation")), int(dataset.BitsStored)
    padding = _padding(dataset, stored)
    if dataset.get("ModalityLUTSequence"):
        values = require("pydicom.pixels", "dicom").apply_modality_lut(stored, dataset).astype(np.float64)
        slope, intercept = 1.0, 0.0
    else:
        rescale = _macro(dataset, index, "PixelValueTransformationSequence")
        slope, intercept = (float(rescale.get(f"Rescale{key}", plain) or plain) for key, plain in _RESCALE)
        values = stored * slope + intercept
    grey = _voi(_macro(dataset, index, "FrameVOILUTSequence"), values)
    if grey is None:
        if dataset.get("Modality") == "CT":
            low, high = CT_WINDOW[0] - CT_WINDOW[1] / 2, CT_WINDOW[0] + CT_WINDOW[1] / 2
        elif bits <= 8 or dataset.get("Modality") == "US":
            least = -(1 << (bits - 1)) if signed else 0
            low, high = (value * slope + intercept for value in (least, least + (1 << bits) - 1))
        else:
            shown = values[~padding] if not padding.all() else values
            low, high = float(shown.min()), float(shown.max())
        grey = (values - low) / ((high - low) or 1.0)
    grey = np.clip(grey, 0.0, 1.0)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        grey = 1.0 - grey
    grey[padding] = 0.0
    full, kind = (255, np.uint8) if bits <= 8 else (65535, np.uint16)
    return np.rint(grey * full).astype(kind)


def _voi(item: Any, values: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Values through the first VOI LUT or window of an item, black 0 and white 1; ``None`` where it has neither.

    PS3.3 C.11.2.1.2 (LINEAR) and C.11.2.1.3 (SIGMOID, LINEAR_EXACT).
    """
    if item.get("VOILUTSequence"):
        depth = item.VOILUTSequence[0].LUTDescriptor[2]
        table = require("pydicom.pixels", "dicom").apply_voi(np.rint(values).astype(np.int64), item)
        return np.asarray(table / float((1 << depth) - 1))
    if item.get("WindowCenter") is None or item.get("WindowWidth") is None:
        return None
    centre, width = (float(np.atleast_1d(item[key].value)[0]) for key in ("WindowCenter", "WindowWidth"))
    function = item.get("VOILUTFunction") or "LINEAR"
    if not np.isfinite(centre) or not width > 0 or (function == "LINEAR" and width < 1):
        raise BadInputError(f"has a window of centre {centre:g} and width {width:g}; a width is 1 or more")
    if function == "SIGMOID":
        return np.asarray(1 / (1 + np.exp(np.clip(-4 * (values - centre) / width, -700, 700))))
    if function == "LINEAR_EXACT":
        return np.asarray((values - centre) / width + 0.5)
    if width == 1:
        return np.asarray(values > centre - 0.5, np.float64)
    return np.asarray((values - (centre - 0.5)) / (width - 1) + 0.5)


def _padding(dataset: Any, stored: NDArray[Any]) -> NDArray[np.bool_]:
    """Where the image was filled up (PS3.3 C.7.5.1.1.2): the corners around the circle of a CT, for instance."""
    if dataset.get("PixelPaddingValue") is None:
        return np.zeros(stored.shape, bool)
    first = int(dataset.PixelPaddingValue)
    last = int(dataset.get("PixelPaddingRangeLimit") or first)
    return np.asarray((stored >= min(first, last)) & (stored <= max(first, last)))


def _macro(dataset: Any, index: int, sequence: str) -> Any:
    """The item of an enhanced image's functional group, of the frame or shared; else the data set itself."""
    frames, shared = dataset.get("PerFrameFunctionalGroupsSequence"), dataset.get("SharedFunctionalGroupsSequence")
    for group in ((frames[index],) if frames else ()) + ((shared[0],) if shared else ()):
        if group.get(sequence):
            return group.get(sequence)[0]
    return dataset


def _region(dataset: Any) -> tuple[Region | None, tuple[float, float] | None]:
    """The largest two-dimensional tissue region of an ultrasound image, and its mm per pixel along x and y.

    PS3.3 C.8.5.5: the corners are inside the region. Many machines write a right or lower edge one pixel too far.
    """
    found: list[tuple[int, Region, tuple[float, float] | None]] = []
    for item in dataset.get("SequenceOfUltrasoundRegions") or ():
        if (item.get("RegionSpatialFormat"), item.get("RegionDataType")) != (_TWO_DIMENSIONAL, _TISSUE):
            continue
        left, top, right, bottom = (
            int(item[f"RegionLocation{edge}"].value) for edge in ("MinX0", "MinY0", "MaxX1", "MaxY1")
        )
        fits = 0 <= left <= right <= dataset.Columns and 0 <= top <= bottom <= dataset.Rows
        width, height = min(right + 1, dataset.Columns) - left, min(bottom + 1, dataset.Rows) - top
        if not fits or min(width, height) < _SMALLEST_REGION:
            continue
        units = item.get("PhysicalUnitsXDirection"), item.get("PhysicalUnitsYDirection")
        steps = tuple(abs(float(item.get(f"PhysicalDelta{axis}") or 0)) * 10 for axis in "XY")
        spacing = _positive(*steps) if units == (_CENTIMETRES, _CENTIMETRES) else None
        found.append((width * height, Region(left, top, width, height), spacing))
    _, region, spacing = max(found, key=lambda one: one[0], default=(0, None, None))
    return region, spacing


def _spacing(dataset: Any, index: int) -> tuple[float, float] | None:
    """Pixel spacing in mm along x and y; DICOM gives the one between rows first."""
    spacing = _macro(dataset, index, "PixelMeasuresSequence").get("PixelSpacing")
    if spacing is None or len(spacing) != 2 or "SequenceOfUltrasoundRegions" in dataset:
        return None
    return _positive(float(spacing[1]), float(spacing[0]))


def _positive(x: float, y: float) -> tuple[float, float] | None:
    return (x, y) if 0 < x < np.inf and 0 < y < np.inf else None
