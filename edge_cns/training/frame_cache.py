"""Network images by the hundred thousand: on disk in parts of fixed-size records, a bounded share of them in memory.

A part is named by the content of the image files it was made from, by the contract's input and by the version of this
package, so a training that was interrupted finds what it had prepared, and nothing else. It appears whole or not at
all, and is checked when it is opened. A record is read with one call, mostly from the system's own page cache.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray

from edge_cns import __version__
from edge_cns.atomic import write_bytes
from edge_cns.contract import InputSpec
from edge_cns.data.images import frame_number, read_bytes, read_image
from edge_cns.errors import OperationError
from edge_cns.preprocess import image
from edge_cns.progress import Progress, silent

__all__ = ["MEMORY_BYTES", "StoredImages", "store_images"]

MEMORY_BYTES = 256 << 20
"""Most memory that the images of one set take: 5,349 of them at 224 px."""
_PART_BYTES = 32 << 20
_CHECKSUM_BYTES = 4


class StoredImages:
    """Network images ``(N, H, W)`` uint8 that are read as an array is: by number, by slice, by numbers.

    Args:
        parts: their files in order; each but the last holds ``per_part`` images.
        kept: ``(M, H, W)`` uint8, the first M images.
        count: N.
        per_part: images in a part.
    """

    def __init__(self, parts: Sequence[Path], kept: NDArray[np.uint8], count: int, per_part: int) -> None:
        self._parts, self._kept, self._count, self._per_part = tuple(parts), kept, count, per_part

    def __len__(self) -> int:
        return self._count

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(N, H, W)``."""
        return (self._count, *self._kept.shape[1:])

    @overload
    def __getitem__(self, index: int | np.integer) -> NDArray[np.uint8]: ...
    @overload
    def __getitem__(self, index: slice | NDArray[np.integer]) -> NDArray[np.uint8]: ...
    def __getitem__(self, index: int | np.integer | slice | NDArray[np.integer]) -> NDArray[np.uint8]:
        """``(H, W)`` for a number, ``(n, H, W)`` for a slice or for numbers ``(n,)``.

        Raises:
            IndexError: no such image.
            OperationError: a part was changed while it was in use.
        """
        if isinstance(index, (int, np.integer)):
            return self._read(int(index))
        numbers = range(*index.indices(self._count)) if isinstance(index, slice) else index
        images = np.empty((len(numbers), *self._kept.shape[1:]), np.uint8)
        for place, number in enumerate(numbers):
            images[place] = self._read(int(number))
        return images

    def _read(self, number: int) -> NDArray[np.uint8]:
        number += self._count if number < 0 else 0
        if not 0 <= number < self._count:
            raise IndexError(f"image {number} of {self._count}")
        if number < len(self._kept):
            return np.asarray(self._kept[number])
        path, place = self._parts[number // self._per_part], number % self._per_part
        height, width = self._kept.shape[1:]
        record = np.fromfile(path, np.uint8, height * width, offset=place * height * width)
        if record.size < height * width:
            raise OperationError(f"{path} was cut short while it was in use; repeat the command")
        return record.reshape(height, width)


def store_images(
    paths: Sequence[Path],
    spec: InputSpec,
    folder: Path,
    task: str,
    progress: Progress = silent,
    *,
    memory_bytes: int = MEMORY_BYTES,
) -> StoredImages:
    """Preprocess images into parts under ``folder``, using the parts that are there already.

    Args:
        paths: image files, or frames of DICOM files.
        spec: the contract's input.
        folder: for the parts; made where it does not exist.
        task: what progress calls this.
        progress: told after each image.
        memory_bytes: how much of the images, from the first on, stays in memory.

    Raises:
        BadInputError: an image that cannot be read.
        OSError: the folder cannot be written, or the disk is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    record = spec.height * spec.width
    per_part = max(1, _PART_BYTES // record)
    kept = np.empty((min(len(paths), memory_bytes // record), spec.height, spec.width), np.uint8)
    parts = []
    for start in range(0, len(paths), per_part):
        chosen = paths[start : start + per_part]
        part = folder / f"{_key(chosen, spec)}.part"
        images = _read_part(part, (len(chosen), spec.height, spec.width))
        if images is None:
            images = np.empty((len(chosen), spec.height, spec.width), np.uint8)
            for i, path in enumerate(chosen):
                image(read_image(path), spec, images[i])
                progress(task, start + i + 1, len(paths))
            content = images.tobytes()
            write_bytes(part, content + zlib.crc32(content).to_bytes(_CHECKSUM_BYTES, "big"))
        kept[start : start + per_part] = images[: max(0, len(kept) - start)]
        parts.append(part)
        progress(task, start + len(chosen), len(paths))
    return StoredImages(parts, kept, len(paths), per_part)


def _key(paths: Sequence[Path], spec: InputSpec) -> str:
    """What the images of a part depend on, as 32 hex digits."""
    digest = hashlib.sha256(json.dumps([__version__, asdict(spec)]).encode())
    for path in paths:
        file, number = frame_number(path)
        digest.update(hashlib.sha256(read_bytes(file)).digest() + f"#{number}".encode())
    return digest.hexdigest()[:32]


def _read_part(path: Path, shape: tuple[int, int, int]) -> NDArray[np.uint8] | None:
    """The images of a part, or ``None`` where there is none or it is damaged."""
    try:
        content = memoryview(path.read_bytes())
    except FileNotFoundError:
        return None
    images, checksum = content[:-_CHECKSUM_BYTES], content[-_CHECKSUM_BYTES:]
    if len(images) != np.prod(shape) or zlib.crc32(images).to_bytes(_CHECKSUM_BYTES, "big") != checksum:
        return None
    return np.frombuffer(images, np.uint8).reshape(shape)
