"""Finding the ultrasound image (fan, sector or rectangle) in a frame that also shows menus, text and black.

Speckle fills the image densely; text and rulers are sparse strokes; menus and borders are flat. So a thumbnail is
marked where it is neither black nor flat, marks are kept where they are dense, and the box around the large
connected parts is the region. It costs the same for VGA and 4K, because only the thumbnail is looked at.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from edge_cns.frames import MIN_SIDE, Frame, Region
from edge_cns.grey import Grey, grey8

__all__ = ["enclosing", "find_parts", "find_region"]

_THUMBNAIL_SIDE = 96  # px: the thumbnail's shorter side has at least this many and less than twice as many
_BLACK = 8  # grey levels: electronic noise and JPEG ringing around the fan stay below
_WINDOW = 7  # thumbnail px over which density is judged: wider than a line of text is high
_DENSE = 0.5  # share of marked px: letters fill less, speckle more
_LARGE = 0.02  # share of the thumbnail that a part needs to count
_SMALLEST = 0.12  # share of the frame below which a find is not believed


def find_region(frame: Frame) -> Region:
    """Find the box around the ultrasound image.

    Returns:
        The region in px of the frame; the whole frame where nothing can be found with confidence.
    """
    return enclosing(find_parts(frame), frame)


def find_parts(frame: Frame) -> tuple[Region, ...]:
    """Boxes around the large parts of the frame that look like ultrasound, px of the frame; they may overlap."""
    height, width = frame.pixels.shape[:2]
    step = max(1, min(height, width) // _THUMBNAIL_SIDE)
    thumbnail = np.ascontiguousarray(grey8(frame.pixels[::step, ::step], frame.bits_stored))
    margin = _WINDOW // 2  # density reaches half a window less far at the corners of a fan
    parts = []
    for x, y, w, h in _dense_parts(thumbnail):
        left, top = max(0, x - margin) * step, max(0, y - margin) * step
        right, bottom = min(width, (x + w + margin) * step), min(height, (y + h + margin) * step)
        parts.append(Region(left, top, right - left, bottom - top))
    return tuple(parts)


def enclosing(parts: Sequence[Region], frame: Frame) -> Region:
    """The box around all parts; the whole frame where they are too small to be believed."""
    height, width = frame.pixels.shape[:2]
    if parts:
        left, top = min(part.x for part in parts), min(part.y for part in parts)
        right, bottom = max(part.x + part.width for part in parts), max(part.y + part.height for part in parts)
        large = (right - left) * (bottom - top) >= _SMALLEST * width * height
        if large and min(right - left, bottom - top) >= MIN_SIDE // 2:
            return Region(left, top, right - left, bottom - top)
    return Region(0, 0, width, height)


def _dense_parts(thumbnail: Grey) -> list[tuple[int, int, int, int]]:
    """Boxes ``(x, y, width, height)`` of the large connected parts that are densely neither black nor flat."""
    window = (_WINDOW, _WINDOW)
    texture = cv2.absdiff(thumbnail, cv2.blur(thumbnail, window, borderType=cv2.BORDER_REPLICATE))
    _, lit = cv2.threshold(thumbnail, _BLACK, 255, cv2.THRESH_BINARY)
    _, rough = cv2.threshold(texture, 0, 255, cv2.THRESH_BINARY)
    density = cv2.blur(cv2.bitwise_and(lit, rough), window, borderType=cv2.BORDER_REPLICATE)
    _, dense = cv2.threshold(density, 255 * _DENSE, 1, cv2.THRESH_BINARY)
    contours, _ = cv2.findContours(dense, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    boxes = [cv2.boundingRect(c) for c in contours if cv2.contourArea(c) >= _LARGE * thumbnail.size]
    return [(int(x), int(y), int(w), int(h)) for x, y, w, h in boxes]
