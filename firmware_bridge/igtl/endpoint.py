"""All peers of one URI: what they send goes to the floor, what is said goes to each of them."""

from __future__ import annotations

import itertools
import logging
import socket
import threading
import time
from collections import Counter

from edge_cns.errors import BadInputError, UnsupportedError
from edge_cns.frames import EventKind, Frame, MachineEvent, UnusableFrame
from edge_cns.runtime import log
from firmware_bridge.igtl.address import Address
from firmware_bridge.igtl.connection import Connection
from firmware_bridge.igtl.content import DeviceStatus, decode_string
from firmware_bridge.igtl.events import EVENT_NAME, parse_event
from firmware_bridge.igtl.floor import Floor
from firmware_bridge.igtl.letters import LEAVING, NO_VERDICT, Letter, answer
from firmware_bridge.igtl.reading import Message
from firmware_bridge.igtl.wire import crc64

__all__ = ["Endpoint"]

_LEAVE_SECONDS = 0.2  # for the last letter
_QUIET_SECONDS = 10.0  # between two lines of the log about the same thing


class Endpoint:
    """What listener and connector share. Messages are handled in the threads of their connections.

    Args:
        address: read from the URI.
        floor: where frames and events go; ``None`` for a sink alone, which takes no images.

    Raises:
        MissingExtraError: the library for checksums is not installed.

    Attributes:
        counts: so far: ``messages``, ``images``, ``damaged``, ``unusable``, ``events``, ``refused`` connections,
            ``dropped`` letters of connections that have ended.
    """

    def __init__(self, address: Address, floor: Floor | None) -> None:
        crc64(b"")  # its library is missed now rather than when the first message comes
        self.address, self.floor = address, floor
        self._status, self._status_ends_ns = DeviceStatus(0, "", ""), 0
        self.counts: Counter[str] = Counter()
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._connections: list[Connection] = []
        self._numbers = itertools.count(1)
        self._said_at: dict[str, float] = {}

    @property
    def peers(self) -> int:
        """How many are connected."""
        return len(self._connections)

    @property
    def status(self) -> DeviceStatus:
        """What GET_STATUS is answered with."""
        return self._status if time.monotonic_ns() < self._status_ends_ns else NO_VERDICT

    def show(self, status: DeviceStatus, expires_ns: int) -> None:
        """Set `status`, until it expires."""
        self._status_ends_ns = 0  # the old one ends first: another thread reads them
        self._status, self._status_ends_ns = status, expires_ns

    def post(self, letter: Letter) -> None:
        """Tell every peer. Never waits."""
        for connection in list(self._connections):
            connection.post(letter)

    def close(self) -> None:
        """Say that the session ends, and close all connections. From any thread; may be called twice."""
        self._closed.set()
        if self.floor is not None:
            self.floor.close()
        self._stop_waiting()
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            connection.end(LEAVING)
        deadline = time.monotonic() + _LEAVE_SECONDS
        for connection in connections:
            connection.join(deadline - time.monotonic())

    def _stop_waiting(self) -> None:
        """End the wait for peers."""

    def _open(self, sock: socket.socket, peer: str, number: int) -> Connection:
        """Take a peer in.

        Raises:
            OSError: it is gone again.
        """
        try:
            connection = Connection(
                sock, peer, number, wants_images=lambda: self._wants_images(number), heard=self._hear
            )
        except OSError:
            sock.close()
            raise
        with self._lock:
            self._connections.append(connection)
        if self._closed.is_set():  # `close` may have looked before
            connection.cut("the session ended")
        log.say("igtl_connected", peer)
        return connection

    def _serve(self, connection: Connection) -> None:
        """Read from a peer, to the end."""
        why = connection.run()
        with self._lock:
            self._connections.remove(connection)
        self._add("dropped", connection.dropped)
        log.say("igtl_disconnected", f"{connection.peer}: {why}")
        if self.floor is not None:
            self.floor.leave(connection.number, why)

    def _wants_images(self, number: int) -> bool:
        return self.floor is not None and self.floor.wants_images(number)

    # what a peer sends

    def _hear(self, connection: Connection, message: Message) -> None:
        arrived_ns = time.monotonic_ns()
        self._add("messages")
        self._add("damaged", not message.sound)
        reply = answer(message.header, self.status) if message.sound else None
        if reply is not None:
            connection.post(reply)
        if self.floor is None:
            return
        self._hear_event(self.floor, connection, message, arrived_ns)
        if message.header.type == "IMAGE" and (message.picture is not None or message.fault):
            self._hear_image(self.floor, connection, message, arrived_ns)

    def _hear_image(self, floor: Floor, connection: Connection, message: Message, arrived_ns: int) -> None:
        if not message.sound and not floor.has(connection.number):
            return  # damaged by whomever: no reason to hear this peer instead of another
        delivery: Frame | UnusableFrame
        if message.picture is None:
            delivery = UnusableFrame(message.fault, arrived_ns, 0)
        else:
            delivery = self._frame(message, arrived_ns)
        self._add("unusable" if isinstance(delivery, UnusableFrame) else "images")
        if not floor.say(connection.number, delivery) and not self._closed.is_set():
            self._say_seldom("igtl_ignored", f"images of {connection.peer}: a later client sends images")

    def _frame(self, message: Message, arrived_ns: int) -> Frame | UnusableFrame:
        """The sender's time stamp is not used: its clock is another one, or the stamp is not set."""
        picture = message.picture
        assert picture is not None
        bits = picture.bits_stored
        if picture.pixels.dtype.itemsize == 2:  # what the URI says is known better than the type tells
            bits = self.address.bits or bits
        try:
            return Frame(picture.pixels, arrived_ns, 0, picture.mm_per_pixel, bits_stored=bits)
        except BadInputError as error:
            return UnusableFrame(str(error), arrived_ns, 0)

    def _hear_event(self, floor: Floor, connection: Connection, message: Message, at_ns: int) -> None:
        """An event that cannot be read may have been another exam: then evidence begins anew."""
        spoken = message.header.type == "STRING" and message.header.device == EVENT_NAME
        try:
            if message.lost_metadata or (spoken and message.fault):
                raise BadInputError(message.fault)
            if spoken:
                kind, value = parse_event(decode_string(message.content))
            elif EVENT_NAME in message.metadata:
                kind, value = parse_event(message.metadata[EVENT_NAME])
            else:
                return
        except UnsupportedError as error:
            self._say_seldom("igtl_event", f"{connection.peer}: {error}")
            return
        except BadInputError as error:
            if not floor.has(connection.number):
                return
            self._say_seldom("igtl_event", f"{connection.peer}: {error}; evidence begins anew")
            kind, value = EventKind.EXAM, ""
        self._add("events")
        floor.say(connection.number, MachineEvent(kind, at_ns, value))

    # what is counted and said

    def _add(self, name: str, count: int = 1) -> None:
        with self._lock:
            self.counts[name] += count

    def _say_seldom(self, event: str, detail: str) -> None:
        """Log what a peer could bring about a thousand times a second."""
        now = time.monotonic()
        if now - self._said_at.get(event, -_QUIET_SECONDS) >= _QUIET_SECONDS:
            self._said_at[event] = now
            log.say(event, detail, level=logging.WARNING)
