"""Any frame's pixels as 8-bit grey."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["Grey", "grey8"]

Grey = NDArray[np.uint8]
"""``(H, W)`` uint8."""


def grey8(pixels: NDArray[np.uint8] | NDArray[np.uint16], bits_stored: int | None = None) -> Grey:
    """Convert to 8-bit grey; a uint8 grey array is returned as it is, uncopied.

    Args:
        pixels: ``(H, W)`` grey or ``(H, W, 3)`` BGR; uint8 or uint16. BGR becomes luma (ITU-R BT.601).
        bits_stored: significant bits of a uint16 pixel, 8 to 16; ``None`` means 16. Low bits are dropped, so an
            8-bit picture widened to 16 bits, by 256 or by 257, comes back exactly.
    """
    if pixels.ndim == 3:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)  # type: ignore[assignment]
    if pixels.dtype == np.uint16:
        shifted = np.right_shift(pixels, (bits_stored or 16) - 8)
        return np.minimum(shifted, 255, out=shifted).astype(np.uint8)
    return pixels  # type: ignore[return-value]
