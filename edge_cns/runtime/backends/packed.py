"""Several files of a converted model as one run of bytes: what an engine's process is handed."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping

from edge_cns.errors import InitialisationError, brief

__all__ = ["pack", "unpack"]

_LARGEST = 2**30  # bytes, unpacked: twice what a bundle's largest file may have


def pack(files: Mapping[str, bytes]) -> bytes:
    """Join files, uncompressed; the bytes depend on names and contents alone."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()


def unpack(content: bytes) -> dict[str, bytes]:
    """Take apart what `pack` joined.

    Raises:
        InitialisationError: it is something else, for instance the bundle's own ``model.tflite``.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sum(member.file_size for member in archive.infolist()) > _LARGEST:
                raise ValueError(f"it unpacks to more than {_LARGEST} bytes")
            return {member.filename: archive.read(member) for member in archive.infolist()}
    except Exception as error:  # zipfile has an exception for every kind of damage
        reason = brief(error)
        raise InitialisationError(f"this is no converted model ({reason}); make one with edge-cns convert-to") from None
