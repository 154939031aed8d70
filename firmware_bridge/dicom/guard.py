"""Limits of one connection, kept below the DICOM library: it would read a PDU of 4 GB, and wait for it for ever."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import NoReturn

__all__ = ["Guard", "RefusedError"]

_HEAD = 6  # bytes: type, reserved, length (PS3.8 section 9.3)
_ABORT = bytes((7, 0, 0, 0, 0, 4, 0, 0, 2, 6))  # A-ABORT by the service provider: invalid parameter (PS3.8 9.3.8)
_ABORT_SECONDS = 0.1  # a peer that does not read is not waited for
_GREETING_SECONDS = 5.0  # until the association is answered


@cache
def _always_readable() -> int:
    """A descriptor that `select` always finds readable; one for the whole process."""
    return os.eventfd(1, os.EFD_CLOEXEC)


class RefusedError(OSError):
    """The connection broke a limit, and is closed."""


class Guard:
    """A connected socket as far as pynetdicom uses one, with limits on what comes.

    Args:
        connection: the socket.
        most_pdu: bytes of one PDU.
        most_bytes: from one answer of ours to the next: one request and its object.
        idle: seconds that a read may wait.
        total: seconds from now on.
        refused: told when a limit is broken, in words without anything of the peer's.
    """

    def __init__(
        self,
        connection: socket.socket,
        *,
        most_pdu: int,
        most_bytes: int,
        idle: float,
        total: float,
        refused: Callable[[str], None] = lambda why: None,
    ) -> None:
        self._connection = connection
        self._most_pdu, self._most_bytes = most_pdu, most_bytes
        self._idle, self._refused = idle, refused
        self._began = time.monotonic()
        self._until = self._began + total
        self._answered = False
        self._head = bytearray()
        self._left = self._since_answer = 0
        # TLS may have decrypted more than was read; select() sees only the socket, and is shown something readable then
        self._pending: Callable[[], int] = getattr(connection, "pending", int)

    def recv(self, size: int) -> bytes:
        """Read at most ``size`` bytes.

        Raises:
            RefusedError: a limit is broken.
            OSError: the connection is gone.
        """
        until = self._until if self._answered else min(self._until, self._began + _GREETING_SECONDS)
        left = until - time.monotonic()
        if left <= 0:
            self._refuse("it has lasted too long")
        self._connection.settimeout(min(left, self._idle))
        try:
            data = self._connection.recv(size)
        except TimeoutError:
            self._refuse("it stopped in the middle of a message")
        self._look_at(data)
        return data

    def send(self, data: bytes) -> int:
        """Send some of ``data``; how much. What the peer may send begins to count anew."""
        self._answered, self._since_answer = True, 0
        self._connection.settimeout(self._idle)
        return self._connection.send(data)

    def fileno(self) -> int:
        """Something that can be read while the connection can."""
        return _always_readable() if self._pending() else self._connection.fileno()

    def shutdown(self, how: int) -> None:
        """See `socket.socket.shutdown`; one that the peer has closed needs none, and is closed afterwards."""
        with suppress(OSError):
            self._connection.shutdown(how)

    def close(self) -> None:
        """See `socket.socket.close`."""
        self._connection.close()

    def abort(self) -> None:
        """Tell the peer that this is the end, and end it. From any thread."""
        with suppress(OSError):
            self._connection.settimeout(_ABORT_SECONDS)
            self._connection.sendall(_ABORT)
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)

    def _look_at(self, data: bytes) -> None:
        self._since_answer += len(data)
        if self._since_answer > self._most_bytes:
            self._refuse("an object is larger than max_mb allows")
        view = memoryview(data)
        while view:
            if self._left:
                taken = min(self._left, len(view))
                self._left -= taken
            else:
                taken = min(_HEAD - len(self._head), len(view))
                self._head += view[:taken]
                if len(self._head) == _HEAD:
                    self._left = int.from_bytes(self._head[2:], "big")
                    self._head.clear()
                    if self._left > self._most_pdu:
                        self._refuse("a message is larger than was agreed")
            view = view[taken:]

    def _refuse(self, why: str) -> NoReturn:
        self._refused(why)
        self.abort()
        raise RefusedError(why)
