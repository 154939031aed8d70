"""Image files as a film."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from edge_cns.data.images import read_image
from edge_cns.errors import BadInputError
from edge_cns.frames import UnusableFrame
from edge_cns.runtime.sources.playback import Shown

__all__ = ["ImageFilm"]

_SECONDS = 0.1  # a folder of images has no rate of its own


class ImageFilm:
    """Images in the order given, ten a second. One that cannot be read is an `UnusableFrame` that names it.

    Raises:
        BadInputError: none of them can be read.
    """

    def __init__(self, paths: list[Path]) -> None:
        self._paths = paths
        for number, path in enumerate(paths, start=1):
            try:
                read_image(path)
                return
            except BadInputError as error:
                if number == len(paths):
                    none = f"none of {len(paths)} images can be read; the last: " if len(paths) > 1 else ""
                    raise BadInputError(f"{none}{error}") from None

    def play(self) -> Iterator[Shown]:
        """Read and show each."""
        for path in self._paths:
            try:
                yield read_image(path), _SECONDS
            except BadInputError as error:
                yield UnusableFrame(str(error).replace(str(path), path.name), 0, 0), _SECONDS

    def close(self) -> None:
        """Nothing is held."""
