"""A verdict drawn on its frame: the heat map over the region, and the words above it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_cns.contract import InputSpec
from edge_cns.decision.verdict import Verdict
from edge_cns.frames import Frame, Region
from edge_cns.grey import grey8
from edge_cns.preprocess import fit_within, region_of

__all__ = ["draw_overlay", "paint", "text_width", "write_text"]

_OPACITY = 0.55
_READABLE = 0.3  # of OpenCV's letters: what does not fit in these is cut
_SHORT_SIDE = 480  # px: smaller frames are enlarged, so that the words can be read


def draw_overlay(frame: Frame, verdict: Verdict, spec: InputSpec) -> NDArray[np.uint8]:
    """Draw the evidence for the verdict's label.

    Only evidence *for* the label is coloured, strongest red; where the map is zero or below, the frame shows through.

    Args:
        frame: what was classified.
        verdict: with a heat map ``(h, w)`` float32 in logits, or without.
        spec: the contract's input, which says where the map lies on the frame.

    Returns:
        ``(H', W', 3)`` uint8 BGR: the frame, enlarged if it is small, under a line of text.
    """
    picture = paint(frame, verdict, spec, region_of(frame, spec))
    factor = max(1.0, _SHORT_SIDE / min(picture.shape[:2]))
    enlarged = cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.vstack([_caption(enlarged.shape[1], verdict), enlarged]), np.uint8)


def paint(frame: Frame, verdict: Verdict, spec: InputSpec, region: Region) -> NDArray[np.uint8]:
    """The frame with the evidence over its region, and no words.

    Args:
        frame, verdict, spec: as of `draw_overlay`.
        region: what was classified, px of the frame.

    Returns:
        ``(H, W, 3)`` uint8 BGR, of its own memory.
    """
    picture = cv2.cvtColor(grey8(frame.pixels, frame.bits_stored), cv2.COLOR_GRAY2BGR)
    if verdict.heatmap is not None:
        patch = picture[region.y : region.y + region.height, region.x : region.x + region.width]
        patch[:] = _coloured(
            np.asarray(patch, np.uint8), _on_region(verdict.heatmap, region.width, region.height, spec)
        )
    return np.asarray(picture, np.uint8)


def write_text(
    picture: NDArray[np.uint8], text: str, left: int, baseline: int, size: float, colour: tuple[int, int, int]
) -> None:
    """Write one line into a ``(H, W, 3)`` picture, made smaller where it would not end 6 px before the right edge."""
    room = picture.shape[1] - left - 6
    fitted = size * min(1.0, room / max(1, text_width(text, size)))
    while fitted > _READABLE and text_width(text, fitted) > room:  # letters have whole sizes: it may still be too long
        fitted *= 0.95
    while text and (length := text_width(text, fitted)) > room:
        text = text[: min(len(text) - 1, len(text) * room // length)]
    cv2.putText(picture, text, (left, baseline), cv2.FONT_HERSHEY_SIMPLEX, fitted, colour, 1, cv2.LINE_AA)


def text_width(text: str, size: float) -> int:
    """Width in px of a line that `write_text` writes."""
    return int(cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, 1)[0][0])


def _on_region(heatmap: NDArray[np.float32], width: int, height: int, spec: InputSpec) -> NDArray[np.float32]:
    """Undo the letterbox: the map over the region alone, ``(height, width)``."""
    x, y, w, h = fit_within(width, height, spec)
    over_tensor = cv2.resize(heatmap, (spec.width, spec.height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(cv2.resize(over_tensor[y : y + h, x : x + w], (width, height)), np.float32)


def _coloured(patch: NDArray[np.uint8], heatmap: NDArray[np.float32]) -> NDArray[np.uint8]:
    strength = np.clip(heatmap / max(float(heatmap.max()), 1e-6), 0, 1)
    colours = cv2.applyColorMap((strength * 255).astype(np.uint8), cv2.COLORMAP_TURBO)
    weight = (_OPACITY * strength)[..., None]
    return np.asarray(patch * (1 - weight) + colours * weight, np.uint8)


def _caption(width: int, verdict: Verdict) -> NDArray[np.uint8]:
    words = verdict.label or verdict.state.value.replace("_", " ")
    if verdict.probability is not None:
        words += f" {verdict.probability:.0%}"
    remark = "research use only" + (f", {verdict.reason}" if verdict.reason else "")
    band = np.zeros((46, width, 3), np.uint8)
    write_text(band, words, 6, 19, 0.6, (255, 255, 255))
    write_text(band, remark, 6, 38, 0.42, (160, 200, 255))
    return band
