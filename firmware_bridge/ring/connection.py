"""One machine at the other end of the socket: what it sends, and what is sent to it from any thread."""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

from edge_cns.errors import BadInputError
from edge_cns.frames import Delivery, EventKind, Frame, MachineEvent, Region, UnusableFrame
from firmware_bridge.ring.memory import RingMemory
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
    Welcome,
    kind_of,
)

__all__ = ["Connection", "refuse"]

_HELLO_SECONDS = 2.0
_LARGEST_MM = 100.0  # per pixel
_KINDS = {
    EventCode.EXAM_START: EventKind.EXAM,
    EventCode.EXAM_END: EventKind.EXAM_END,
    EventCode.FETUS: EventKind.FETUS,
    EventCode.FREEZE: EventKind.FREEZE,
    EventCode.UNFREEZE: EventKind.LIVE,
    EventCode.CINE: EventKind.CINE,
    EventCode.PROBE: EventKind.PROBE,
    EventCode.PRESET: EventKind.PRESET,
    EventCode.DEPTH: EventKind.DEPTH,
    EventCode.MODE: EventKind.MODE,
    EventCode.ORIENTATION: EventKind.ORIENTATION,
    EventCode.GESTATIONAL_AGE: EventKind.GESTATIONAL_AGE,
}


def refuse(connection: socket.socket, why: str) -> None:
    """Send a machine away with a reason."""
    with suppress(OSError):
        connection.send(Refused(why).pack(), socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        connection.shutdown(socket.SHUT_RD)
        while connection.recv(LARGEST, socket.MSG_DONTWAIT):
            continue  # closed with something unread, the kernel would tell of an error in place of the reason
    connection.close()


class Connection:
    """A machine that was let in.

    Args:
        channel: connected socket, non-blocking; it is closed with the connection.

    Attributes:
        hello: what the machine said first.
        would_block: frames that the machine could not hand over, as it counts them.

    Raises:
        BadInputError: it does not say hello in time, or offers no usable ring.
        ConnectionError: it left.
    """

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(channel, select.POLLIN)
        self._poll.register(self._wake, select.POLLIN)
        self._unsent: deque[int] = deque()
        self._closed = threading.Event()
        self.would_block = 0
        try:
            self.hello, descriptor = self._read_hello()
            try:
                self._memory = RingMemory(descriptor, self.hello, self._release)
            finally:
                os.close(descriptor)
        except BaseException:
            os.close(self._wake)
            raise

    @property
    def wants_heat_map(self) -> bool:
        """Whether results shall carry one."""
        return bool(self.hello.flags & WANTS_HEAT_MAP)

    def welcome(self, names: tuple[str, ...], model_sha256: bytes) -> None:
        """Let it in; from here on frames come."""
        self.send(Welcome(names, model_sha256).pack())

    def send(self, message: bytes) -> bool:
        """Send, from any thread, without waiting; whether it went out."""
        try:
            self._channel.send(message, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        except OSError:  # full, or gone: the one who receives notices
            return False
        return True

    def wait(self, others: Sequence[int]) -> set[int]:
        """Until something can be received, or one of other descriptors is readable; which of them are.

        Nothing is said of the others while there is something to receive: it comes first, and may be the machine's end.
        """
        poll = self._poll
        if self._unsent:
            poll.modify(self._channel, select.POLLIN | select.POLLOUT)
        for descriptor in others:
            poll.register(descriptor, select.POLLIN)
        ready = {descriptor for descriptor, _ in poll.poll()}
        if self._wake in ready or self._unsent:
            with suppress(BlockingIOError):
                os.eventfd_read(self._wake)
            self._send_releases()
            poll.modify(self._channel, select.POLLIN)
        return set() if self._channel.fileno() in ready else ready.intersection(others)

    def receive(self) -> Delivery | None:
        """The next thing that came; ``None`` when nothing is there now.

        Raises:
            BadInputError: something that no machine may send: the connection is of no use any more.
            ConnectionError: the machine is gone.
        """
        try:
            message = self._channel.recv(LARGEST, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None
        if not message:
            raise ConnectionResetError
        kind = kind_of(message)
        if kind == Kind.FRAME:
            return self._frame(FrameMessage.unpack(message))
        if kind == Kind.EVENT:
            return _event(Event.unpack(message))
        raise BadInputError(f"a message of type {kind}, which no machine sends")

    def close(self) -> None:
        """Hang up. Frames of it that somebody still looks at stay as they are."""
        if not self._closed.is_set():
            self._closed.set()
            self._channel.close()
            os.close(self._wake)
            del self._memory  # it knows this connection, and would not go before the next garbage collection

    def _read_hello(self) -> tuple[Hello, int]:
        poll = select.poll()
        poll.register(self._channel, select.POLLIN)
        until = time.monotonic() + _HELLO_SECONDS
        while not poll.poll(max(0.0, until - time.monotonic()) * 1000):
            if time.monotonic() >= until:
                raise BadInputError(f"it said no hello within {_HELLO_SECONDS:g} s")
        message, descriptors, _, _ = socket.recv_fds(self._channel, LARGEST, 1)
        try:
            if not message:
                raise ConnectionResetError
            hello = Hello.unpack(message)
            if len(descriptors) != 1:
                raise BadInputError("no ring came with its hello")
        except BaseException:
            for descriptor in descriptors:
                os.close(descriptor)
            raise
        return hello, descriptors[0]

    def _frame(self, message: FrameMessage) -> Delivery:
        self.would_block = message.would_block
        pixels = self._memory.frame_pixels(message)
        x, y, width, height = message.region
        mm = message.mm_per_pixel
        try:
            return Frame(
                pixels,
                message.captured_ns,
                message.sequence,
                mm_per_pixel=mm if all(0 < side <= _LARGEST_MM for side in mm) else None,
                region=Region(x, y, width, height) if width else None,
                bits_stored=(message.bits_stored or None) if message.format == 2 else None,
            )
        except BadInputError as error:
            return UnusableFrame(str(error), message.captured_ns, message.sequence)

    def _release(self, slot: int) -> None:
        """Tell the machine that a slot is its own again; from any thread, at any moment."""
        if self._closed.is_set():
            return
        if not self.send(Release(slot).pack()):
            self._unsent.append(slot)
            with suppress(OSError):
                os.eventfd_write(self._wake, 1)

    def _send_releases(self) -> None:
        while self._unsent:
            slot = self._unsent.popleft()
            if not self.send(Release(slot).pack()):
                self._unsent.appendleft(slot)
                return


def _event(message: Event) -> MachineEvent:
    try:
        kind = _KINDS[EventCode(message.code)]
    except ValueError:
        raise BadInputError(f"an event of kind {message.code}, which there is not") from None
    return MachineEvent(kind, message.at_ns, message.value)
