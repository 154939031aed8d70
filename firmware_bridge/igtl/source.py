"""OpenIGTLink as a source: images and events in, and the way back to whoever sends them."""

from __future__ import annotations

from collections.abc import Iterator

from edge_cns.frames import Delivery
from edge_cns.runtime.sinks.base import ResultSink
from firmware_bridge.igtl.address import parse_address
from firmware_bridge.igtl.connector import Connector
from firmware_bridge.igtl.endpoint import Endpoint
from firmware_bridge.igtl.floor import Floor
from firmware_bridge.igtl.listener import Listener
from firmware_bridge.igtl.sink import IgtlSink

__all__ = ["IgtlSource", "open_igtl", "open_igtl_client"]


def open_igtl(uri: str, *, live: bool = False) -> IgtlSource:
    """Listen at ``igtl://ADDR:PORT?allow=IP,IP&bits=12``; an empty address is 127.0.0.1, the port without one 18944.

    Raises:
        BadInputError: the address cannot be listened on, or could be reached from other machines and names none.
        UnsupportedError: this is not Linux.
        MissingExtraError: the library for checksums is not installed.
    """
    floor = Floor(strangers=True, waiting_for="no client sends images yet")
    return IgtlSource(Listener(parse_address(uri), floor), floor)


def open_igtl_client(uri: str, *, live: bool = False) -> IgtlSource:
    """Connect to ``igtl-client://HOST:PORT?bits=12``, and connect again whenever the machine is lost.

    Raises:
        BadInputError: nobody answers there within 5 s.
        UnsupportedError: this is not Linux.
        MissingExtraError: the library for checksums is not installed.
    """
    floor = Floor(strangers=False)
    return IgtlSource(Connector(parse_address(uri), floor), floor)


class IgtlSource:
    """Frames and events of the peer that has the floor (see `firmware_bridge.igtl.floor`).

    Args:
        endpoint: open; it is closed with the source.
        floor: of the endpoint.

    Attributes:
        endpoint: with counts of what came.
        reply: tells verdicts to every connected peer.
    """

    def __init__(self, endpoint: Endpoint, floor: Floor) -> None:
        self.endpoint, self._floor = endpoint, floor
        self.reply: ResultSink = IgtlSink(endpoint)

    def __iter__(self) -> Iterator[Delivery]:
        """Yield until closed."""
        while (delivery := self._floor.take()) is not None:
            yield delivery

    def close(self) -> None:
        """End the iteration and all connections, from any thread. May be called twice."""
        self.endpoint.close()
