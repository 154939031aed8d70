from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_cns.data.burned_in import text_fraction
from edge_cns.data.images import read_image
from edge_cns.frames import Frame


def sector(height, width, seed=0):
    """A fan of speckle on black."""
    y, x = np.mgrid[:height, :width]
    fan = (np.hypot(y + 0.1 * height, x - width / 2) < height) & (abs(x - width / 2) < (y + 0.1 * height) * 0.7)
    rayleigh = np.random.default_rng(seed).rayleigh(70, (height, width))
    return np.clip(cv2.GaussianBlur(rayleigh, (0, 0), 1.5) * fan, 0, 255).astype(np.uint8)


def captioned(pixels, text="GA 20w3d"):
    scale = 0.2 + pixels.shape[0] / 1400
    written = pixels.copy()
    return cv2.putText(written, text, (10, 30), cv2.FONT_HERSHEY_SIMPLEX, scale, 200, 1, cv2.LINE_AA)


@pytest.mark.parametrize("size", [(480, 640), (768, 1024), (1080, 1920)])
def test_finds_a_caption_and_nothing_else(size):
    plain = sector(*size)
    assert text_fraction(Frame(plain)) == 0.0
    assert 0.0005 < text_fraction(Frame(captioned(plain))) < 0.02


def test_depth_and_colour_do_not_matter():
    written = captioned(sector(480, 640))
    grey = text_fraction(Frame(written))
    assert text_fraction(Frame(cv2.cvtColor(written, cv2.COLOR_GRAY2BGR))) == pytest.approx(grey, rel=0.1)
    assert text_fraction(Frame(written.astype(np.uint16) * 257)) == grey
    assert text_fraction(Frame(written.astype(np.uint16) * 16)) == grey  # 12 bits stored


@pytest.mark.parametrize("value", [0, 255])
def test_a_flat_frame_has_no_text(value):
    assert text_fraction(Frame(np.full((64, 64), value, np.uint8))) == 0.0


def test_a_hostile_frame_is_bounded():
    dots = np.zeros((1080, 1920), np.uint8)
    dots[::8, ::16] = 255
    assert 0.0 <= text_fraction(Frame(cv2.dilate(dots, np.ones((5, 5), np.uint8)))) <= 1.0


def test_real_frames_with_and_without_captions():
    root = os.environ.get("EDGE_CNS_DATA_DIR")
    if not root:
        pytest.skip("EDGE_CNS_DATA_DIR is not set")
    share = {}
    for name in ("fetal_planes", "hc18"):
        paths = sorted((Path(root) / name / "images").iterdir())[::20]
        share[name] = float(np.mean([text_fraction(read_image(path)) > 0 for path in paths]))
    assert share["fetal_planes"] > 0.6  # frames with captions of 4 px, many below what can be found
    assert share["hc18"] < 0.05  # frames without
