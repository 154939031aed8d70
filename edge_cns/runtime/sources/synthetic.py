"""Frames from nowhere: the phantom, so that everything runs without a machine."""

from __future__ import annotations

import time
from collections.abc import Iterator
from urllib.parse import parse_qsl

from edge_cns.data import phantom
from edge_cns.errors import BadInputError
from edge_cns.frames import MIN_SIDE, Frame, FrameSource

__all__ = ["PhantomFrames", "open_synthetic"]

_DEFAULTS = {"class": "normal", "fps": "30", "seed": "0", "size": "256"}
_LARGEST = 2048  # px: seconds and hundreds of MiB a frame


def open_synthetic(uri: str, *, live: bool = False) -> FrameSource:
    """Open ``synthetic://phantom?class=NAME&fps=30&seed=0&size=256``.

    Raises:
        BadInputError: another name, an unknown class, or a value that cannot be used.
    """
    name, _, query = uri.removeprefix("synthetic://").partition("?")
    asked = _DEFAULTS | dict(parse_qsl(query, keep_blank_values=True))
    if name != "phantom" or set(asked) != set(_DEFAULTS):
        raise BadInputError(f"{uri}: give synthetic://phantom with class, fps, seed and size")
    try:
        fps, seed, size = float(asked["fps"]), int(asked["seed"]), int(asked["size"])
    except ValueError:
        raise BadInputError(f"{uri}: fps, seed and size are numbers, e.g. fps=30&seed=0&size=256") from None
    if not 0 < fps <= 1000:
        raise BadInputError(f"{uri}: fps is {fps:g}; give more than 0 and at most 1000")
    if not MIN_SIDE <= size <= _LARGEST:
        raise BadInputError(f"{uri}: size is {size} px; give {MIN_SIDE} to {_LARGEST}")
    return PhantomFrames(asked["class"], fps=fps, seed=seed, size=size)


class PhantomFrames:
    """A phantom patient of a class, swept without end."""

    def __init__(self, label: str, *, fps: float, seed: int, size: int) -> None:
        self._renderings = phantom.frames(label, fps=fps, seed=seed, size=size)
        self._open = True

    def __iter__(self) -> Iterator[Frame]:
        for sequence, shown in enumerate(self._renderings):
            if not self._open:
                return
            spacing = (shown.mm_per_pixel, shown.mm_per_pixel)
            yield Frame(shown.pixels, time.monotonic_ns(), sequence, mm_per_pixel=spacing, region=shown.region)

    def close(self) -> None:
        """End the iteration."""
        self._open = False
