"""Watching from outside: ``/metrics`` for Prometheus and ``/healthz`` for a health check, over HTTP."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from edge_cns.extras import require
from edge_cns.runtime.sinks.address import Token, WebUri, bind
from edge_cns.runtime.sinks.base import Record, Session
from edge_cns.runtime.sinks.health import Health
from edge_cns.runtime.sinks.meters import Meters
from edge_cns.runtime.sinks.web import WebThread, guard

if TYPE_CHECKING:
    import prometheus_client as prometheus
    from aiohttp import web
else:
    web = require("aiohttp.web", "live")
    prometheus = require("prometheus_client", "live")

__all__ = ["MetricsServer", "open_metrics"]

_PORT = 9090
_CONNECTIONS = 32
_LIFETIME_SECONDS = 10.0  # of a connection: a scrape takes milliseconds


def open_metrics(uri: str) -> MetricsServer:
    """Open ``metrics://127.0.0.1:9090``; on another address ``metrics://0.0.0.0:9090?token_file=FILE``.

    Raises:
        BadInputError: the address cannot be had, or needs a token.
    """
    return MetricsServer(WebUri.parse(uri, port=_PORT))


class MetricsServer:
    """Serves what the records say. It sees every record, so that its counts are right.

    Args:
        address: claimed at once; served from `start` on.
    """

    lossless = True

    def __init__(self, address: WebUri) -> None:
        self._token = Token.from_uri(address)
        self._lock = threading.Lock()  # between the sink's thread and the server's
        self._health = Health()
        self._meters = Meters(self._health)
        self._thread = WebThread(
            self._application, bind(address), name="metrics", connections=_CONNECTIONS, lifetime=_LIFETIME_SECONDS
        )

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return self._thread.port

    @property
    def address(self) -> str:
        """For Prometheus."""
        return f"{self._thread.url}/metrics"

    def start(self, session: Session) -> None:
        """Begin to answer."""
        self._thread.start()

    def write(self, record: Record) -> None:
        """Count a record."""
        with self._lock:
            self._health.take(record, time.monotonic_ns())
            self._meters.take(record)

    def close(self) -> None:
        """Stop answering."""
        self._thread.close(0.4)

    def _application(self) -> web.Application:
        app = web.Application(middlewares=[guard(self._token)], client_max_size=0)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/healthz", self._healthz)
        return app

    async def _metrics(self, _: web.Request) -> web.Response:
        with self._lock:
            text = self._meters.text()
        return web.Response(body=text, headers={"Content-Type": prometheus.CONTENT_TYPE_LATEST})

    async def _healthz(self, _: web.Request) -> web.Response:
        with self._lock:
            healthy, report = self._health.report(time.monotonic_ns())
        return web.json_response(report, status=200 if healthy else 503)
