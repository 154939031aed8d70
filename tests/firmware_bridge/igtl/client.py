"""A plain peer: a socket, and what has come over it."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Callable

from edge_cns.frames import Frame, MachineEvent
from edge_cns.runtime.sources.table import open_source
from firmware_bridge.igtl.content import encode_string
from firmware_bridge.igtl.events import EVENT_NAME
from firmware_bridge.igtl.source import open_igtl
from firmware_bridge.igtl.wire import HEADER_SIZE, crc64, encode, parse_header

WAIT = 10.0


def until(true: Callable[[], object], seconds: float = WAIT) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.002)


def event(kind: str, value: str = "") -> bytes:
    return encode("STRING", EVENT_NAME, encode_string(json.dumps({"kind": kind, "value": value})))


class Client:
    """Connects; closed by the test."""

    def __init__(self, port: int) -> None:
        self.take(socket.create_connection(("127.0.0.1", port), WAIT))

    def take(self, sock: socket.socket) -> None:
        self.socket, self._came = sock, b""

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, *data: bytes) -> None:
        self.socket.sendall(b"".join(data))

    def receive(self) -> tuple[str, str, bytes, int]:
        """Type, device, content and header version of the next message; its checksum fits."""
        self._wait_for(HEADER_SIZE)
        header = parse_header(self._came[:HEADER_SIZE])
        self._wait_for(end := HEADER_SIZE + header.body_size)
        body, self._came = self._came[HEADER_SIZE:end], self._came[end:]
        assert header.crc == crc64(body)
        if header.version > 1:
            before, index, values, _ = struct.unpack_from(">HHII", body)
            body = body[before : len(body) - index - values]
        return header.type, header.device, body, header.version

    def ended(self) -> bool:
        """Whether the other side has closed, whatever it sent before."""
        try:
            while self.socket.recv(2**16):
                pass
        except ConnectionError:
            pass
        except TimeoutError:
            return False
        return True

    def _wait_for(self, size: int) -> None:
        """What came before a time-out stays for the next call."""
        while len(self._came) < size:
            piece = self.socket.recv(2**16)
            assert piece, "the other side closed"
            self._came += piece


class Watched:
    """A source, and what it has delivered."""

    def __init__(self, uri: str = "igtl://127.0.0.1:0") -> None:
        self.source = open_igtl(uri) if uri.startswith("igtl://") else open_source(uri, live=True)
        self.taken: list = []
        self._thread = threading.Thread(target=self._take, daemon=True)
        self._thread.start()
        until(lambda: self.source.endpoint.floor.wants_images(10**6))

    @property
    def port(self) -> int:
        return self.source.endpoint.port

    @property
    def counts(self):
        return self.source.endpoint.counts

    def _take(self) -> None:
        for one in self.source:
            self.taken.append(one)

    def frames(self) -> list[Frame]:
        return [one for one in list(self.taken) if isinstance(one, Frame)]

    def events(self) -> list[tuple[str, str]]:
        return [(one.kind.value, one.value) for one in list(self.taken) if isinstance(one, MachineEvent)]

    def close(self) -> None:
        self.source.close()
        self._thread.join(WAIT)
        assert not self._thread.is_alive()
