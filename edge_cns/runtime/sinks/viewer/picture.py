"""A picture for the page: the frame as JPEG, and where its evidence lies as a small grid beside it.

One binary message is

    4 bytes       length of the header, unsigned, little-endian
    header        JSON, UTF-8
    grid          rows x columns bytes, row by row: evidence, 0 none to 255 strongest; absent where ``heat`` is null
    picture       JPEG, to the end

and its header

    sequence      of the frame
    width, height of the frame, px; the JPEG may be smaller
    age_ms        of the frame when the message was sent
    sent_ms       see `edge_cns.runtime.sinks.viewer.watcher`
    region        [x, y, width, height] of what was classified, px of the frame, or null
    heat          null, or {"rows", "columns"}: the grid covers the region from edge to edge
    outline       null, or [x, y, width, height] round the strongest evidence, px of the frame
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_cns.contract import InputSpec
from edge_cns.frames import Frame, Region
from edge_cns.grey import grey8
from edge_cns.preprocess import fit_within

__all__ = ["LONGEST_SIDE", "Picture", "take_picture"]

LONGEST_SIDE = 1280
"""Of the JPEG, px."""
_QUALITY = 80
_GRID_SIDE = 64  # cells: smooth to the eye, and 4 kB at most
_STRONG = 0.5  # of the strongest evidence: what the outline holds


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A frame made ready to be sent.

    Attributes:
        jpeg: of the frame.
        header: all of the message's header but its times, for one who may see the evidence.
        grid: ``(rows, columns)`` uint8, or ``None``.
        captured_ns: of the frame.
        label: the class that the evidence is for, or ``None``.
    """

    jpeg: bytes
    header: dict[str, Any]
    grid: NDArray[np.uint8] | None
    captured_ns: int
    label: str | None

    def message(self, now_ns: int, sent_ms: float, *, heat: bool, outline: bool) -> bytes:
        """The binary message, with the grid and the outline or without."""
        times = {"age_ms": max(0.0, (now_ns - self.captured_ns) / 1e6), "sent_ms": sent_ms}
        hidden = {name: None for name, kept in (("heat", heat), ("outline", outline)) if not kept}
        header = json.dumps(self.header | hidden | times).encode()
        grid = self.grid.tobytes() if heat and self.grid is not None else b""
        return b"".join((struct.pack("<I", len(header)), header, grid, self.jpeg))


def take_picture(
    frame: Frame, heatmap: NDArray[np.float32] | None, region: Region | None, spec: InputSpec, label: str | None
) -> Picture:
    """Encode a frame, longest side at most `LONGEST_SIDE`.

    Args:
        frame: any.
        heatmap: ``(h, w)`` float32 in logits over the input tensor, or ``None``.
        region: the part of the frame that was classified; without it there is no evidence to place.
        spec: the contract's input.
        label: the class that the heat map is for.
    """
    height, width = frame.pixels.shape[:2]
    grid = None if heatmap is None or region is None else _over_region(heatmap, region, spec)
    header: dict[str, Any] = {
        "sequence": frame.sequence,
        "width": width,
        "height": height,
        "region": None if region is None else [region.x, region.y, region.width, region.height],
        "heat": None if grid is None else {"rows": grid.shape[0], "columns": grid.shape[1]},
        "outline": None if grid is None or region is None else _outline(grid, region),
    }
    return Picture(_jpeg(frame), header, grid, frame.captured_ns, label)


def _jpeg(frame: Frame) -> bytes:
    pixels = frame.pixels
    height, width = pixels.shape[:2]
    scale = LONGEST_SIDE / max(height, width)
    if scale < 1:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    if pixels.ndim == 2:
        pixels = grey8(pixels, frame.bits_stored)
    elif pixels.dtype == np.uint16:
        pixels = np.minimum(pixels >> ((frame.bits_stored or 16) - 8), 255).astype(np.uint8)
    return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()


def _over_region(heatmap: NDArray[np.float32], region: Region, spec: InputSpec) -> NDArray[np.uint8] | None:
    """Undo the letterbox: evidence over the region alone; ``None`` where nothing speaks for the class."""
    strongest = float(heatmap.max())
    if not (np.isfinite(heatmap).all() and strongest > 0):
        return None
    x, y, w, h = fit_within(region.width, region.height, spec)
    over_tensor = cv2.resize(heatmap / np.float32(strongest), (spec.width, spec.height), interpolation=cv2.INTER_CUBIC)
    scale = min(1.0, _GRID_SIDE / max(w, h))
    size = max(1, round(w * scale)), max(1, round(h * scale))
    grid = cv2.resize(over_tensor[y : y + h, x : x + w], size, interpolation=cv2.INTER_AREA)
    return np.asarray(np.clip(grid, 0, 1) * 255, np.uint8)


def _outline(grid: NDArray[np.uint8], region: Region) -> list[int] | None:
    """The box round the connected strongest evidence, px of the frame."""
    strongest = int(grid.max())
    if strongest == 0:
        return None
    _, parts = cv2.connectedComponents((grid >= _STRONG * strongest).astype(np.uint8))
    row, column = np.unravel_index(int(grid.argmax()), grid.shape)
    rows, columns = np.nonzero(parts == parts[row, column])
    sx, sy = region.width / grid.shape[1], region.height / grid.shape[0]
    left, top = int(columns.min() * sx), int(rows.min() * sy)
    right, bottom = round((int(columns.max()) + 1) * sx), round((int(rows.max()) + 1) * sy)
    return [region.x + left, region.y + top, right - left, bottom - top]
