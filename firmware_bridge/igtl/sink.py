"""OpenIGTLink as a sink: verdicts and exam statements out, to every peer that is connected."""

from __future__ import annotations

from edge_cns.errors import OperationError
from edge_cns.runtime.sinks.base import Record, RecordType, Session
from firmware_bridge.igtl import letters
from firmware_bridge.igtl.address import parse_address
from firmware_bridge.igtl.connector import Connector
from firmware_bridge.igtl.endpoint import Endpoint
from firmware_bridge.igtl.listener import Listener

__all__ = ["IgtlSink", "open_igtl_client_sink", "open_igtl_sink"]


def open_igtl_sink(uri: str) -> IgtlSink:
    """Listen at ``igtl://ADDR:PORT?allow=IP,IP`` for those who want verdicts; what they send is not looked at.

    Raises:
        BadInputError, UnsupportedError, MissingExtraError: see `firmware_bridge.igtl.source.open_igtl`.
    """
    return IgtlSink(Listener(parse_address(uri), None))


def open_igtl_client_sink(uri: str) -> IgtlSink:
    """Connect to ``igtl-client://HOST:PORT``, which wants verdicts, and connect again whenever it is lost.

    Raises:
        BadInputError, UnsupportedError, MissingExtraError: see `firmware_bridge.igtl.source.open_igtl_client`.
    """
    return IgtlSink(Connector(parse_address(uri), None), expects_peer=True)


class IgtlSink:
    """Sends each verdict and each exam statement; see `firmware_bridge.igtl.letters` for the messages.

    Args:
        endpoint: open; it is closed with the sink.
        expects_peer: whether it is a fault that nobody is connected.

    Attributes:
        endpoint: with counts.
    """

    lossless = False

    def __init__(self, endpoint: Endpoint, *, expects_peer: bool = False) -> None:
        self.endpoint, self._expects_peer = endpoint, expects_peer
        self._names: tuple[str, ...] = ()

    def start(self, session: Session) -> None:
        """Take the order of the classes from the bundle."""
        self._names = session.bundle.contract.class_names

    def write(self, record: Record) -> None:
        """Send a verdict or an exam record; others are not sent. Never waits.

        Raises:
            OperationError: nobody is connected who should be.
        """
        if record.type is RecordType.VERDICT and record.verdict is not None:
            self.endpoint.show(letters.state(record.verdict), record.verdict.expires_ns)
            self.endpoint.post(letters.verdict(record, self._names))
        elif record.type is RecordType.EXAM:
            self.endpoint.post(letters.exam(record))
        if self._expects_peer and not self.endpoint.peers:
            raise OperationError("nobody is connected; trying again")

    def close(self) -> None:
        """Say that the session ends, and close all connections. May be called twice."""
        self.endpoint.close()
