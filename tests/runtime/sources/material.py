"""Images and clips for the tests of sources."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from edge_cns.frames import Delivery
from edge_cns.runtime.sources.table import open_source

__all__ = ["deliveries", "write_clip", "write_image"]


def write_image(path: Path, level: int, side: int = 80) -> Path:
    path.write_bytes(cv2.imencode(path.suffix, np.full((side, side), level, np.uint8))[1].tobytes())
    return path


def write_clip(path: Path, count: int = 5, *, fps: float = 25.0, size: tuple[int, int] = (96, 80)) -> Path:
    """Frame ``i`` is grey 40 i (mod 200)."""
    codec = "MJPG" if path.suffix == ".avi" else "mp4v"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), fps, size)
    for i in range(count):
        writer.write(np.full((size[1], size[0], 3), 40 * i % 200, np.uint8))
    writer.release()
    return path


def deliveries(uri: object, count: int = 100, *, live: bool = False) -> list[Delivery]:
    source = open_source(str(uri), live=live)
    taken = list(islice(source, count))
    source.close()
    source.close()
    return taken
