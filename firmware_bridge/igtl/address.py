"""``igtl://ADDR:PORT`` and ``igtl-client://HOST:PORT``: where to listen or connect, and who may connect."""

from __future__ import annotations

import ipaddress
import sys
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import urlsplit

from edge_cns.errors import BadInputError, UnsupportedError
from edge_cns.runtime.uri import Options, scheme_of, split_uri

__all__ = ["DEFAULT_PORT", "Address", "parse_address"]

DEFAULT_PORT = 18944
"""Registered for OpenIGTLink with IANA."""

_LOOPBACK = "127.0.0.1"
_OPTIONS = {"igtl": {"allow": "", "bits": ""}, "igtl-client": {"bits": ""}}

Network: TypeAlias = "ipaddress.IPv4Network | ipaddress.IPv6Network"


@dataclass(frozen=True, slots=True)
class Address:
    """A URI, read.

    Attributes:
        text: ``SCHEME://HOST:PORT``, which may be shown to anybody.
        host: IP address or name; 127.0.0.1 where the URI has none, or says ``localhost``.
        port: 18944 where the URI has none; 0 listens on any that is free.
        allow: who may connect; empty for everybody who can.
        bits: significant bits of uint16 pixels; ``None`` means all 16.
    """

    text: str
    host: str
    port: int
    allow: tuple[Network, ...] = ()
    bits: int | None = None

    def allows(self, host: str) -> bool:
        """Whether a peer of this IP address may connect."""
        address = ipaddress.ip_address(host.partition("%")[0])
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return not self.allow or any(address in network for network in self.allow)


def parse_address(uri: str) -> Address:
    """Read a URI of either scheme.

    Raises:
        BadInputError: no host and port, an unknown option, or an address that other machines can reach without
            ``?allow=``.
        UnsupportedError: this is not Linux.
    """
    scheme = scheme_of(uri)
    if sys.platform != "linux":
        raise UnsupportedError(f"{scheme}:// works on Linux only; run edge-cns on a Linux computer")
    rest, options = split_uri(uri, _OPTIONS[scheme])
    example = f"{scheme}://{_LOOPBACK}:{DEFAULT_PORT}"
    try:
        parts = urlsplit(f"//{rest}")
        port = DEFAULT_PORT if parts.port is None else parts.port
    except ValueError:
        raise BadInputError(f"{options.source} has no host and port that can be read; give {example}") from None
    if "@" in parts.netloc or parts.path not in ("", "/") or parts.fragment or not rest.isprintable():
        raise BadInputError(f"{scheme}:// is followed by host and port only; give {example}")
    host = parts.hostname or _LOOPBACK
    host = _LOOPBACK if host == "localhost" else host
    text = f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
    if scheme == "igtl-client" and port == 0:
        raise BadInputError(f"{text}: there is no port 0 to connect to; give {example}")
    allow = _networks(options) if scheme == "igtl" else ()
    if scheme == "igtl" and not allow and not _is_loopback(host):
        raise BadInputError(
            f"{text} can be reached from other machines, and OpenIGTLink knows no password; "
            "say who may connect: ?allow=IP,IP"
        )
    bits = options.whole("bits", 8, 16) if options.values["bits"] else None
    return Address(text, host, port, allow, bits)


def _is_loopback(host: str) -> bool:
    """A name is never taken for loopback: who knows what it means there."""
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _networks(options: Options) -> tuple[Network, ...]:
    try:
        texts = filter(None, options.values["allow"].split(","))
        return tuple(ipaddress.ip_network(text.strip(), strict=False) for text in texts)
    except ValueError:
        raise options.refused("allow", "is no list of addresses; give allow=192.168.1.20,10.0.0.0/24") from None
