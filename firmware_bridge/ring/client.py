"""The machine's side of the ring in Python: what the C SDK does, for programs and tests in Python.

with RingClient("cart", largest=(1080, 1920)) as machine:
    machine.say(EventCode.EXAM_START, "exam-1")
    machine.send(pixels)                       # False: no slot was free, and the frame is lost
    result = machine.result(timeout_s=0.1)     # ResultMessage, or None
"""

from __future__ import annotations

import mmap
import os
import secrets
import select
import socket
import time
from collections import deque
from contextlib import suppress
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from edge_cns.errors import BadInputError, OperationError
from edge_cns.runtime.sealed import sealed_memory
from firmware_bridge.ring.address import abstract_name, user_of
from firmware_bridge.ring.wire import (
    LARGEST,
    WANTS_HEAT_MAP,
    Event,
    EventCode,
    FrameMessage,
    Hello,
    Kind,
    Refused,
    Release,
    ResultMessage,
    Welcome,
    kind_of,
)

__all__ = ["RingClient"]

_HANDSHAKE_SECONDS = 5.0


class RingClient:
    """A machine, connected. One thread.

    Args:
        name: of the ring.
        largest: height and width of the largest frame, px.
        slots: of the ring.
        bytes_per_pixel: of the largest frame.
        heat_map: whether results shall carry one.
        instance: tells this machine from others; random unless given.

    Attributes:
        names: classes of the classifier.
        would_block: frames that were lost because no slot was free.

    Raises:
        BadInputError: nobody serves the ring, or the classifier refuses.
    """

    def __init__(
        self,
        name: str,
        *,
        largest: tuple[int, int] = (1080, 1920),
        slots: int = 8,
        bytes_per_pixel: int = 1,
        heat_map: bool = False,
        instance: int | None = None,
    ) -> None:
        size = largest[0] * largest[1] * bytes_per_pixel
        self._slot_bytes = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
        self._free = deque(range(slots))
        self._results: deque[ResultMessage] = deque(maxlen=4)
        self._sequence = self.would_block = 0
        self._channel = _connect(name)
        chosen = secrets.randbits(64) if instance is None else instance
        flags = WANTS_HEAT_MAP if heat_map else 0
        try:
            self._offer(Hello(chosen, self._slot_bytes * slots, self._slot_bytes, slots, flags, "python"))
            self.names = self._read_welcome()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> RingClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leave."""
        self._channel.close()

    def say(self, code: EventCode, value: str = "") -> None:
        """Say something beside the frames."""
        self._channel.sendall(Event(time.monotonic_ns(), code, 0, value).pack())

    def send(
        self,
        pixels: NDArray[np.uint8] | NDArray[np.uint16],
        captured_ns: int = 0,
        *,
        bits_stored: int = 0,
        region: tuple[int, int, int, int] = (0, 0, 0, 0),
        mm_per_pixel: tuple[float, float] = (0.0, 0.0),
    ) -> bool:
        """Hand a frame over; whether there was a free slot for it.

        Args:
            pixels: ``(H, W)`` uint8 or uint16, or ``(H, W, 3)`` uint8.
            captured_ns: ``CLOCK_MONOTONIC``; now, where it is 0.
            bits_stored, region, mm_per_pixel: as in ``edge_cns_frame``.

        Raises:
            BadInputError: it does not fit a slot.
            OperationError: the classifier is gone.
        """
        content = np.ascontiguousarray(pixels)
        if content.nbytes > self._slot_bytes:
            raise BadInputError(f"a frame of {content.nbytes} bytes in slots of {self._slot_bytes}")
        self.drain()
        sequence, self._sequence = self._sequence, self._sequence + 1
        if not self._free:
            self.would_block += 1
            return False
        slot = self._free.popleft()
        start = slot * self._slot_bytes
        self._map[start : start + content.nbytes] = content.tobytes()
        height, width = content.shape[:2]
        row = content.nbytes // height
        message = FrameMessage(
            sequence,
            captured_ns or time.monotonic_ns(),
            slot,
            row // width,
            width,
            height,
            row,
            bits_stored,
            region,
            mm_per_pixel,
            self.would_block,
        )
        try:
            self._channel.send(message.pack(), socket.MSG_NOSIGNAL)
        except OSError:
            raise OperationError("the classifier is gone") from None
        return True

    def result(self, timeout_s: float = 0.0) -> ResultMessage | None:
        """The oldest result that waits, or ``None`` when the time ran out.

        Raises:
            OperationError: the classifier is gone.
        """
        until = time.monotonic() + timeout_s
        while True:
            self.drain()
            if self._results:
                return self._results.popleft()
            left = until - time.monotonic()
            if left <= 0:
                return None
            self._wait(left)

    def drain(self) -> None:
        """Take in what has come: results, and slots that are free again.

        Raises:
            OperationError: the classifier is gone, or says what this version does not know.
        """
        while True:
            try:
                message = self._channel.recv(LARGEST, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except OSError:
                message = b""
            if not message:
                raise OperationError("the classifier is gone")
            if kind_of(message) == Kind.RELEASE:
                self._free.append(Release.unpack(message).slot)
            elif kind_of(message) == Kind.RESULT:
                self._results.append(ResultMessage.unpack(message))
            else:
                raise OperationError(f"the classifier sent a message of type {kind_of(message)}")

    @property
    def free_slots(self) -> int:
        """Slots that may be written to."""
        return len(self._free)

    def _offer(self, hello: Hello) -> None:
        memory = sealed_memory("ring", hello.memory_bytes)
        try:
            self._map = mmap.mmap(memory, hello.memory_bytes)
            with suppress(BrokenPipeError):  # who hung up may have said why
                socket.send_fds(self._channel, [hello.pack()], [memory])
        finally:
            os.close(memory)

    def _wait(self, seconds: float) -> bool:
        poll = select.poll()
        poll.register(self._channel, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def _read_welcome(self) -> tuple[str, ...]:
        if not self._wait(_HANDSHAKE_SECONDS):
            raise BadInputError(f"the classifier did not answer within {_HANDSHAKE_SECONDS:g} s")
        try:
            message = self._channel.recv(LARGEST)
        except ConnectionError:
            message = b""
        if message and kind_of(message) == Kind.REFUSED:
            raise BadInputError(Refused.unpack(message).text)
        if not message:
            raise BadInputError("the classifier hung up")
        return Welcome.unpack(message).names


def _connect(name: str) -> socket.socket:
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        channel.connect(abstract_name(name))
    except OSError as error:
        channel.close()
        raise BadInputError(f"nobody serves ring://{name} ({error.strerror}); start edge-cns run with it") from None
    if user_of(channel) not in (0, os.geteuid()):
        channel.close()
        raise BadInputError(f"ring://{name} is served by another user")
    return channel
