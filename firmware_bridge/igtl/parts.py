"""Images that come in parts (sub-volumes) become whole ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_cns.errors import BadInputError
from firmware_bridge.igtl.image import Part, Sent

__all__ = ["Parts"]


class Parts:
    """Puts parts of one image together. A frame is complete when all of it was sent since the last one.

    So no frame shows two moments at once, other than those that the sender's own parts belong to.
    """

    def __init__(self) -> None:
        self._kind: tuple[object, ...] = ()
        self._image: Sent | None = None
        self._there: NDArray[np.bool_] | None = None
        self._missing = 0

    def add(self, pixels: Sent, part: Part) -> Sent | None:
        """Take a part.

        Returns:
            The whole image once all of it is there; ``None`` while parts are missing.

        Raises:
            BadInputError: it came twice before all of the image had come once; putting together starts anew with it.
        """
        if part.whole:
            self._image = None
            return pixels
        kind = (part.shape, part.components, part.dtype)
        again = False
        if self._image is None or kind != self._kind:
            self._start(part, kind)
        assert self._there is not None
        (row, column), rows, columns = part.at, part.rows, part.columns
        place = np.s_[row : row + rows, column : column + columns]
        if self._there[place].any():
            again = True
            self._start(part, kind)
        assert self._image is not None
        assert self._there is not None
        self._image[place], self._there[place] = pixels, True
        self._missing -= rows * columns
        if again:
            raise BadInputError("a part of the image came twice before all of it came once; send whole images")
        if self._missing:
            return None
        whole, self._image = self._image, None
        return whole

    def _start(self, part: Part, kind: tuple[object, ...]) -> None:
        """Memory is zeroed by the system where it is first written, so a large image of which little comes is small."""
        shape = part.shape if part.components == 1 else (*part.shape, part.components)
        self._kind = kind
        self._image, self._there = np.zeros(shape, part.dtype), np.zeros(part.shape, np.bool_)
        self._missing = part.shape[0] * part.shape[1]
