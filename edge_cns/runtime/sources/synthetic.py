"""Frames from nowhere: the phantom and a cart's screen, so that everything runs without a machine."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, cycle, islice

from edge_cns.data import phantom
from edge_cns.data.phantom.cart import FAN_SIZE, cart_screen
from edge_cns.errors import BadInputError
from edge_cns.frames import MIN_SIDE, Frame, FrameSource
from edge_cns.runtime.sources.playback import Film, Playback, Shown
from edge_cns.runtime.uri import split_uri

__all__ = ["CartFilm", "PhantomFilm", "open_synthetic"]

_DEFAULTS = {
    "phantom": {"class": "normal", "fps": "30", "seed": "0", "size": "256"},
    "cart": {"class": "normal", "fps": "60", "seed": "0"},
}
_LARGEST = 2048  # px: seconds and hundreds of MiB a frame
_FASTEST = 1000.0  # frames a second
_LAST_SEED = 2**31 - 1
_SCREENS = 12
_SCREENS_PER_SECOND = 4.0  # of the imagined machine: they differ as three seconds of scanning do


def open_synthetic(uri: str, *, live: bool = False) -> FrameSource:
    """Open ``synthetic://phantom?class=NAME&fps=30&seed=0&size=256`` or ``synthetic://cart?class=NAME&fps=60&seed=0``.

    Live frames come at ``fps``, or as fast as this machine draws them (about 25 ms a phantom of 256 px).

    Raises:
        BadInputError: another name, an unknown class, or a value that cannot be used.
    """
    name = uri.partition("?")[0].partition("://")[2]
    if name not in _DEFAULTS:
        raise BadInputError(f"{uri.partition('?')[0][:80]!r}: give synthetic://phantom or synthetic://cart")
    _, options = split_uri(uri, _DEFAULTS[name])
    fps, seed = options.number("fps", 0, _FASTEST), options.whole("seed", 0, _LAST_SEED)
    film: Film
    if name == "cart":
        film = CartFilm(options.values["class"], fps=fps, seed=seed)
    else:
        size = options.whole("size", MIN_SIDE, _LARGEST, " px")
        film = PhantomFilm(options.values["class"], fps=fps, seed=seed, size=size)
    return Playback(film, seconds=None if live else 0.0)


class PhantomFilm:
    """A phantom patient of a class, swept without end.

    Raises:
        BadInputError: there is no such class.
    """

    def __init__(self, label: str, *, fps: float, seed: int, size: int) -> None:
        self._renderings, self._seconds = phantom.frames(label, fps=fps, seed=seed, size=size), 1 / fps

    def play(self) -> Iterator[Shown]:
        """Draw and show each frame."""
        for shown in self._renderings:
            spacing = (shown.mm_per_pixel, shown.mm_per_pixel)
            yield Frame(shown.pixels, mm_per_pixel=spacing, region=shown.region), self._seconds

    def close(self) -> None:
        """Nothing is held."""


class CartFilm:
    """Twelve screens of a cart, ``(1080, 1920)`` uint8, drawn beforehand and shown to and fro without end.

    For load tests: feeding them costs nothing. The frames are shared and read-only.

    Raises:
        BadInputError: there is no such class.
    """

    def __init__(self, label: str, *, fps: float, seed: int) -> None:
        drawn = islice(phantom.frames(label, fps=_SCREENS_PER_SECOND, seed=seed, size=FAN_SIZE), _SCREENS)
        self._frames = []
        for shown in drawn:
            screen = cart_screen(shown.pixels)
            screen.flags.writeable = False
            self._frames.append(Frame(screen))
        self._seconds = 1 / fps

    def play(self) -> Iterator[Shown]:
        """Show 0, 1, ... 11, 10, ... 1, and again."""
        for frame in cycle(chain(self._frames, self._frames[-2:0:-1])):
            yield frame, self._seconds

    def close(self) -> None:
        """Nothing is held."""
