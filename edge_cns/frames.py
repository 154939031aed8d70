"""A frame of ultrasound, what a machine says beside its frames, and the protocol of whatever delivers both."""

from __future__ import annotations

import enum
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edge_cns.errors import BadInputError

__all__ = [
    "MAX_SIDE",
    "MIN_SIDE",
    "Delivery",
    "EventKind",
    "Frame",
    "FrameSource",
    "MachineEvent",
    "Region",
    "UnusableFrame",
    "check_pixels",
]

MIN_SIDE = 64
"""Smallest side of a frame, in pixels: below it speckle and anatomy cannot be told apart."""
MAX_SIDE = 8192
"""Largest side of a frame, in pixels: twice 4K, and a cap on what hostile input can make us allocate."""


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle of a frame, in pixels: left edge, top edge, width and height."""

    x: int
    y: int
    width: int
    height: int

    def __post_init__(self) -> None:
        if self.x < 0 or self.y < 0 or self.width < 1 or self.height < 1:
            raise BadInputError(f"region {self} is not inside a frame; give x, y >= 0 and width, height >= 1")


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One image as a machine, a file or a network delivered it. Frames are values: nobody writes to them.

    Attributes:
        pixels: ``(H, W)`` grey or ``(H, W, 3)`` BGR; uint8 or uint16; both sides 64 to 8192 px.
        captured_ns: capture time, ``CLOCK_MONOTONIC`` nanoseconds.
        sequence: number that the source counts up by one for each frame it produces.
        mm_per_pixel: spacing along x and along y in mm, where the source knows it.
        region: where the ultrasound image lies, where the source knows it (DICOM, the machine itself).
        bits_stored: significant bits of a uint16 pixel (DICOM's Bits Stored); ``None`` means all 16.

    Raises:
        BadInputError: another shape or dtype, or a side out of range.
    """

    pixels: NDArray[np.uint8] | NDArray[np.uint16]
    captured_ns: int = 0
    sequence: int = 0
    mm_per_pixel: tuple[float, float] | None = None
    region: Region | None = None
    bits_stored: int | None = None

    def __post_init__(self) -> None:
        check_pixels(self.pixels)
        height, width = self.pixels.shape[:2]
        r = self.region
        if r is not None and (r.x + r.width > width or r.y + r.height > height):
            raise BadInputError(f"{r} does not fit a frame of {width}x{height} px; give a region inside it")
        if self.bits_stored is not None and not 8 <= self.bits_stored <= 16:
            raise BadInputError(f"bits_stored is {self.bits_stored}; uint16 frames store 8 to 16 bits")

    @classmethod
    def now(cls, pixels: NDArray[np.uint8] | NDArray[np.uint16], sequence: int = 0) -> Frame:
        """Wrap pixels that were captured just now."""
        return cls(pixels, captured_ns=time.monotonic_ns(), sequence=sequence)


@dataclass(frozen=True, slots=True)
class UnusableFrame:
    """Something arrived that no `Frame` can be made of: under 64 px, damaged. It is counted and said, never fatal.

    Attributes:
        reason: one line for a person, for instance ``frame is 40x30 px; both sides must be 64 to 8192 px``.
        captured_ns, sequence: as of a `Frame`.
    """

    reason: str
    captured_ns: int
    sequence: int


class EventKind(str, enum.Enum):
    """What a machine says beside its frames. Programs read these words."""

    EXAM = "exam"
    """Another exam, patient or study begins; ``value`` is an opaque id, or empty. Evidence so far is forgotten."""
    EXAM_END = "exam_end"
    """The exam is over. Evidence so far is forgotten."""
    FETUS = "fetus"
    """Another fetus of the same exam; ``value`` is its number or name. Evidence so far is forgotten."""
    FREEZE = "freeze"
    """The image is held on purpose, until `LIVE`."""
    CINE = "cine"
    """What follows is played from memory: no new evidence, until `LIVE`."""
    LIVE = "live"
    """The image moves again."""
    MODE = "mode"
    """Imaging mode: ``B``, ``doppler``, ``M``, ``dual``. Of others than ``B`` nothing is stated."""
    PROBE = "probe"
    """The probe's name; empty when it was removed, and then evidence so far is forgotten."""
    PRESET = "preset"
    """Name of the machine's settings."""
    DEPTH = "depth"
    """Imaging depth, mm."""
    ORIENTATION = "orientation"
    """How the image is inverted: ``lr``, ``ud``, ``lr,ud``, or empty."""
    GESTATIONAL_AGE = "gestational_age"
    """Of the fetus, days."""
    CONNECTED = "connected"
    """Frames can come."""
    DISCONNECTED = "disconnected"
    """No frames can come until `CONNECTED`; ``value`` says why. The source goes on trying."""


@dataclass(frozen=True, slots=True)
class MachineEvent:
    """Something a machine said at a time, in order with its frames."""

    kind: EventKind
    at_ns: int
    value: str = ""

    @classmethod
    def now(cls, kind: EventKind, value: str = "") -> MachineEvent:
        """An event of this moment."""
        return cls(kind, time.monotonic_ns(), value)


Delivery: TypeAlias = "Frame | UnusableFrame | MachineEvent"


class FrameSource(Protocol):
    """Anything that delivers frames, and what is said beside them, in order. Closing it ends the iteration.

    One thread iterates; another may close. A source whose peer is gone says `EventKind.DISCONNECTED`, tries again by
    itself with growing pauses, and ends only when it can never deliver again. One that can answer whoever sends to it
    has a ``reply``, a `edge_cns.runtime.sinks.base.ResultSink`.
    """

    def __iter__(self) -> Iterator[Delivery]:
        """Yield until the source ends or is closed.

        Raises:
            BadInputError, OperationError: what it reads has become unusable; one line.
        """

    def close(self) -> None:
        """Release the device, file or socket, from any thread, and end a wait. May be called twice."""


def check_pixels(pixels: object) -> None:
    """Refuse an array that cannot be a frame.

    Raises:
        BadInputError: not an array, another shape or dtype, or a side out of range; the text names the value.
    """
    if not isinstance(pixels, np.ndarray):
        raise BadInputError(f"a frame is a numpy array, not {type(pixels).__name__}; pass pixels (H, W) or (H, W, 3)")
    if pixels.dtype not in (np.uint8, np.uint16):
        raise BadInputError(f"frame dtype is {pixels.dtype}; convert it to uint8 or uint16")
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] != 3):
        raise BadInputError(f"frame shape is {pixels.shape}; give (H, W) grey or (H, W, 3) BGR")
    height, width = pixels.shape[:2]
    if min(height, width) < MIN_SIDE or max(height, width) > MAX_SIDE:
        raise BadInputError(f"frame is {width}x{height} px; both sides must be {MIN_SIDE} to {MAX_SIDE} px")
