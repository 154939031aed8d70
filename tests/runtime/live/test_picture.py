from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge_cns.contract import InputSpec
from edge_cns.frames import Frame, Region
from edge_cns.preprocess import prepare
from edge_cns.runtime.live.picture import blank, digest

SPEC = InputSpec(96, 96)


def test_pictures_and_none(phantom_pixels):
    def said(pixels: np.ndarray) -> str:
        return blank(prepare(Frame(pixels), SPEC), SPEC)

    assert said(phantom_pixels) == ""
    assert said((phantom_pixels * 0.3).astype(np.uint8)) == "", "a dark picture is one"
    noise = np.random.default_rng(0).integers(0, 6, (480, 640), np.uint8)
    assert said(noise) == said(np.zeros((480, 640), np.uint8)) == "the image is black"
    assert said(np.full((480, 640), 77, np.uint8)) == "the image is all one grey (77)"
    blue = np.zeros((480, 640, 3), np.uint8)
    blue[..., 0] = 255
    assert said(blue) == "the image is all one grey (29)"
    assert said(np.full((100, 900), 77, np.uint8)) == "the image is all one grey (77)", "the letterbox is no picture"


def test_a_clock_beside_a_frozen_image_changes_nothing(phantom_pixels):
    screen = np.zeros((480, 640), np.uint8)
    screen[20:460, 100:540] = cv2.resize(phantom_pixels, (440, 440))
    region = Region(100, 20, 440, 440)
    digests = set()
    for second in range(3):
        shown = screen.copy()
        cv2.putText(shown, f"12:00:0{second}", (560, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.3, 255)
        digests.add(digest(prepare(Frame(shown, region=region), SPEC).image))
    assert len(digests) == 1


@pytest.mark.parametrize("x", [110, 300, 500])
def test_a_little_noise_is_a_new_image(phantom_pixels, x):
    other = cv2.resize(phantom_pixels, (600, 600))
    one = digest(prepare(Frame(other), SPEC).image)
    other[x : x + 12, x : x + 12] ^= 0x1F
    assert digest(prepare(Frame(other), SPEC).image) != one
