"""What one heat map says: where it points, how much of it lies inside a lesion, and how alike two maps rank places."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_cns.contract import InputSpec
from edge_cns.evaluation.heatmaps.lesions import Box
from edge_cns.extras import require

__all__ = ["Map", "Mask", "grown", "mass_inside", "over_region", "pointing", "rank_correlation", "tolerance_px"]

Map = NDArray[np.float32]
"""``(h, w)`` float32, evidence in logits."""
Mask = NDArray[np.bool_]
"""``(h, w)`` bool, true inside the lesion."""

_TOLERANCE = 0.03  # of the tensor's longer side: 15 px of a picture of 500 px, as Zhang et al. 2016 allow


def over_region(heatmap: Map, spec: InputSpec, box: Box) -> Map:
    """The map as it is drawn: enlarged to the tensor by cubic interpolation, without the padding.

    Args:
        heatmap: ``(h, w)`` over the whole tensor.
        spec: the contract's input.
        box: where in the tensor the frame's region lies.
    """
    x, y, width, height = box
    enlarged = cv2.resize(heatmap, (spec.width, spec.height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(enlarged[y : y + height, x : x + width], np.float32)


def tolerance_px(spec: InputSpec) -> int:
    """How far beside the lesion the largest value may lie, px of the tensor."""
    return max(1, round(_TOLERANCE * max(spec.height, spec.width)))


def grown(mask: Mask, pixels: int) -> Mask:
    """The mask and what lies within so many pixels of it."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * pixels + 1, 2 * pixels + 1))
    return cv2.dilate(mask.astype(np.uint8), disc) > 0


def pointing(heatmap: Map, mask: Mask) -> float:
    """Pointing game: whether the largest value lies in the mask (Zhang et al. 2016, "Top-down neural attention").

    Args:
        heatmap: of the mask's shape.
        mask: with the tolerance in it already, see `grown`.

    Returns:
        1 or 0; where several places share the largest value, the share of them inside: what drawing one would give.
    """
    return float(mask[heatmap == heatmap.max()].mean())


def mass_inside(heatmap: Map, mask: Mask) -> float:
    """Share of the evidence *for* the class that lies in the mask; NaN for a map that is nowhere above zero."""
    positive = np.maximum(heatmap, 0, dtype=np.float64)
    total = positive.sum()
    return float(positive[mask].sum() / total) if total > 0 else float("nan")


def rank_correlation(first: NDArray[np.floating], second: NDArray[np.floating]) -> NDArray[np.float64]:
    """Spearman's rank correlation of each pair of maps; ties share their mean rank.

    Args:
        first, second: ``(N, h, w)``.

    Returns:
        ``(N,)`` float64 in [-1, 1]; NaN where one of the maps is constant or not finite.

    Raises:
        MissingExtraError: SciPy is not installed.
    """
    rankdata = require("scipy.stats", "evaluate").rankdata
    ranks = [rankdata(maps.reshape(len(maps), -1), axis=1) for maps in (first, second)]
    centred = [r - r.mean(axis=1, keepdims=True) for r in ranks]
    spread = np.sqrt((centred[0] ** 2).sum(axis=1) * (centred[1] ** 2).sum(axis=1))
    usable = (spread > 0) & np.isfinite(first).all(axis=(1, 2)) & np.isfinite(second).all(axis=(1, 2))
    product = (centred[0] * centred[1]).sum(axis=1)
    result = np.divide(product, spread, out=np.full(len(spread), np.nan), where=usable)
    return np.asarray(np.clip(result, -1, 1), np.float64)
