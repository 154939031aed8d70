"""The screen of an ultrasound cart around a phantom's fan, as an HDMI or network capture delivers it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["FAN_SIZE", "cart_screen"]

FAN_SIZE = 256
"""Side in px of the phantom picture that a screen is drawn from; it is enlarged."""

_TEXT = ("PHANTOM", "MI 1.1  TIb 0.4", "13 cm  28 Hz")


def cart_screen(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Draw a screen: the phantom's picture at 1000x900 px in the middle of 1920x1080, text beside it.

    Args:
        picture: uint8 ``(size, size)``.

    Returns:
        uint8 ``(1080, 1920)``.
    """
    screen = np.zeros((1080, 1920), np.uint8)
    screen[90:990, 460:1460] = cv2.resize(picture, (1000, 900))
    for row, text in enumerate(_TEXT):
        cv2.putText(screen, text, (40, 140 + 40 * row), cv2.FONT_HERSHEY_SIMPLEX, 0.9, 220, 2)
    return screen
