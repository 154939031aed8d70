"""Where a served sink listens, and who may read it: loopback by default, with a token anywhere else.

    address = WebUri.parse("http://127.0.0.1:8080", port=8080)
    token = Token.from_uri(address)       # None on loopback; refused elsewhere unless ?token_file= names one
    listening = bind(address)             # claimed: the port is ours from here on

`edge_cns.runtime.sinks.web` serves it.
"""

from __future__ import annotations

import hmac
import ipaddress
import os
import socket
import stat
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from edge_cns.errors import BadInputError

__all__ = ["Token", "WebUri", "bind"]

_BACKLOG = 64
_LOOPBACK = "127.0.0.1"
_SHORTEST, _LONGEST = 16, 1024  # characters of a token
_MAKE_ONE = "make one with: (umask 077; openssl rand -hex 32 > FILE)"


@dataclass(frozen=True, slots=True)
class WebUri:
    """``SCHEME://HOST:PORT?OPTION=VALUE``, read.

    Attributes:
        text: ``SCHEME://HOST:PORT``, which may be shown to anybody: nothing else of the URI is in it.
        host: IP address or name; ``127.0.0.1`` where the URI has none, or says ``localhost``.
        port: 0 to 65535; 0 asks for any free one.
        options: by name.
    """

    text: str
    host: str
    port: int
    options: Mapping[str, str]

    @classmethod
    def parse(cls, uri: str, *, port: int, options: Collection[str] = ()) -> WebUri:
        """Read a URI.

        Args:
            uri: as given on the command line.
            port: where the URI has none.
            options: names that may occur besides ``token_file``.

        Raises:
            BadInputError: a user, password, path, or unknown option; or no port number. The text repeats neither
                passwords nor paths.
        """
        scheme = uri.partition("://")[0]
        example = f"{scheme}://{_LOOPBACK}:{port}"
        try:
            parts = urlsplit(uri)
            asked = parts.port
            pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        except ValueError:
            raise BadInputError(f"this {scheme}:// URI has no host and port that can be read; give {example}") from None
        if "@" in parts.netloc:
            raise BadInputError(f"{scheme}:// takes no user or password; give {example}?token_file=FILE")
        host = parts.hostname or _LOOPBACK
        host = _LOOPBACK if host == "localhost" else host
        number = port if asked is None else asked
        text = f"{scheme}://[{host}]:{number}" if ":" in host else f"{scheme}://{host}:{number}"
        if parts.path not in ("", "/") or parts.fragment:
            raise BadInputError(f"{text} is followed by a path; give {example}")
        known = sorted({"token_file", *options})
        if len(dict(pairs)) != len(pairs) or not set(dict(pairs)) <= set(known):
            raise BadInputError(f"{text}: an option is unknown or given twice; there are {', '.join(known)}")
        return cls(text, host, number, dict(pairs))

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it. A name is never taken for loopback: who knows what it means there."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def bind(address: WebUri) -> socket.socket:
    """Claim the address: bound and listening, so that nobody else gets it; connections wait until they are served.

    Raises:
        BadInputError: the port is in use, the host is not of this machine, or the port needs a privilege.
    """
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, target = found[0]
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(target)
            listening.listen(_BACKLOG)
        except OSError:
            listening.close()
            raise
    except (OSError, UnicodeError) as error:
        why = (getattr(error, "strerror", None) or "no such host").lower()
        raise BadInputError(f"{address.text} cannot be listened on ({why}); give another host or port") from None
    listening.setblocking(False)
    return listening


class Token:
    """A secret that whoever reads from another machine has to bring. Its text never appears in a message."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()

    def __repr__(self) -> str:
        return "Token(...)"

    @classmethod
    def from_uri(cls, address: WebUri) -> Token | None:
        """The token that ``?token_file=`` names, or ``None`` on loopback without one.

        Raises:
            BadInputError: another address without a token, or a file that others could read.
        """
        path = address.options.get("token_file")
        if path is not None:
            return cls(_read_secret(path, address.text))
        if address.loopback:
            return None
        raise BadInputError(
            f"{address.text} can be reached from other machines and needs ?token_file=FILE; {_MAKE_ONE}"
        )

    def matches(self, text: str) -> bool:
        """Whether ``text`` is the secret, in a time that tells nothing about it."""
        return hmac.compare_digest(text.encode("utf-8", "surrogatepass"), self._secret)

    def in_header(self, authorization: str) -> bool:
        """Whether an ``Authorization`` header brings the secret as ``Bearer TOKEN``."""
        kind, _, text = authorization.partition(" ")
        return kind.lower() == "bearer" and self.matches(text.strip())


def _read_secret(path: str, where: str) -> str:
    """The one line of a file that belongs to us and that nobody else can read."""
    name = os.path.basename(path)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        why = (getattr(error, "strerror", None) or "not a file name").lower()
        raise BadInputError(f"{where}: token_file {name!r} cannot be read ({why}); {_MAKE_ONE}") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise BadInputError(f"{where}: token_file {name!r} is not a regular file; {_MAKE_ONE}")
        if status.st_mode & 0o077 or status.st_uid != os.geteuid():
            raise BadInputError(f"{where}: others can read or own token_file {name!r}; run chown and chmod 600 on it")
        content = os.read(descriptor, _LONGEST + 2).strip()
    finally:
        os.close(descriptor)
    secret = content.decode("ascii", "replace")
    if not _SHORTEST <= len(secret) <= _LONGEST or not all("!" <= character <= "~" for character in secret):
        raise BadInputError(
            f"{where}: token_file {name!r} must hold one line of {_SHORTEST} to {_LONGEST} letters, digits and signs; "
            f"{_MAKE_ONE}"
        )
    return secret
