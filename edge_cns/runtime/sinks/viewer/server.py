"""The page as a sink: ``http://127.0.0.1:8080``.

Beside this file, `messages` and `picture` say what is sent, `watcher` how, and what a page may ask; `discreet` says
what a page is not told that the patient can see.
"""

from __future__ import annotations

import asyncio
import socket
import time
from typing import TYPE_CHECKING

from edge_cns.runtime.sinks.address import Token, WebUri, bind
from edge_cns.runtime.sinks.base import Record, RecordType, Session
from edge_cns.runtime.sinks.viewer.hub import Hub
from edge_cns.runtime.sinks.viewer.picture import Picture, take_picture
from edge_cns.runtime.sinks.viewer.site import make_app
from edge_cns.runtime.sinks.web import WebThread

if TYPE_CHECKING:
    from aiohttp import web

__all__ = ["PageSink", "open_viewer"]

_PORT = 8080
_PICTURE_SECONDS = 1 / 30
_EARLY_SECONDS = 0.005  # a source of 30 fps is never quite on time
_CONNECTIONS = 64


def open_viewer(uri: str) -> PageSink:
    """Open ``http://HOST:PORT[?token_file=FILE]``: claim the port.

    Raises:
        BadInputError: the URI cannot be read, the port is taken, or an address that others can reach has no token.
        MissingExtraError: aiohttp is not installed.
    """
    address = WebUri.parse(uri, port=_PORT)
    token = Token.from_uri(address)
    return PageSink(bind(address), token)


class PageSink:
    """Serves the page.

    Args:
        listening: the socket, claimed.
        token: or ``None`` on loopback.
    """

    lossless = False

    def __init__(self, listening: socket.socket, token: Token | None) -> None:
        self._token = token
        self._thread = WebThread(self._make_app, listening, name="page", connections=_CONNECTIONS)
        self._hub: Hub | None = None
        self._session: Session | None = None
        self._newest: Record | None = None
        self._due = 0.0

    @property
    def port(self) -> int:
        """That the page is on."""
        return self._thread.port

    @property
    def address(self) -> str:
        """For a browser."""
        return f"{self._thread.url}/"

    def start(self, session: Session) -> None:
        """Serve.

        Raises:
            OperationError: the server does not start.
        """
        self._session = session
        self._hub = Hub(session, self._picture_for_a_new_page)
        self._thread.start()

    def write(self, record: Record) -> None:
        """Hand a record to the server; never waits for a page. A picture is made only if somebody watches."""
        hub = self._hub
        if hub is None:
            return
        picture = None
        if record.type is RecordType.VERDICT and record.frame is not None:
            self._newest = record
            if hub.count and self._is_due():
                picture = self._take(record)
        self._thread.call_soon(hub.publish, record.type, record.value, picture)

    def close(self) -> None:
        """Stop serving; pages say *no signal*."""
        self._thread.close()

    def _is_due(self) -> bool:
        """Whether another picture may be made: 30 a second."""
        now = time.monotonic()
        if now < self._due - _EARLY_SECONDS:
            return False
        self._due = max(self._due + _PICTURE_SECONDS, now)
        return True

    def _take(self, record: Record) -> Picture:
        frame, verdict, session = record.frame, record.verdict, self._session
        assert frame is not None
        assert session is not None
        heatmap = None if verdict is None else verdict.heatmap
        label = record.value.get("label")  # of a held verdict too
        return take_picture(frame, heatmap, record.region, session.bundle.contract.input, label)

    def _picture_for_a_new_page(self) -> None:
        """Who comes while the image is held should see it."""
        record, hub, loop = self._newest, self._hub, asyncio.get_running_loop()
        if record is None or hub is None:
            return
        made = loop.run_in_executor(None, self._take, record)
        made.add_done_callback(lambda future: None if future.cancelled() else hub.show(future.result()))

    def _make_app(self) -> web.Application:
        assert self._hub is not None
        return make_app(self._hub, self._token)
