"""``ring://NAME``: frames of a machine on the same computer, in shared memory, and verdicts back to it."""

from __future__ import annotations

import os
import select
import socket
import threading
from collections.abc import Generator, Iterator

from edge_cns.errors import BadInputError
from edge_cns.frames import Delivery, EventKind, MachineEvent
from edge_cns.runtime import log
from edge_cns.runtime.uri import one_line
from firmware_bridge.ring.address import RingUri, listen, user_of
from firmware_bridge.ring.connection import Connection, refuse
from firmware_bridge.ring.reply import RingReply

__all__ = ["RingSource", "open_ring"]

_READY_SECONDS = 4.0  # for the runtime to say which classes it knows; a machine waits 5


def open_ring(uri: str, *, live: bool = True) -> RingSource:
    """Serve ``ring://NAME``, or ``ring://NAME?uid=N`` for machines of another user.

    Raises:
        BadInputError: no such name, or another process serves it.
    """
    return RingSource(RingUri(uri))


class RingSource:
    """One machine at a time; when it is gone, the next one may come.

    A machine that comes back under the same roof (the same process, after the classifier was started again) goes on
    with its exam. Any other one begins another: nothing is known of whom it looks at.

    Args:
        uri: read.

    Attributes:
        reply: sends the verdicts back.
    """

    def __init__(self, uri: RingUri) -> None:
        self._uri = uri
        self._listening = listen(uri)
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._closed = threading.Event()
        self._instance: int | None = None
        self.reply = RingReply()

    def __iter__(self) -> Iterator[Delivery]:
        """Yield what machines send, until closed."""
        yield MachineEvent.now(EventKind.DISCONNECTED, "waiting for a machine")
        while (connection := self._next_machine()) is not None:
            if connection.hello.instance != self._instance:
                yield MachineEvent.now(EventKind.EXAM)
            self._instance = connection.hello.instance
            yield MachineEvent.now(EventKind.CONNECTED, one_line(connection.hello.name))
            why = yield from self._receive(connection)
            self.reply.leave(connection)
            connection.close()
            if self._closed.is_set():
                return
            yield MachineEvent.now(EventKind.DISCONNECTED, why)

    def close(self) -> None:
        """Serve nobody any more, and end the iteration."""
        if not self._closed.is_set():
            self._closed.set()
            os.eventfd_write(self._wake, 1)
            self._listening.close()

    def _receive(self, connection: Connection) -> Generator[Delivery, None, str]:
        """Yield what one machine sends; returns why there is no more."""
        while not self._closed.is_set():
            try:
                delivery = connection.receive()
            except ConnectionError:
                return "the machine is gone"
            except BadInputError as error:
                log.say("ring", f"a machine was sent away: {error}")
                return f"the machine was sent away: {error}"
            if delivery is not None:
                yield delivery
                delivery = None  # or its slot would be held until the next frame is there
            else:
                self._wait(connection)
        return "closed"

    def _wait(self, connection: Connection) -> None:
        """Until something comes, or it is time to end. Others who come meanwhile are sent away."""
        door = self._listening.fileno()
        if door >= 0 and door in connection.wait((self._wake, door)) and (stranger := self._accept()) is not None:
            refuse(stranger, "another machine is connected")

    def _next_machine(self) -> Connection | None:
        while not self._closed.is_set():
            channel = self._accept()
            if channel is None:
                self._wait_for_a_machine()
                continue
            connection = self._let_in(channel)
            if connection is not None:
                return connection
        return None

    def _wait_for_a_machine(self) -> None:
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        if (door := self._listening.fileno()) >= 0:  # or it was closed meanwhile
            poll.register(door, select.POLLIN)
        poll.poll()

    def _accept(self) -> socket.socket | None:
        """Somebody who has come and may come in, if anybody has."""
        try:
            channel, _ = self._listening.accept()
        except OSError:  # nobody there, or closed
            return None
        channel.setblocking(False)
        if user_of(channel) in self._uri.users:
            return channel
        refuse(
            channel, f"user {user_of(channel)} may not use {self._uri.text}; start edge-cns with {self._uri.text}?uid=N"
        )
        return None

    def _let_in(self, channel: socket.socket) -> Connection | None:
        try:
            connection = Connection(channel)
        except BadInputError as error:
            log.say("ring", f"a machine was refused: {error}")
            refuse(channel, str(error))
            return None
        except ConnectionError:
            channel.close()
            return None
        if not self.reply.join(connection, _READY_SECONDS):
            refuse(channel, "the classifier is not ready")
            return None
        return connection
