"""``igtl-client://``: connects to a machine that listens, and connects again whenever it is lost."""

from __future__ import annotations

import socket
import threading
import time

from edge_cns.errors import BadInputError
from firmware_bridge.igtl.address import Address
from firmware_bridge.igtl.connection import Connection
from firmware_bridge.igtl.endpoint import Endpoint
from firmware_bridge.igtl.floor import Floor

__all__ = ["Connector"]

_CONNECT_SECONDS = 5.0
_PAUSES = (0.25, 5.0)  # seconds: the first one before connecting again, and the longest
_LASTED = 5.0  # seconds after which a connection counts as one that worked


class Connector(Endpoint):
    """Is connected when it is constructed.

    Args:
        address, floor: see `Endpoint`.

    Raises:
        BadInputError: nobody answers there.
    """

    def __init__(self, address: Address, floor: Floor | None) -> None:
        super().__init__(address, floor)
        try:
            connection = self._connect()
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or "no such host"
            why = "no answer in time" if isinstance(error, TimeoutError) else reason
            raise BadInputError(
                f"{address.text} cannot be reached ({why.lower()}); check the address, the cable and the server"
            ) from None
        threading.Thread(target=self._run, args=(connection,), name="igtl client", daemon=True).start()

    def _connect(self) -> Connection:
        """Connect; the machine is heard from now on.

        Raises:
            OSError: it does not work.
        """
        host, port = self.address.host, self.address.port
        sock = socket.create_connection((host, port), _CONNECT_SECONDS)
        if sock.getsockname() == sock.getpeername():  # on one computer TCP may meet itself where nobody listens
            sock.close()
            raise ConnectionRefusedError("connection refused")
        connection = self._open(sock, f"{host}:{port}", next(self._numbers))
        if self.floor is not None:
            self.floor.enter(connection.number)
        return connection

    def _run(self, connection: Connection | None) -> None:
        first, longest = _PAUSES
        pause = first
        while True:
            if connection is not None:
                before, since = self.counts["messages"], time.monotonic()
                self._serve(connection)
                if self.counts["messages"] > before or time.monotonic() - since > _LASTED:
                    pause = first
            if self._closed.wait(pause):
                return
            pause = min(2 * pause, longest)
            connection = self._again()

    def _again(self) -> Connection | None:
        """One more attempt; ``None`` while the machine is still gone."""
        try:
            return self._connect()
        except OSError:
            return None
