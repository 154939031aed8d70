"""A frame as PNG, lossless, and what a PNG does not say of it."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

from edge_cns.errors import BadInputError
from edge_cns.frames import MAX_SIDE, MIN_SIDE, Frame, Region

__all__ = ["decode_frame", "encode_frame"]

_FAST = [cv2.IMWRITE_PNG_COMPRESSION, 1]
if hasattr(cv2, "IMWRITE_PNG_FILTER"):  # since OpenCV 4.12; without a filter it takes about half the time
    _FAST += [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_NONE]
_BEGINNING = struct.Struct(">8sI4sIIBB")  # signature, length and name of the first chunk, width, height, depth, colour
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_DENSEST = 1040  # a byte of a PNG cannot become more pixels than this
_DTYPES = {8: np.dtype(np.uint8), 16: np.dtype(np.uint16)}
_CHANNELS = {0: 1, 2: 3}


def encode_frame(frame: Frame) -> tuple[dict[str, Any], bytes]:
    """What goes beside the pixels, JSON-ready, and the pixels.

    Raises:
        cv2.error: OpenCV cannot encode it.
    """
    _, picture = cv2.imencode(".png", np.ascontiguousarray(frame.pixels), _FAST)
    region, spacing = frame.region, frame.mm_per_pixel
    beside = {
        "captured_ns": int(frame.captured_ns),
        "sequence": int(frame.sequence),
        "mm_per_pixel": None if spacing is None else [float(mm) for mm in spacing],
        "region": None if region is None else [int(n) for n in (region.x, region.y, region.width, region.height)],
        "bits_stored": None if frame.bits_stored is None else int(frame.bits_stored),
    }
    return beside, picture.tobytes()


def decode_frame(beside: Mapping[str, Any], picture: memoryview) -> Frame:
    """The frame.

    Raises:
        BadInputError: it is none.
        KeyError, TypeError: something that goes beside it is missing or of another type.
    """
    captured, sequence, bits = (beside[name] for name in ("captured_ns", "sequence", "bits_stored"))
    spacing, region = beside["mm_per_pixel"], beside["region"]
    whole = [captured, sequence, *([] if bits is None else [bits]), *(region or [])]
    if not all(type(n) is int and abs(n) < 2**63 for n in whole):
        raise BadInputError("what goes beside its frame is damaged")
    if spacing is not None and not (len(spacing) == 2 and all(type(mm) is float for mm in spacing)):
        raise BadInputError("the spacing of its frame is damaged")
    return Frame(
        _pixels(picture),
        captured_ns=captured,
        sequence=sequence,
        mm_per_pixel=None if spacing is None else (spacing[0], spacing[1]),
        region=None if region is None else Region(*region),
        bits_stored=bits,
    )


def _pixels(picture: memoryview) -> Any:
    """Decode a PNG that is known to be as large as it should before memory is given to it."""
    if len(picture) < _BEGINNING.size:
        raise BadInputError("its frame is no PNG")
    signature, _, chunk, width, height, depth, colour = _BEGINNING.unpack_from(picture)
    if signature != _SIGNATURE or chunk != b"IHDR" or depth not in _DTYPES or colour not in _CHANNELS:
        raise BadInputError("its frame is no PNG of a frame")
    shape = (height, width) if colour == 0 else (height, width, 3)
    if not all(MIN_SIDE <= side <= MAX_SIDE for side in (width, height)):
        raise BadInputError(f"its frame is {width}x{height} px")
    if math.prod(shape) * depth // 8 > _DENSEST * len(picture):
        raise BadInputError(f"its frame of {width}x{height} px cannot be in {len(picture)} bytes")
    try:
        pixels = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        pixels = None
    if pixels is None or pixels.shape != shape or pixels.dtype != _DTYPES[depth]:
        raise BadInputError("its frame cannot be decoded")
    return pixels
