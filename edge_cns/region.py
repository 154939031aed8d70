"""Finding the ultrasound image (fan, sector or rectangle) in a frame that also shows menus, text and black.

Speckle fills the image densely; text and rulers are sparse strokes; menus and borders are flat. So a thumbnail is
marked where it is neither black nor flat, marks are kept where they are dense, and the box around the large
connected parts is the region. It costs the same for VGA and 4K, because only the thumbnail is looked at.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_cns.frames import Frame, Region
from edge_cns.grey import Grey, grey8

__all__ = ["find_region"]

_THUMBNAIL_SIDE = 160  # px: the thumbnail's shorter side has at least this many and less than twice as many
_BLACK = 8  # grey levels: electronic noise and JPEG ringing around the fan stay below
_WINDOW = 9  # thumbnail px over which density is judged: wider than a line of text is high
_DENSE = 0.5  # share of marked px: letters fill less, speckle more
_LARGE = 0.02  # share of the thumbnail that a part needs to count
_SMALLEST = 0.12  # share of the frame below which a find is not believed


def find_region(frame: Frame) -> Region:
    """Find the box around the ultrasound image.

    Returns:
        The region in px of the frame; the whole frame where nothing can be found with confidence.
    """
    height, width = frame.pixels.shape[:2]
    step = max(1, min(height, width) // _THUMBNAIL_SIDE)
    thumbnail = np.ascontiguousarray(grey8(frame.pixels[::step, ::step], frame.bits_stored))
    parts = _dense_parts(thumbnail)
    if not len(parts):
        return Region(0, 0, width, height)
    margin = _WINDOW // 2
    left, top = (parts[:, [cv2.CC_STAT_LEFT, cv2.CC_STAT_TOP]].min(axis=0) - margin).clip(0) * step
    sizes = parts[:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]]
    ends = (parts[:, [cv2.CC_STAT_LEFT, cv2.CC_STAT_TOP]] + sizes).max(axis=0) + margin
    right, bottom = np.minimum(ends * step, (width, height))
    region = Region(int(left), int(top), int(right - left), int(bottom - top))
    credible = region.width * region.height >= _SMALLEST * width * height and min(region.width, region.height) >= 32
    return region if credible else Region(0, 0, width, height)


def _dense_parts(thumbnail: Grey) -> NDArray[np.int32]:
    """Statistics of the large connected parts that are densely neither black nor flat: ``(n, 5)`` as OpenCV has them."""
    marked = (thumbnail > _BLACK).astype(np.float32)
    density = cv2.blur(marked, (_WINDOW, _WINDOW), borderType=cv2.BORDER_REPLICATE)
    flat = cv2.morphologyEx(thumbnail, cv2.MORPH_GRADIENT, np.ones((_WINDOW, _WINDOW), np.uint8)) == 0
    dense = ((density > _DENSE) & ~flat).astype(np.uint8)
    _, _, parts, _ = cv2.connectedComponentsWithStats(dense, connectivity=8)
    kept: NDArray[np.int32] = parts[1:][parts[1:, cv2.CC_STAT_AREA] >= _LARGE * dense.size]
    return kept
