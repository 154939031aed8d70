"""Image files as frames: PNG, JPEG, BMP, TIFF and DICOM, 8 or 16 bits, grey or colour."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np

from edge_cns.data.dicom import decode_dicom, is_dicom
from edge_cns.data.headers import IMAGE_SUFFIXES, read_header
from edge_cns.errors import BadInputError
from edge_cns.frames import MAX_SIDE, MIN_SIDE, Frame
from edge_cns.quiet import quiet_stderr

__all__ = ["IMAGE_SUFFIXES", "MAX_FILE_BYTES", "decode_image", "frame_number", "read_bytes", "read_image"]

MAX_FILE_BYTES = 512 * 1024 * 1024
"""Largest image file that is read: an uncompressed 16-bit colour frame of the largest size, and some room."""

_NUMBERED = re.compile(r"(.+)#(\d{1,9})", re.DOTALL)
_FLAGS = cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR | cv2.IMREAD_IGNORE_ORIENTATION


def read_image(path: Path, *, sequence: int = 0) -> Frame:
    """Read one image file.

    Pixels come as they are stored: 16 bits stay 16 bits, a palette becomes BGR, alpha is dropped (what lies under
    it is shown), and an EXIF rotation is ignored, because an ultrasound machine writes none and a rotated frame is
    another frame. A file has no capture time (0); DICOM, windowed as `decode_dicom` says, may bring region and spacing.

    Args:
        path: a regular file; its content decides what it is, not its suffix. ``clip.dcm#12`` is the twelfth frame of
            a DICOM file of several.
        sequence: number of the frame in its series.

    Raises:
        BadInputError: missing, a folder, empty, too large, not an image of the five formats, cut short, several
            pages, another sample type than 8- or 16-bit integers, or a side outside 64 to 8192 px. One line, with
            the path.
        MissingExtraError: a DICOM file, and pydicom is not installed.
    """
    file, number = frame_number(path)
    return decode_image(read_bytes(file), str(file), number=number, sequence=sequence)


def frame_number(path: Path) -> tuple[Path, int | None]:
    """Take ``clip.dcm#12`` apart into file and frame number; a path that is a file as it stands has no number."""
    found = _NUMBERED.fullmatch(path.name)
    try:
        if found is None or path.exists() or not path.with_name(found[1]).exists():
            return path, None
    except (OSError, ValueError):  # a name that no file can have: reading it says so
        return path, None
    return path.with_name(found[1]), int(found[2])


def read_bytes(path: Path) -> bytes:
    """Read an image file whole, refusing what cannot be one.

    Raises:
        BadInputError: missing, not a regular file, empty, unreadable, or above ``MAX_FILE_BYTES``.
    """
    try:
        if not path.exists():
            raise BadInputError(f"{path} does not exist; check the path (in a csv it starts at the csv's folder)")
        if not path.is_file():
            what = "a folder" if path.is_dir() else "not a regular file"
            raise BadInputError(f"{path} is {what}; give an image file")
        size = path.stat().st_size
        if size == 0:
            raise BadInputError(f"{path} is empty (0 bytes); copy it again from its source")
        if size > MAX_FILE_BYTES:
            raise BadInputError(f"{path} has {size} bytes; an image file may have {MAX_FILE_BYTES}")
        return path.read_bytes()
    except (OSError, ValueError) as error:
        if isinstance(error, BadInputError):
            raise
        reason = getattr(error, "strerror", None) or str(error)
        raise BadInputError(f"{path} cannot be read ({reason}); check its name and permissions") from None


def decode_image(data: bytes, name: str, *, number: int | None = None, sequence: int = 0) -> Frame:
    """Decode the bytes of an image file; see :func:`read_image`.

    Args:
        data: the whole file.
        name: what an error calls it.
        number: of the frame in a DICOM file of several, from 1.
        sequence: number of the frame in its series.

    Raises:
        BadInputError: as :func:`read_image` says.
        MissingExtraError: DICOM, and pydicom is not installed.
    """
    if is_dicom(data):
        return decode_dicom(data, name, number=number, sequence=sequence)
    if number is not None:
        raise BadInputError(f"{name} is not DICOM, so it has no frame {number}; give its path without #{number}")
    try:
        header = read_header(data)
        if min(header.width, header.height) < MIN_SIDE or max(header.width, header.height) > MAX_SIDE:
            raise BadInputError(f"is {header.width}x{header.height} px; both sides must be {MIN_SIDE} to {MAX_SIDE} px")
    except BadInputError as error:
        raise BadInputError(f"{name} {error}") from None
    try:
        with quiet_stderr():
            pixels = cv2.imdecode(np.frombuffer(data, np.uint8), _FLAGS)
    except (cv2.error, MemoryError):
        pixels = None
    if pixels is None:
        raise BadInputError(f"{name} is a damaged {header.format.upper()} file; copy it again from its source")
    if pixels.dtype not in (np.uint8, np.uint16):
        raise BadInputError(f"{name} has {pixels.dtype} samples; save it with 8 or 16 unsigned bits")
    try:
        return Frame(pixels, sequence=sequence)  # type: ignore[arg-type]  # the dtype is checked above
    except BadInputError as error:
        raise BadInputError(f"{name}: {error}") from None
