"""The web application: the page's files, and ``/live`` behind the door."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from edge_cns.extras import require
from edge_cns.runtime.sinks.address import Token
from edge_cns.runtime.sinks.viewer.door import Door, same_origin
from edge_cns.runtime.sinks.viewer.hub import Hub
from edge_cns.runtime.sinks.viewer.watcher import LARGEST_MESSAGE

if TYPE_CHECKING:
    from aiohttp import web
else:
    web = require("aiohttp.web", "live")

__all__ = ["make_app"]

_STATIC = Path(__file__).with_name("static")
_PAGE, _LOGIN_PAGE = "page.html", "login.html"
_FOR_LOGIN = frozenset({"/login.js", "/theme.css", "/icon.svg"})
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_ALIVE_SECONDS = 10.0  # a page that does not answer a ping within half of it is gone
_LAST_WORDS_SECONDS = 0.1  # so that pages hear that the session has ended, and why
_SEND_BUFFER = 128 * 1024  # bytes: what waits in the kernel is late when it arrives


def make_app(hub: Hub, token: Token | None) -> web.Application:
    """The page of a hub.

    Args:
        hub: that ``/live`` watches.
        token: that has to be brought, or ``None`` on loopback.
    """
    files = {path.name: path.read_bytes() for path in _STATIC.iterdir() if path.suffix in _TYPES}
    door = Door(token, _FOR_LOGIN, lambda: _response(_LOGIN_PAGE, files[_LOGIN_PAGE], status=401))
    app = web.Application(middlewares=[door.middleware()], client_max_size=LARGEST_MESSAGE)
    for name, content in files.items():
        if name != _LOGIN_PAGE:
            app.router.add_get("/" if name == _PAGE else f"/{name}", _serve(name, content), allow_head=False)
    app.router.add_get("/live", _live(hub), allow_head=False)

    async def on_shutdown(_: web.Application) -> None:
        await asyncio.sleep(_LAST_WORDS_SECONDS)
        hub.dismiss()

    app.on_shutdown.append(on_shutdown)
    return app


def _response(name: str, content: bytes, status: int = 200) -> web.Response:
    return web.Response(
        status=status,
        body=content,
        content_type=_TYPES[Path(name).suffix],
        charset="utf-8",
        headers={"Content-Security-Policy": _POLICY},
    )


def _serve(name: str, content: bytes) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def serve(_: web.Request) -> web.StreamResponse:
        return _response(name, content)

    return serve


def _live(hub: Hub) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def live(request: web.Request) -> web.StreamResponse:
        if not same_origin(request):
            raise web.HTTPForbidden(text="only the page itself may watch\n")
        watched = web.WebSocketResponse(max_msg_size=LARGEST_MESSAGE, heartbeat=_ALIVE_SECONDS, compress=False)
        await watched.prepare(request)
        _keep_short(request)
        await hub.serve(watched, lambda: _cut(request))
        return watched

    return live


def _keep_short(request: web.Request) -> None:
    """Let little wait on the way to a slow page."""
    connection = request.transport.get_extra_info("socket") if request.transport else None
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)


def _cut(request: web.Request) -> None:
    """Break a connection at once, whether or not the page still reads."""
    if request.transport is not None:
        request.transport.abort()
