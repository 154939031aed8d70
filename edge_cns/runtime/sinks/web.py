"""Serving: an aiohttp application in a thread of its own, with limits on what strangers can cost.

    thread = WebThread(make_app, bind(address))   # make_app() -> web.Application, called in the thread's loop
    thread.start()
    thread.call_soon(hub.publish, record)         # from any thread, never waits
    thread.close(0.5)

Put `guard(token)` first among the application's middlewares: it turns away who may not read. Every response gets
`SECURITY_HEADERS`; a handler's own header of the same name stays. `edge_cns.runtime.sinks.address` has the URI, the
socket and the token.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
import threading
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from edge_cns.errors import OperationError
from edge_cns.extras import require
from edge_cns.runtime.sinks.address import Token

if TYPE_CHECKING:
    from aiohttp import http_exceptions, web
else:
    web = require("aiohttp.web", "live")
    http_exceptions = require("aiohttp.http_exceptions", "live")

__all__ = ["SECURITY_HEADERS", "WebThread", "guard", "local_host"]

Handler = Callable[["web.Request"], Awaitable["web.StreamResponse"]]

SECURITY_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

_IDLE_SECONDS = 5.0  # a connection that asks for nothing, or sends its request byte by byte, is closed
_LARGEST_HEADER = 4096  # bytes of the request line and of one header
_START_SECONDS = 5.0

_log = logging.getLogger("edge_cns.web")
# What strangers send is no fault of ours, and they shall not write our log.
_log.addFilter(lambda line: not (line.exc_info and isinstance(line.exc_info[1], http_exceptions.HttpProcessingError)))


def guard(token: Token | None) -> Any:
    """A middleware that lets in who may read.

    With a token, requests bring ``Authorization: Bearer TOKEN``. Without one the server is on loopback, and requests
    must have meant it: a web page elsewhere can point a name of its own at 127.0.0.1, but the ``Host`` is then that
    name (DNS rebinding).
    """

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if token is None and not local_host(request):
            raise web.HTTPForbidden(text="ask for 127.0.0.1 or localhost\n")
        if token is not None and not token.in_header(request.headers.get("Authorization", "")):
            raise web.HTTPUnauthorized(text="a bearer token is needed\n", headers={"WWW-Authenticate": "Bearer"})
        return await handler(request)

    return check


def local_host(request: web.Request) -> bool:
    """Whether the request's ``Host`` is a loopback address or ``localhost``."""
    try:
        name = urlsplit(f"//{request.headers.get('Host', '')}").hostname or ""
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


class WebThread:
    """Serves an application until closed.

    Args:
        app_factory: makes the application, in the thread's event loop.
        listening: from `bind`; closed with the thread.
        name: of the thread.
        connections: more than these at once are closed unanswered.
        lifetime: seconds after which a connection is cut whatever it does; ``None`` lets streams run.
    """

    def __init__(
        self,
        app_factory: Callable[[], web.Application],
        listening: socket.socket,
        *,
        name: str = "web",
        connections: int = 32,
        lifetime: float | None = None,
    ) -> None:
        self._factory, self._socket = app_factory, listening
        self._connections, self._lifetime = connections, lifetime
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._ready = threading.Event()
        self._failed = ""
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._closed = False

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return int(self._socket.getsockname()[1])

    @property
    def url(self) -> str:
        """``http://HOST:PORT`` that is listened on."""
        host = self._socket.getsockname()[0]
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    def start(self) -> None:
        """Serve; returns when requests are answered.

        Raises:
            OperationError: the application cannot be made.
        """
        self._thread.start()
        if not self._ready.wait(_START_SECONDS):
            raise OperationError(f"the web server does not start within {_START_SECONDS:g} s")
        if self._failed:
            raise OperationError(f"the web server cannot start: {self._failed}")

    def call_soon(self, function: Callable[..., object], *arguments: object) -> None:
        """Have the loop call a function; from any thread, without waiting. Nothing happens once it is closed."""
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:  # the loop is closed: nobody is served any more
            return

    def close(self, timeout: float = 0.5) -> None:
        """Stop serving and free the port; connections are cut. Waits at most ``timeout`` s. May be called twice."""
        if self._closed:
            return
        self._closed = True
        if self._thread.ident is None:
            self._loop.close()
        else:
            self.call_soon(self._stop.set)
            self._thread.join(timeout)
        self._socket.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        except Exception as error:
            self._failed = f"{type(error).__name__}: {error}"
        finally:
            self._ready.set()
            self._loop.close()

    async def _serve(self) -> None:
        app = self._factory()
        app.on_response_prepare.append(_add_headers)
        runner = web.AppRunner(
            app,
            access_log=None,
            logger=_log,
            shutdown_timeout=0.1,
            keepalive_timeout=_IDLE_SECONDS,
            lingering_time=1.0,
            max_line_size=_LARGEST_HEADER,
            max_field_size=_LARGEST_HEADER,
        )
        await runner.setup()
        server = await self._loop.create_server(
            lambda: _Gate(runner, self._connections, self._lifetime), sock=self._socket
        )
        self._ready.set()
        try:
            await self._stop.wait()
        finally:
            server.close()
            await runner.cleanup()


async def _add_headers(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.popall("Server", None)
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)


class _Gate(asyncio.Protocol):
    """Stands before aiohttp's protocol: counts connections, and cuts those that outlive their time."""

    def __init__(self, runner: web.AppRunner, connections: int, lifetime: float | None) -> None:
        self._runner, self._connections, self._lifetime = runner, connections, lifetime

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        connection, server = cast(asyncio.Transport, transport), self._runner.server
        if server is None or len(server.connections) >= self._connections:
            connection.abort()
            return
        if self._lifetime is not None:
            asyncio.get_running_loop().call_later(self._lifetime, connection.abort)
        handler = server()
        connection.set_protocol(handler)
        handler.connection_made(connection)
