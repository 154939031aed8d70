"""``igtl-client://``: connects, is lost, connects again."""

from __future__ import annotations

import socket
import threading
import time

import numpy as np
import pytest

from edge_cns.errors import BadInputError
from edge_cns.frames import EventKind, Frame, MachineEvent
from edge_cns.runtime.sinks.table import open_sink
from edge_cns.runtime.sources.table import open_source
from tests.firmware_bridge.igtl.client import WAIT, Client, until
from tests.firmware_bridge.igtl.material import grey, image_message


class Machine:
    """Listens, and sends to whoever connects."""

    def __init__(self, port: int = 0) -> None:
        self.listening = socket.create_server(("127.0.0.1", port))
        self.listening.settimeout(WAIT)
        self.port = self.listening.getsockname()[1]
        self.uri = f"igtl-client://127.0.0.1:{self.port}"

    def accept(self) -> Client:
        client = Client.__new__(Client)
        client.take(self.listening.accept()[0])
        client.socket.settimeout(WAIT)
        return client

    def close(self) -> None:
        self.listening.close()


@pytest.fixture
def machine():
    one = Machine()
    yield one
    one.close()


class Taken:
    def __init__(self, source) -> None:
        self.source, self.all = source, []
        self._thread = threading.Thread(target=self._take, daemon=True)
        self._thread.start()
        until(lambda: source.endpoint.floor.wants_images(10**6))

    def _take(self) -> None:
        for one in self.source:
            self.all.append(one)

    def said(self) -> list[str]:
        return [one.kind.value if isinstance(one, MachineEvent) else "frame" for one in list(self.all)]

    def close(self) -> None:
        self.source.close()
        self._thread.join(WAIT)


def test_a_machine_that_is_lost_comes_back_as_the_same_one(machine):
    taken = Taken(open_source(machine.uri, live=True))
    for i in range(3):
        with machine.accept() as client:
            client.send(image_message(grey(seed=i)))
            until(lambda: taken.said().count("frame") == i + 1)  # noqa: B023
    until(lambda: taken.said().count("disconnected") == 3)
    assert taken.said() == ["frame", "disconnected", "connected"] * 2 + ["frame", "disconnected"]
    frames = [one for one in taken.all if isinstance(one, Frame)]
    assert [frame.sequence for frame in frames] == [0, 1, 2]
    np.testing.assert_array_equal(frames[2].pixels, grey(seed=2))
    taken.close()


def test_a_machine_that_is_switched_off_is_tried_again(machine):
    taken = Taken(open_source(machine.uri, live=True))
    machine.accept().socket.close()
    machine.close()
    until(lambda: taken.said() == ["disconnected"])
    time.sleep(0.6)
    again = Machine(machine.port)
    with again.accept() as client:
        client.send(image_message(grey()))
        until(lambda: taken.said() == ["disconnected", "connected", "frame"])
        assert taken.all[1].kind is EventKind.CONNECTED
        taken.close()
        assert client.ended()
    again.close()


def test_nobody_there():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    for opened in (open_source, open_sink):
        with pytest.raises(BadInputError) as caught:
            opened(f"igtl-client://127.0.0.1:{port}")
        assert str(caught.value) == (
            f"igtl-client://127.0.0.1:{port} cannot be reached (connection refused); "
            "check the address, the cable and the server"
        )
    with pytest.raises(BadInputError, match="cannot be reached"):
        open_source(f"igtl-client://{'a' * 70}.invalid")


def test_closing_while_nobody_is_there(machine):
    taken = Taken(open_source(machine.uri, live=True))
    machine.accept().socket.close()
    machine.close()
    until(lambda: taken.said() == ["disconnected"])
    started = time.monotonic()
    taken.close()
    assert time.monotonic() - started < 1.5
