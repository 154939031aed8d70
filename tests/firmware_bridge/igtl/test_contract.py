"""What every source keeps, of both directions of OpenIGTLink."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading

import pytest

from tests.contracts.test_sources import (  # noqa: F401 - the tests, and the fixture that they take
    source,
    test_closing_before_it_is_looked_at,
    test_closing_from_another_thread_ends_it_at_once,
    test_closing_in_mid_iteration,
    test_order_times_and_pixels,
)
from tests.firmware_bridge.igtl.material import grey, image_message


class Cart(threading.Thread):
    """Sends images for ever at 60 a second, over whatever ``connect`` gives, again and again."""

    def __init__(self, connect) -> None:
        super().__init__(daemon=True)
        self._connect, self.ended = connect, threading.Event()

    def run(self) -> None:
        images = [image_message(grey(seed=i)) for i in range(4)]
        while not self.ended.wait(0.01):
            with contextlib.suppress(OSError), self._connect() as sock:
                for data in itertools.cycle(images):
                    if self.ended.wait(1 / 60):
                        return
                    sock.sendall(data)


@pytest.fixture(params=["igtl", "igtl-client"])
def uri(request):
    listening = socket.create_server(("127.0.0.1", 0))
    listening.settimeout(0.2)
    port = listening.getsockname()[1]
    if request.param == "igtl":
        listening.close()
        cart = Cart(lambda: socket.create_connection(("127.0.0.1", port), 1))
    else:
        cart = Cart(lambda: listening.accept()[0])
    cart.start()
    yield f"{request.param}://127.0.0.1:{port}"
    cart.ended.set()
    cart.join(5)
    listening.close()
