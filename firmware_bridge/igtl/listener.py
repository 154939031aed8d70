"""``igtl://``: waits for peers, and takes several at once."""

from __future__ import annotations

import socket
import threading

from edge_cns.runtime.sinks.address import WebUri, bind
from firmware_bridge.igtl.address import Address
from firmware_bridge.igtl.endpoint import Endpoint
from firmware_bridge.igtl.floor import Floor

__all__ = ["Listener"]

_MOST = 8  # peers
_PAUSE_SECONDS = 0.2  # when the system has no descriptor left for another


class Listener(Endpoint):
    """Listens from its construction on.

    Args:
        address, floor: see `Endpoint`.

    Raises:
        BadInputError: the address cannot be listened on.
    """

    def __init__(self, address: Address, floor: Floor | None) -> None:
        super().__init__(address, floor)
        self._listening = bind(WebUri(address.text, address.host, address.port, {}))
        self._listening.setblocking(True)
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, name="igtl listener", daemon=True).start()

    def _stop_waiting(self) -> None:
        try:
            self._listening.shutdown(socket.SHUT_RDWR)  # ends the wait of `accept`, whose thread then closes it
        except OSError:
            return  # it is closed

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                sock, name = self._listening.accept()
                self._take(sock, *name[:2])
            except OSError:
                self._closed.wait(_PAUSE_SECONDS)
        self._listening.close()

    def _take(self, sock: socket.socket, host: str, port: int) -> None:
        refusal = self._refusal(host)
        if refusal:
            self._add("refused")
            self._say_seldom("igtl_refused", f"{host}: {refusal}")
            sock.close()
            return
        connection = self._open(sock, f"{host}:{port}", next(self._numbers))
        threading.Thread(target=self._serve, args=(connection,), name=f"igtl from {host}:{port}", daemon=True).start()

    def _refusal(self, host: str) -> str:
        if not self.address.allows(host):
            return "is not among those of ?allow="
        return f"{_MOST} clients are connected already" if self.peers >= _MOST else ""
