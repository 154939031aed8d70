"""Where lesions lie: ``pairs.csv`` beside ``labels.csv``, and its masks brought to where the network sees them."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_cns.contract import InputSpec
from edge_cns.data.images import read_bytes, read_image
from edge_cns.data.manifest import Manifest, Row
from edge_cns.errors import BadInputError
from edge_cns.frames import Frame
from edge_cns.grey import grey8
from edge_cns.preprocess import fit_within, image, region_of

__all__ = ["Box", "LesionFrame", "content_box", "mask_in_tensor", "read_lesions"]

FILE = "pairs.csv"
_REQUIRED = ("path", "mask")
_LIT = 128  # grey level from which a px of a mask, or of its resized form, is lesion

Box = tuple[int, int, int, int]
"""Left, top, width and height in px of the tensor."""


@dataclass(frozen=True, slots=True)
class LesionFrame:
    """A labelled frame whose lesion somebody has outlined.

    Attributes:
        row: of the labels.
        mask: image file, bright where the lesion is, of the frame's size.
        twin: image file of the same frame without the lesion, or ``None``.
    """

    row: Row
    mask: Path
    twin: Path | None


def read_lesions(manifest: Manifest) -> tuple[LesionFrame, ...]:
    """Read ``pairs.csv`` from the folder of ``labels.csv``.

    Its columns are ``path`` (as in the labels), ``mask`` and, where there is one, ``counterfactual``; paths start at
    that folder and other columns are ignored.

    Returns:
        The frames that the labels have, in their order; nothing where there is no such file.

    Raises:
        BadInputError: a column or a value is missing, or a path occurs twice.
    """
    path = manifest.path.parent / FILE
    if not path.exists():
        return ()
    try:
        lines = list(csv.reader(io.StringIO(read_bytes(path).decode("utf-8-sig"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadInputError(f"{path} is not UTF-8 CSV ({error}); write it again") from None
    columns = lines[0] if lines else []
    if missing := [name for name in _REQUIRED if name not in columns]:
        raise BadInputError(f"{path} has no column {', '.join(missing)}; its header needs {','.join(_REQUIRED)}")
    named: dict[Path, dict[str, str]] = {}
    for number, cells in enumerate(lines[1:], start=2):
        if not any(cells):
            continue
        entry = dict(zip(columns, cells, strict=False))
        if len(cells) != len(columns) or not entry["path"] or not entry["mask"]:
            raise BadInputError(f"{path} row {number} lacks a value; give a path and a mask, or remove the row")
        where = path.parent / entry["path"]
        if where in named:
            raise BadInputError(f"{path} row {number} has {entry['path']} a second time; keep one")
        named[where] = entry
    return tuple(_lesion(row, path.parent, named[row.path]) for row in manifest.rows if row.path in named)


def _lesion(row: Row, folder: Path, entry: dict[str, str]) -> LesionFrame:
    twin = entry.get("counterfactual", "")
    return LesionFrame(row, folder / entry["mask"], folder / twin if twin else None)


def mask_in_tensor(mask: Path, frame: Frame, spec: InputSpec) -> NDArray[np.bool_]:
    """Bring a mask to where the network sees its frame: the frame's region, then the same resize and letterbox.

    Args:
        mask: image file of the frame's size.
        frame: what the mask was drawn on.
        spec: the contract's input.

    Returns:
        ``(spec.height, spec.width)`` bool; empty where the lesion lies outside the region. A lesion smaller than a
        pixel of the tensor keeps the pixels that it touches.

    Raises:
        BadInputError: the mask cannot be read or has another size.
    """
    drawn = read_image(mask)
    if drawn.pixels.shape[:2] != frame.pixels.shape[:2]:
        (height, width), (h, w) = drawn.pixels.shape[:2], frame.pixels.shape[:2]
        raise BadInputError(f"{mask} is {width}x{height} px, its frame {w}x{h}; draw the mask on the frame itself")
    lit = np.where(grey8(drawn.pixels, drawn.bits_stored) >= _LIT, np.uint8(255), np.uint8(0))
    # The region is found in the frame, never in the mask; `image` believes a region that it is given.
    resized = image(Frame(lit, region=region_of(frame, spec)), spec)
    inside: NDArray[np.bool_] = resized >= _LIT
    return inside if inside.any() else np.asarray(resized > 0)


def content_box(frame: Frame, spec: InputSpec) -> Box:
    """Where in the tensor the frame's region lies; around it is padding."""
    region = region_of(frame, spec)
    return fit_within(region.width, region.height, spec)
