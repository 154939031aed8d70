"""A download is whole and in time, or an `OSError`."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from edge_cns.training.download import download


@contextmanager
def answering(*parts: bytes, wait: threading.Event | None = None) -> Iterator[str]:
    """A server that sends ``parts`` to its one visitor, waits for ``wait`` before the last, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            visitor, _ = listening.accept()
            with visitor:
                visitor.recv(4096)
                for number, part in enumerate(parts, start=1):
                    if wait is not None and number == len(parts):
                        wait.wait(10)
                    try:
                        visitor.sendall(part)
                    except OSError:
                        return

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/weights.h5"
        finally:
            if wait is not None:
                wait.set()
            thread.join()


def test_a_whole_answer_is_returned() -> None:
    body = bytes(range(256)) * 1000
    with answering(b"HTTP/1.0 200 OK\r\nContent-Length: 256000\r\n\r\n", body) as url:
        assert download(url, seconds=10, max_bytes=256_000) == body


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (b"HTTP/1.0 200 OK\r\nContent-Length: 20\r\n\r\n", "cut short: 10 of 20 bytes"),
        (b"HTTP/1.0 200 OK\r\n\r\n12345", "larger than 12 bytes"),
        (b"HTTP/1.0 503 Busy\r\n\r\n", "503"),
        (b"nonsense\r\n\r\n", "BadStatusLine"),
    ],
    ids=["cut", "large", "status", "nonsense"],
)
def test_any_other_answer_is_an_os_error(head: bytes, reason: str) -> None:
    with answering(head, b"0123456789") as url, pytest.raises(OSError, match=reason):
        download(url, seconds=10, max_bytes=12)


def test_a_server_that_stops_in_the_middle_is_given_up() -> None:
    waiting = threading.Event()
    with (
        answering(b"HTTP/1.0 200 OK\r\nContent-Length: 20\r\n\r\n0123456789", b"0123456789", wait=waiting) as url,
        pytest.raises(TimeoutError),
    ):
        download(url, seconds=0.2, max_bytes=100)


def test_an_address_that_cannot_be_reached_is_an_os_error() -> None:
    with pytest.raises(OSError, match="refused"):
        download("http://127.0.0.1:9/weights.h5", seconds=10, max_bytes=1)
