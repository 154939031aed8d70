"""Text that the machine wrote into the pixels: cheap to find, and cheap for a network to learn in place of anatomy.

A letter is a small bright component on a dark ground near an edge of the frame, and a line is letters side by side that
share their top and their bottom. What tells a line from speckle and specular streaks is its number of strokes:
the total variation along a row, divided by the two sides of a stroke.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_cns.frames import Frame
from edge_cns.grey import Grey, grey8

__all__ = ["text_fraction"]

_SHORT_SIDE = 512  # px; frames are searched at most this large
_MARGIN = 0.30  # of each side: text further inside is a label on the anatomy, and speckle is too much like it there
_CONTRAST = 40  # grey levels above the ground
_GROUND = 40  # grey levels; brighter ground is tissue
_MIN_HEIGHT = 4  # px
_MAX_HEIGHT = 0.08  # of the short side
_MIN_STROKES = 2.5  # two letters or more
_MAX_LETTERS = 1500  # of the largest components: bounds the work on a hostile frame

_Boxes = NDArray[np.int32]
"""(N, 4): left, top, width, height in px."""


def text_fraction(frame: Frame) -> float:
    """Share of the frame's area under lines of burned-in text; 0.0 where none was found.

    Letters lower than 4 px at 512 px or in the middle of the frame are missed: the figure is for comparing classes,
    not for taking names out of frames.
    """
    grey = _grey(frame)
    boxes, strokes = _letters(grey)
    lines = _lines(boxes, strokes)
    return float(sum(w * h for _, _, w, h in lines) / grey.size)


def _grey(frame: Frame) -> Grey:
    """8-bit grey, short side at most 512 px; 16 bits are scaled to the bits that the frame uses."""
    used = max(8, int(frame.pixels.max()).bit_length())
    grey = grey8(frame.pixels, used)
    scale = _SHORT_SIDE / min(grey.shape)
    if scale < 1.0:
        grey = np.asarray(cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
    return grey


def _letters(grey: Grey) -> tuple[_Boxes, NDArray[np.float64]]:
    """Boxes ``(N, 4)`` of letters (or words whose letters touch) by left edge, and strokes ``(N,)`` of each."""
    height, width = grey.shape
    side = max(7, round(min(height, width) * 0.045) | 1)
    ground = cv2.morphologyEx(grey, cv2.MORPH_OPEN, np.ones((side, side), np.uint8))
    above = cv2.subtract(grey, ground)
    mask = ((above > _CONTRAST) & (ground < _GROUND)).astype(np.uint8)
    rows, columns = int(height * _MARGIN), int(width * _MARGIN)
    mask[rows : height - rows, columns : width - columns] = 0
    found = cv2.connectedComponentsWithStats(mask, connectivity=8)[2][1:]
    w, h, area = found[:, 2], found[:, 3], found[:, 4]
    tallest = max(2 * _MIN_HEIGHT, _MAX_HEIGHT * min(height, width))
    found = found[(h >= _MIN_HEIGHT) & (h <= tallest) & (w <= 12 * h) & (area > 0.25 * w * h)]
    found = found[np.argsort(-found[:, 4], kind="stable")[:_MAX_LETTERS]]
    boxes = found[np.argsort(found[:, 0], kind="stable"), :4].astype(np.int32)
    # |difference| of neighbours along each row, summed over a box by its four corners in the integral image
    summed = cv2.integral(cv2.absdiff(above[:, 1:], above[:, :-1]))
    x, y, w, h = boxes.T
    left, right = np.maximum(0, x - 1), np.minimum(width - 1, x + w)
    variation = summed[y + h, right] - summed[y, right] - summed[y + h, left] + summed[y, left]
    peak = np.array([above[b[1] : b[1] + b[3], b[0] : b[0] + b[2]].max() for b in boxes], np.float64)
    strokes = variation / (2.0 * peak * h)
    return boxes, strokes


def _lines(boxes: _Boxes, strokes: NDArray[np.float64]) -> list[tuple[int, int, int, int]]:
    """Join letters from left to right; keep what has strokes enough. Returns left, top, width, height of each line."""
    if not len(boxes):
        return []
    x, y, w, h = boxes.T
    taller = np.maximum(h[:, None], h[None])
    gap = x[None] - (x + w)[:, None]
    follows = (
        (np.abs(y[:, None] - y[None]) <= 0.35 * taller)
        & (np.abs((y + h)[:, None] - (y + h)[None]) <= 0.35 * taller)
        & (gap >= -1)
        & (gap <= 1.2 * taller)
    )
    np.fill_diagonal(follows, val=False)
    free = np.ones(len(boxes), bool)
    lines = []
    for start in range(len(boxes)):
        if not free[start]:
            continue
        chain = [start]
        free[start] = False
        while (following := follows[chain[-1]] & free).any():
            chain.append(int(following.argmax()))
            free[chain[-1]] = False
        if strokes[chain].sum() >= _MIN_STROKES:
            left, top = int(x[chain].min()), int(y[chain].min())
            lines.append((left, top, int((x + w)[chain].max()) - left, int((y + h)[chain].max()) - top))
    return lines
