from __future__ import annotations

import cv2
import numpy as np

from edge_cns.evaluation.pictures import encode_example, media_type


def test_a_photograph_is_a_small_jpeg_that_looks_the_same() -> None:
    rng = np.random.default_rng(0)
    speckle = cv2.GaussianBlur(rng.normal(128, 60, (480, 480, 3)), (0, 0), 1.5).clip(0, 255).astype(np.uint8)
    content = encode_example(speckle)
    assert media_type(content) == "image/jpeg"
    png = cv2.imencode(".png", speckle)[1].tobytes()
    assert media_type(png) == "image/png"
    assert len(content) < len(png) / 4
    back = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    assert np.abs(back.astype(int) - speckle).mean() < 6
