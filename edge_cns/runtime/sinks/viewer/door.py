"""Who may come in: on loopback who meant this machine, elsewhere who has the token.

Only GET is served. A page logs in by asking for ``/login`` with ``Authorization: Bearer TOKEN``, and gets a cookie that
no script can read and no other site can use; programs may send the header each time. The token is never part of an
address. The WebSocket takes commands, so its ``Origin`` must be the ``Host`` that was asked.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from edge_cns.extras import require
from edge_cns.runtime.sinks.address import Token
from edge_cns.runtime.sinks.web import local_host

if TYPE_CHECKING:
    from aiohttp import web
else:
    web = require("aiohttp.web", "live")

__all__ = ["LOGIN", "Door", "same_origin"]

LOGIN = "/login"
_COOKIE = "edge_cns_page"
_PAUSE_SECONDS = 0.5  # after a wrong token


class Door:
    """Turns away who may not come in.

    Args:
        token: or ``None`` on loopback.
        open_paths: what the login page itself needs.
        login_page: makes the page that asks for the token.
    """

    def __init__(self, token: Token | None, open_paths: frozenset[str], login_page: Callable[[], web.Response]) -> None:
        self._token, self._open_paths, self._login_page = token, open_paths, login_page
        self._pass = secrets.token_urlsafe(32)  # of this run: a restart logs everybody out

    def middleware(self) -> Any:
        """For the application, before everything else."""

        @web.middleware
        async def check(
            request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
        ) -> web.StreamResponse:
            if request.method != "GET":
                raise web.HTTPMethodNotAllowed(request.method, ["GET"])
            if self._token is None:
                if not local_host(request):
                    raise web.HTTPForbidden(text="ask for 127.0.0.1 or localhost\n")
                return await handler(request)
            if request.path == LOGIN:
                return await self._log_in(request, self._token)
            if request.path in self._open_paths or self._known(request, self._token):
                return await handler(request)
            if request.path == "/":
                return self._login_page()
            raise web.HTTPUnauthorized(text="log in first\n", headers={"WWW-Authenticate": "Bearer"})

        return check

    def _known(self, request: web.Request, token: Token) -> bool:
        cookie = request.cookies.get(_COOKIE, "").encode("utf-8", "surrogateescape")
        return hmac.compare_digest(cookie, self._pass.encode()) or _brings(request, token)

    async def _log_in(self, request: web.Request, token: Token) -> web.Response:
        if not _brings(request, token):
            await asyncio.sleep(_PAUSE_SECONDS)
            raise web.HTTPUnauthorized(text="that is not the token\n", headers={"WWW-Authenticate": "Bearer"})
        response = web.Response(status=204)
        secure = request.headers.get("X-Forwarded-Proto", "").lower() == "https"
        response.set_cookie(_COOKIE, self._pass, httponly=True, samesite="Strict", secure=secure, path="/")
        return response


def same_origin(request: web.Request) -> bool:
    """Whether a request was made by a page of this very server."""
    try:
        origin = urlsplit(request.headers.get("Origin", ""))
    except ValueError:
        return False
    host = request.headers.get("Host", "")
    return origin.scheme in ("http", "https") and host != "" and origin.netloc.casefold() == host.casefold()


def _brings(request: web.Request, token: Token) -> bool:
    return token.in_header(request.headers.get("Authorization", ""))
