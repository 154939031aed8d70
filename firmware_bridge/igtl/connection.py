"""One peer: a thread reads what it sends, another sends what it is told, and neither waits for the other.

A peer that stops in the middle of a message, or that no longer answers its network, is given up after seconds. One that
does not read what it is told is not: many programs that send images never read. It loses the oldest.
"""

from __future__ import annotations

import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from firmware_bridge.igtl.letters import Letter
from firmware_bridge.igtl.reading import Message, Reader
from firmware_bridge.igtl.wire import FramingError

__all__ = ["Connection"]

_MESSAGE_SECONDS = 5.0  # for a message to come in, once it has begun; and for its length
_SLOWEST = 2**20  # bytes a second
_QUEUE = 8  # letters that wait for a peer
_SEND_BUFFER = 2**16  # bytes of the kernel's: what a peer has not fetched from there may be too old when it does
_LOOK_SECONDS = 1.0  # between two looks at whether the peer's computer still answers
_UNANSWERED = 5  # packets: the kernel has sent the same for about six seconds
_KEEPALIVE = ((socket.TCP_KEEPIDLE, 5), (socket.TCP_KEEPINTVL, 2), (socket.TCP_KEEPCNT, 3))  # s, s, packets
_RETRANSMITS, _PROBES = 2, 3  # bytes of the kernel's tcp_info


class Connection:
    """A connected peer.

    Args:
        sock: connected; the connection owns it.
        peer: address and port, for the log.
        number: counts up with each connection of its endpoint.
        wants_images: whether this peer's images are wanted now.
        heard: told each message, in the reading thread.

    Attributes:
        dropped: letters that the peer was too slow for.
        version: of the headers that it is sent: 1 until it has sent a later one.
    """

    def __init__(
        self,
        sock: socket.socket,
        peer: str,
        number: int,
        *,
        wants_images: Callable[[], bool],
        heard: Callable[[Connection, Message], None],
    ) -> None:
        self.peer, self.number = peer, number
        self.version, self.dropped = 1, 0
        self._socket, self._heard = sock, heard
        _prepare(sock)
        self._reader = Reader(_SocketStream(sock), wants_images)
        self._letters: deque[Letter] = deque()
        self._changed = threading.Condition()
        self._ending = self._gone = False
        self._why = ""
        self._writer = threading.Thread(target=self._write, name=f"igtl to {peer}", daemon=True)
        self._writer.start()

    def run(self) -> str:
        """Read until the connection ends, in the caller's thread.

        Returns:
            Why it ended, one line.
        """
        try:
            while (message := self._reader.read()) is not None:
                if message.header.version > 1:
                    self.version = 2
                self._heard(self, message)
            why = "the peer closed the connection"
        except FramingError as error:
            why = str(error)
        except OSError as error:
            why = error.strerror.lower() if error.strerror else str(error)
        except Exception as error:  # a peer may send anything, and none may end the listening
            why = f"reading failed ({type(error).__name__}: {error})"
        self.cut(why)
        self._writer.join()
        self._socket.close()
        return self._why

    def post(self, letter: Letter) -> None:
        """Send soon; never waits. If eight are waiting, the oldest is dropped."""
        with self._changed:
            if self._ending or self._gone:
                return
            if len(self._letters) == _QUEUE:
                self._letters.popleft()
                self.dropped += 1
            self._letters.append(letter)
            self._changed.notify()

    def end(self, last: Letter) -> None:
        """Send what is waiting and a last letter, then close. Returns at once; `join` waits."""
        self.post(last)
        with self._changed:
            self._ending = True
            self._changed.notify()

    def join(self, seconds: float) -> None:
        """Wait until what `end` wanted is sent, and cut what takes longer."""
        self._writer.join(max(0.0, seconds))
        self.cut("the session ended")

    def cut(self, why: str) -> None:
        """End the connection now, from any thread; the first reason is kept."""
        with self._changed:
            self._why = self._why or why
            self._gone = True
            self._changed.notify()
        with suppress(OSError):  # it may be gone already
            self._socket.shutdown(socket.SHUT_RDWR)

    def _write(self) -> None:
        """The writing thread."""
        try:
            while not self._gone:
                letter = self._take()
                if letter is not None:
                    self._send(letter.encoded(self.version))
                elif self._ending:
                    return
                self._look()
        except OSError as error:
            self.cut(error.strerror.lower() if error.strerror else str(error))

    def _take(self) -> Letter | None:
        with self._changed:
            self._changed.wait_for(lambda: self._letters or self._ending or self._gone, _LOOK_SECONDS)
            return self._letters.popleft() if self._letters else None

    def _send(self, data: bytes) -> None:
        rest = memoryview(data)
        writable = _poll(self._socket, select.POLLOUT)
        while rest and not self._gone:
            try:
                rest = rest[self._socket.send(rest) :]
            except BlockingIOError:
                if not writable.poll(_LOOK_SECONDS * 1000):
                    self._look()

    def _look(self) -> None:
        """Give up a peer whose computer, or cable, is gone: the kernel alone would try for a quarter of an hour."""
        counters = self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 8)
        if max(counters[_RETRANSMITS], counters[_PROBES]) >= _UNANSWERED:
            self.cut("the peer does not answer any more")


def _prepare(sock: socket.socket) -> None:
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _KEEPALIVE:
        sock.setsockopt(socket.IPPROTO_TCP, option, value)


def _poll(sock: socket.socket, events: int) -> select.poll:
    poll = select.poll()
    poll.register(sock, events)
    return poll


class _SocketStream:
    """A socket as `firmware_bridge.igtl.reading.Stream`: without a limit between messages, with one inside."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._readable = _poll(sock, select.POLLIN)
        self._deadline = 0.0

    def begin(self, view: memoryview) -> bool:
        """See `Stream.begin`. Once the first byte is there, the rest has to follow within seconds."""
        first = self._receive(view, None)
        if first == 0:
            return False
        self.expect(0)
        self.fill(view[first:])
        return True

    def expect(self, size: int) -> None:
        """See `Stream.expect`."""
        self._deadline = time.monotonic() + _MESSAGE_SECONDS + size / _SLOWEST

    def fill(self, view: memoryview) -> None:
        """See `Stream.fill`."""
        while view:
            received = self._receive(view, self._deadline)
            if received == 0:
                raise ConnectionError("the connection ended within a message")
            view = view[received:]

    def _receive(self, view: memoryview, deadline: float | None) -> int:
        """Some bytes; 0 at the end."""
        while True:
            try:
                return self._socket.recv_into(view)
            except BlockingIOError:
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and (left <= 0 or not self._readable.poll(1000 * left)):
                    raise TimeoutError("a message began and did not go on") from None
                if left is None:
                    self._readable.poll()
