"""Playing what was recorded, or is made up, as a machine would deliver it: at a rate, once or for ever."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Protocol, TypeAlias

import numpy as np

from edge_cns.errors import BadInputError
from edge_cns.frames import Delivery, EventKind, Frame, MachineEvent, UnusableFrame
from edge_cns.runtime.sources.pacing import Pacer
from edge_cns.runtime.uri import Options

__all__ = ["PLAYBACK_OPTIONS", "Film", "Playback", "Shown", "play", "usable"]

Shown: TypeAlias = "tuple[Delivery, float]"
"""What comes next, and the seconds until the one after it. Its capture time and sequence are the player's to set."""

PLAYBACK_OPTIONS = {"loop": "0", "rate": ""}
"""Options of everything that is played: ``loop=1`` for ever, ``rate=native``, ``rate=max`` or frames a second."""

_FASTEST = 1000.0  # frames a second


class Film(Protocol):
    """Something that can be played from its beginning, again and again, by one thread."""

    def play(self) -> Iterator[Shown]:
        """All of it, in order.

        Raises:
            BadInputError, OperationError: it has become unusable.
        """

    def close(self) -> None:
        """Release its file. May be called twice, never while it is read; playing may open it again."""


def usable(pixels: object) -> Frame | UnusableFrame:
    """A frame of pixels, or the reason why it cannot be one."""
    try:
        return Frame(np.asarray(pixels))
    except BadInputError as error:
        return UnusableFrame(str(error), 0, 0)


def play(film: Film, options: Options, *, live: bool) -> Playback:
    """Play a film as the ``loop`` and ``rate`` of its URI say; by default once, at its own rate when live.

    Raises:
        BadInputError: a value that cannot be used.
    """
    rate = options.values["rate"] or ("native" if live else "max")
    seconds = {"native": None, "max": 0.0}[rate] if rate in ("native", "max") else _seconds(options)
    return Playback(film, seconds=seconds, loop=options.flag("loop"), strict=not live)


def _seconds(options: Options) -> float:
    try:
        float(options.values["rate"])
    except ValueError:
        raise options.refused("rate", "is unknown; give native, max or frames a second") from None
    return 1.0 / options.number("rate", 0.0, _FASTEST)


class Playback:
    """A film as a source.

    Args:
        film: to play. It is closed with the source.
        seconds: between frames; 0 as fast as they are asked for; ``None`` as the film says.
        loop: again from the start, for ever; what was shown before is announced as `EventKind.CINE`.
        strict: refuse a frame that cannot be used, rather than deliver it as `UnusableFrame` and go on.
    """

    def __init__(self, film: Film, *, seconds: float | None, loop: bool = False, strict: bool = False) -> None:
        self._film, self._seconds, self._loop, self._strict = film, seconds, loop, strict
        self._closed = threading.Event()
        self._reading = threading.Lock()
        self._sequence = 0

    def __iter__(self) -> Iterator[Delivery]:
        """Yield, each captured when it is delivered.

        Raises:
            BadInputError: a frame that cannot be used, if the source is strict.
            BadInputError, OperationError: the film has become unusable.
        """
        pacer = Pacer(self._closed)
        try:
            pause = 0.0
            while not self._closed.is_set():
                before = self._sequence
                shown = self._film.play()
                while (step := self._next(shown)) is not None:
                    content, seconds = step
                    if isinstance(content, MachineEvent):
                        yield replace(content, at_ns=time.monotonic_ns())
                        continue
                    if not pacer.wait(pause):
                        return
                    yield self._stamped(content)
                    pause = seconds if self._seconds is None else self._seconds
                if not self._loop or self._sequence == before or self._closed.is_set():
                    return
                yield MachineEvent.now(EventKind.CINE)
        finally:
            self._release()

    def close(self) -> None:
        """End the iteration, and release the film as soon as nobody reads it."""
        self._closed.set()
        self._release()

    def _next(self, shown: Iterator[Shown]) -> Shown | None:
        with self._reading:
            return None if self._closed.is_set() else next(shown, None)

    def _stamped(self, content: Frame | UnusableFrame) -> Frame | UnusableFrame:
        if self._strict and isinstance(content, UnusableFrame):
            raise BadInputError(content.reason)
        stamped = replace(content, captured_ns=time.monotonic_ns(), sequence=self._sequence)
        self._sequence += 1
        return stamped

    def _release(self) -> None:
        if self._reading.acquire(blocking=False):  # else the reading thread comes here by itself when it sees the flag
            try:
                self._film.close()
            finally:
                self._reading.release()
