"""Frames from a clip, an image, or a folder of images, in order, as fast as they are asked for."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import cv2
import numpy as np

from edge_cns.data.images import IMAGE_SUFFIXES, read_image
from edge_cns.errors import BadInputError
from edge_cns.frames import Frame, FrameSource
from edge_cns.quiet import quiet_stderr

__all__ = ["ClipFile", "ImageFiles", "open_files"]


def open_files(uri: str, *, live: bool = False) -> FrameSource:
    """Open ``file:///PATH`` or a plain path: an image, a folder of images, or a clip.

    Raises:
        BadInputError: nothing there, no images in the folder, or no clip that OpenCV can decode.
    """
    if uri.startswith("file://") and not uri.startswith(("file:///", "file://localhost/")):
        raise BadInputError(f"{uri} names a host; give file:///PATH with three slashes, or a plain path")
    path = Path(unquote(uri.removeprefix("file://").removeprefix("localhost")) if uri.startswith("file://") else uri)
    if path.is_dir():
        images = sorted(p for p in path.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
        if not images:
            raise BadInputError(f"{path} has no images ({', '.join(sorted(IMAGE_SUFFIXES))}); give a folder that has")
        return ImageFiles(images)
    if not path.exists():
        raise BadInputError(f"{path} does not exist; give a clip, an image or a folder of images")
    return ImageFiles([path]) if path.suffix.lower() in IMAGE_SUFFIXES else ClipFile(path)


class ImageFiles:
    """Images in the order given, each captured when it is read."""

    def __init__(self, paths: list[Path]) -> None:
        self._paths = paths

    def __iter__(self) -> Iterator[Frame]:
        for sequence, path in enumerate(self._paths):
            yield replace(read_image(path), captured_ns=time.monotonic_ns(), sequence=sequence)

    def close(self) -> None:
        """End the iteration."""
        self._paths = []


class ClipFile:
    """A video file, decoded by OpenCV's FFmpeg.

    Raises:
        BadInputError: OpenCV cannot decode it.
    """

    def __init__(self, path: Path) -> None:
        with quiet_stderr():
            self._capture = cv2.VideoCapture(str(path))
        if not self._capture.isOpened():
            raise BadInputError(f"{path} is no clip that can be decoded; give an MP4, AVI or image")

    def __iter__(self) -> Iterator[Frame]:
        sequence = 0
        while True:
            read, pixels = self._capture.read()
            if not read:
                return
            yield Frame(np.asarray(pixels, np.uint8), time.monotonic_ns(), sequence)
            sequence += 1

    def close(self) -> None:
        """Release the file."""
        self._capture.release()
