"""The ring's memory as the classifier sees it: frames are views of it, and a slot is let go of with its last view."""

from __future__ import annotations

import mmap
import os
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_cns.errors import BadInputError
from edge_cns.frames import MAX_SIDE
from edge_cns.runtime.sealed import is_sealed
from firmware_bridge.ring.wire import MAX_MEMORY, MAX_SLOTS, FrameMessage, Hello

__all__ = ["RingMemory"]

_LEAST_FREE = 2  # slots that are left to the machine: below that a frame is copied, and its slot let go of at once


class RingMemory:
    """A machine's ring, mapped for reading.

    Args:
        descriptor: of the memory file; stays the caller's.
        hello: what the machine says of it.
        release: called with the number of a slot that nobody looks at any more, from whichever thread looked last.

    Raises:
        BadInputError: not a sealed file of the size that is said, or more than there may be.
    """

    def __init__(self, descriptor: int, hello: Hello, release: Callable[[int], None]) -> None:
        self._check(descriptor, hello)
        self._map = mmap.mmap(descriptor, hello.memory_bytes, mmap.MAP_SHARED | mmap.MAP_POPULATE, mmap.PROT_READ)
        self._slots, self._slot_bytes = hello.slots, hello.slot_bytes
        self._release = release
        self._held: dict[int, weakref.ref[Any]] = {}

    def frame_pixels(self, message: FrameMessage) -> NDArray[np.uint8] | NDArray[np.uint16]:
        """The pixels of a frame: views of the slot, read-only, or a copy where the machine runs out of slots.

        Returns:
            ``(H, W)`` uint8 or uint16, or ``(H, W, 3)`` uint8 BGR.

        Raises:
            BadInputError: the message names no slot that the machine may hand over, or pixels outside it.
        """
        slot = message.slot
        if slot >= self._slots or slot in self._held:
            raise BadInputError(f"slot {slot} of {self._slots} was handed over twice, or does not exist")
        self._check_size(message)
        pixels = _shaped(self._map, slot * self._slot_bytes, message)
        if self._slots - len(self._held) <= _LEAST_FREE:
            pixels = pixels.copy()
            self._release(slot)
        else:
            self._held[slot] = weakref.ref(pixels, lambda _: self._let_go(slot))  # every view of it keeps it alive
        return pixels

    def _let_go(self, slot: int) -> None:
        self._held.pop(slot, None)
        self._release(slot)

    def _check_size(self, message: FrameMessage) -> None:
        if not 1 <= message.format <= 3:
            raise BadInputError(f"a frame of format {message.format}; there are 1 (grey), 2 (grey, 16 bit) and 3 (BGR)")
        if not (0 < message.width <= MAX_SIDE and 0 < message.height <= MAX_SIDE):
            raise BadInputError(f"frame is {message.width}x{message.height} px; both sides must be 64 to {MAX_SIDE} px")
        row = message.width * message.format
        if message.stride < row or (message.format == 2 and message.stride % 2):
            raise BadInputError(f"a stride of {message.stride} bytes for rows of {row}")
        size = message.stride * (message.height - 1) + row
        if size > self._slot_bytes:
            raise BadInputError(f"a frame of {size} bytes in a slot of {self._slot_bytes}")

    @staticmethod
    def _check(descriptor: int, hello: Hello) -> None:
        if not 3 <= hello.slots <= MAX_SLOTS:
            raise BadInputError(f"a ring of {hello.slots} slots; give 3 to {MAX_SLOTS}")
        if hello.slot_bytes % mmap.PAGESIZE or not 0 < hello.slot_bytes <= MAX_MEMORY:
            raise BadInputError(f"slots of {hello.slot_bytes} bytes; give whole pages, and at most 1 GiB")
        if hello.memory_bytes != hello.slots * hello.slot_bytes or hello.memory_bytes > MAX_MEMORY:
            raise BadInputError(f"a ring of {hello.memory_bytes} bytes; give slots times their size, and at most 1 GiB")
        if not is_sealed(descriptor):
            raise BadInputError("the ring is no sealed memory file; use the SDK's")
        size = os.fstat(descriptor).st_size
        if size != hello.memory_bytes:
            raise BadInputError(f"the ring has {size} bytes where {hello.memory_bytes} are said")


def _shaped(memory: mmap.mmap, start: int, message: FrameMessage) -> NDArray[np.uint8] | NDArray[np.uint16]:
    height, width, stride = message.height, message.width, message.stride
    if message.format == 1:
        return np.ndarray((height, width), np.uint8, memory, start, (stride, 1))
    if message.format == 2:
        return np.ndarray((height, width), np.uint16, memory, start, (stride, 2))
    return np.ndarray((height, width, 3), np.uint8, memory, start, (stride, 3, 1))
