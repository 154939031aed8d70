"""Picture files that a report carries: drawings are PNG, photographs are JPEG, a tenth of the size."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["QUALITY", "encode_example", "media_type"]

QUALITY = 80
"""Of a JPEG: speckle looks the same as at 100."""


def encode_example(picture: NDArray[np.uint8]) -> bytes:
    """A JPEG of a picture ``(H, W, 3)`` uint8 BGR, for instance a frame under its heat map."""
    _, content = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return bytes(content.tobytes())


def media_type(content: bytes) -> Literal["image/png", "image/jpeg"]:
    """Which of the two kinds a file is."""
    return "image/jpeg" if content.startswith(b"\xff\xd8\xff") else "image/png"
