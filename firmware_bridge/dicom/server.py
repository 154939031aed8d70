"""pynetdicom's server, with every connection behind a `Guard`, and nobody's handshake in the way of another's."""

from __future__ import annotations

import gc
import socket
import threading
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from edge_cns.errors import BadInputError
from edge_cns.extras import require
from firmware_bridge.dicom.guard import Guard
from firmware_bridge.dicom.quiet import quieten
from firmware_bridge.dicom.rarely import Rarely
from firmware_bridge.dicom.settings import ScpSettings

if TYPE_CHECKING:
    from pynetdicom.transport import RequestHandler, ThreadedAssociationServer
else:
    _transport = require("pynetdicom.transport", "bridge")
    RequestHandler, ThreadedAssociationServer = _transport.RequestHandler, _transport.ThreadedAssociationServer

__all__ = ["LARGEST_PDU", "Server"]

LARGEST_PDU = 65_536
"""Bytes of a PDU that we ask for."""

_TOLERATED_PDU = 2**20  # bytes: an association request may be longer than what was agreed afterwards
_COMMAND = 2**20  # bytes around an object: its request, and the heads of its PDUs
_HANDSHAKE_SECONDS = 10.0
_STRANGERS = 8  # connections more than associations: they are told that there are too many
_POLL_SECONDS = 0.1


class Server(ThreadedAssociationServer):
    """Listens from the start, and serves in a thread of its own from `begin` on.

    Args:
        settings: limits, address, TLS.
        entity: pynetdicom's AE, with its contexts.
        handlers: of pynetdicom's events.

    Raises:
        BadInputError: the address cannot be listened on.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, settings: ScpSettings, entity: Any, handlers: Sequence[Any]) -> None:
        quieten()
        self.settings, self.rarely = settings, Rarely()
        self.guards: weakref.WeakSet[Guard] = weakref.WeakSet()
        self._running = 0
        where = f"{settings.host}:{settings.port}"
        try:
            super().__init__(
                entity,
                (settings.host, settings.port),
                settings.ae,
                entity.supported_contexts,
                evt_handlers=list(handlers),
                request_handler=_Handler,
            )
        except (OSError, ValueError) as error:
            why = (getattr(error, "strerror", None) or "no such address").lower()
            raise BadInputError(f"{where} cannot be listened on ({why}); give another host or port") from None
        self._thread = threading.Thread(target=self.serve_forever, args=(_POLL_SECONDS,), name="dicom scp", daemon=True)

    @property
    def port(self) -> int:
        """The one that it has."""
        return int(self.server_address[1])

    def begin(self) -> None:
        """Serve."""
        self._thread.start()

    def end(self) -> None:
        """Listen no more, and give every association up. May be called twice."""
        self.server_close()
        if self._thread.is_alive():
            threading.Thread(target=self.shutdown, name="dicom scp end", daemon=True).start()
        for guard in list(self.guards):
            guard.abort()

    def get_request(self) -> Any:
        """Accept; what costs time is the handler's."""
        assert self.socket is not None
        return self.socket.accept()

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Whether a connection is looked at at all."""
        return len(self.active_associations) < self.settings.associations + _STRANGERS

    def service_actions(self) -> None:
        """What the library collects every few seconds, holding up the program, is collected after a connection."""
        running = len(self.active_associations)
        if running < self._running:
            gc.collect()
        self._running = running

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that came to nothing: a scan, a failed handshake."""
        self.rarely.say("dicom_connection", "a connection came to nothing")

    def server_close(self) -> None:
        """Close the listening socket."""
        with suppress(OSError):
            super().server_close()

    def shutdown(self) -> None:
        """End the thread."""
        with suppress(ValueError):  # the library forgets a server that it does not know
            super().shutdown()


class _Handler(RequestHandler):
    """One connection, in a thread of its own."""

    server: Server

    def setup(self) -> None:
        settings = self.server.settings
        connection: socket.socket = self.request
        connection.settimeout(_HANDSHAKE_SECONDS)
        if settings.tls is not None:
            connection = settings.tls.wrap_socket(connection, server_side=True)
        self.request = Guard(
            connection,
            most_pdu=_TOLERATED_PDU,
            most_bytes=settings.max_bytes + settings.max_bytes // 1000 + _COMMAND,
            idle=settings.idle,
            total=settings.total,
            refused=lambda why: self.server.rarely.say("dicom_connection", f"a connection was ended: {why}"),
        )
        self.server.guards.add(self.request)

    def _create_association(self) -> Any:
        """The library's threads die with a traceback where a peer leaves at the wrong moment: one line will do."""
        association: Any = super()._create_association()
        for thread in (association, association.dul):
            thread.run = partial(self._run, thread.run)
        return association

    def _run(self, run: Callable[[], None]) -> None:
        try:
            run()
        except Exception as error:
            self.server.rarely.say("dicom_connection", f"a connection ended badly ({type(error).__name__})")
            self.request.abort()
