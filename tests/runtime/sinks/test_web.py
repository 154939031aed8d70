from __future__ import annotations

import asyncio
import http.client
import socket
import threading
import time
from contextlib import closing
from http.client import HTTPMessage
from typing import NamedTuple

import pytest

pytest.importorskip("aiohttp")

from aiohttp import web

from edge_cns.errors import OperationError
from edge_cns.runtime.sinks import web as module
from edge_cns.runtime.sinks.address import Token, WebUri, bind
from edge_cns.runtime.sinks.web import SECURITY_HEADERS, WebThread, guard

SECRET = "0123456789abcdef0123"


def listening() -> socket.socket:
    return bind(WebUri.parse("http://127.0.0.1:0", port=0))


def application(token: Token | None = None) -> web.Application:
    async def hello(_):
        return web.Response(text="hello", headers={"Cache-Control": "max-age=60"})

    async def wait(_):
        await asyncio.sleep(60)

    app = web.Application(middlewares=[guard(token)])
    app.router.add_get("/", hello)
    app.router.add_get("/wait", wait)
    return app


@pytest.fixture
def serve():
    running = []

    def start(**settings) -> WebThread:
        token = settings.pop("token", None)
        running.append(WebThread(lambda: application(token), listening(), **settings))
        running[-1].start()
        return running[-1]

    yield start
    for thread in running:
        thread.close()


class Answer(NamedTuple):
    status: int
    body: bytes
    headers: HTTPMessage


def get(port: int, path: str = "/", **headers: str) -> Answer:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request("GET", path, headers=headers)
        with connection.getresponse() as answer:
            return Answer(answer.status, answer.read(), answer.headers)


def ended(connection: socket.socket) -> bool:
    """Whether the other side has hung up, having said nothing more."""
    connection.settimeout(10)
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def test_it_serves_with_headers_and_stops(serve):
    thread = serve()
    answer = get(thread.port)
    assert (answer.status, answer.body) == (200, b"hello")
    for name, value in SECURITY_HEADERS.items():
        assert answer.headers[name] == ("max-age=60" if name == "Cache-Control" else value)
    assert "Server" not in answer.headers
    missing = get(thread.port, "/nothing")
    assert missing.status == 404
    assert missing.headers["X-Content-Type-Options"] == "nosniff"
    port = thread.port
    thread.close()
    thread.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:1", 200),
        ("127.0.0.1", 200),
        ("[::1]:80", 200),
        ("evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("", 403),
        ("[", 403),
        ("192.0.2.1", 403),
    ],
)
def test_a_page_elsewhere_cannot_read_loopback_by_a_name_of_its_own(serve, host, status):
    assert get(serve().port, Host=host).status == status


def test_with_a_token(serve):
    port = serve(token=Token(SECRET)).port
    turned_away = get(port)
    assert turned_away.status == 401
    assert turned_away.headers["WWW-Authenticate"] == "Bearer"
    assert get(port, Authorization="Bearer wrong").status == 401
    assert get(port, "/nothing").status == 401, "not even what exists is told"
    assert get(port, Authorization=f"Bearer {SECRET}", Host="machine.example").status == 200


def test_a_stream_does_not_hold_up_the_end(serve):
    thread = serve()
    address = ("127.0.0.1", thread.port)
    with socket.create_connection(address, timeout=10) as busy, socket.create_connection(address, timeout=10) as idle:
        busy.sendall(b"GET /wait HTTP/1.1\r\nHost: localhost\r\n\r\n")
        time.sleep(0.1)
        started = time.monotonic()
        thread.close(5)
        assert time.monotonic() - started < 3
        assert ended(busy)
        assert ended(idle)


def test_too_many_connections_are_cut(serve):
    thread = serve(connections=3)
    taken = [socket.create_connection(("127.0.0.1", thread.port), timeout=10) for _ in range(3)]
    time.sleep(0.2)
    with socket.create_connection(("127.0.0.1", thread.port), timeout=10) as fourth:
        assert ended(fourth)
    for connection in taken:
        connection.close()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            assert get(thread.port).status == 200, "there is room again"
            return
        except (ConnectionResetError, http.client.RemoteDisconnected):
            time.sleep(0.05)
    pytest.fail("no connection is taken any more")


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: local", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"])
def test_a_connection_has_an_end(serve, sent):
    with socket.create_connection(("127.0.0.1", serve(lifetime=0.3).port), timeout=10) as connection:
        connection.sendall(sent)
        received = b""
        try:
            while part := connection.recv(4096):
                received += part
        except ConnectionResetError:
            pass
    assert received.endswith(b"hello") == sent.endswith(b"\r\n\r\n")


def test_a_connection_that_asks_for_nothing_is_closed(serve, monkeypatch):
    """Without a lifetime, as streams need it, too."""
    monkeypatch.setattr(module, "_IDLE_SECONDS", 0.3)
    port = serve().port
    for sent in (b"", b"GET / HTTP/1.1\r\nHost: local"):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(sent)
            assert ended(connection)


def test_a_long_header_is_refused_and_not_logged(serve, caplog):
    port = serve().port
    assert get(port, Long="x" * 5000).status == 400
    assert get(port, "/" + "x" * 5000).status == 400
    assert get(port).status == 200
    assert caplog.records == [], "strangers do not write our log"


def test_calls_reach_the_loop_and_never_fail(serve):
    thread = serve()
    done = threading.Event()
    where = []
    thread.call_soon(lambda name: (where.append(name), where.append(threading.current_thread().name), done.set()), "x")
    assert done.wait(5)
    assert where == ["x", "web"]
    thread.close()
    thread.call_soon(done.clear)
    assert done.is_set()


def test_an_application_that_cannot_be_made():
    def broken() -> web.Application:
        raise ValueError("no page")

    thread = WebThread(broken, listening())
    with pytest.raises(OperationError, match="ValueError: no page"):
        thread.start()
    thread.close()


def test_one_that_never_ran_frees_its_port():
    claimed = listening()
    port = claimed.getsockname()[1]
    thread = WebThread(application, claimed)
    thread.close()
    with bind(WebUri.parse(f"http://:{port}", port=0)):
        pass
