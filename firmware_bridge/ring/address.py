"""``ring://NAME`` on the classifier's side: a socket of an abstract name, and who may come through it."""

from __future__ import annotations

import errno
import os
import re
import socket
import struct

from edge_cns.errors import BadInputError
from edge_cns.runtime.uri import split_uri

__all__ = ["RingUri", "abstract_name", "listen", "user_of"]

_NAME = re.compile(r"[A-Za-z0-9._-]{1,63}")
_PREFIX = "edge-cns/ring/"
_BACKLOG = 8
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid


class RingUri:
    """A ring's URI, read.

    Args:
        uri: ``ring://NAME?uid=N``.

    Attributes:
        name: of the ring.
        text: the URI without its options, for messages.
        users: ids of those who may connect.

    Raises:
        BadInputError: no name, or an option that there is not.
    """

    def __init__(self, uri: str) -> None:
        rest, options = split_uri(uri, {"uid": ""})
        if not _NAME.fullmatch(rest):
            raise BadInputError(f"{options.source} is no ring; give ring://NAME with letters, digits, dots and dashes")
        self.name, self.text = rest, f"ring://{rest}"
        self.users = {0, os.geteuid()}
        if options.values["uid"]:
            self.users.add(options.whole("uid", 0, 2**31 - 1))


def abstract_name(name: str) -> str:
    """Of the socket: it is no file, and gone with the process."""
    return f"\0{_PREFIX}{name}"


def listen(uri: RingUri) -> socket.socket:
    """Claim a ring.

    Raises:
        BadInputError: another process serves it.
    """
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
    try:
        listening.bind(abstract_name(uri.name))
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        why = (
            "is served by another process"
            if error.errno == errno.EADDRINUSE
            else f"cannot be served ({error.strerror})"
        )
        raise BadInputError(f"{uri.text} {why}; choose another name") from None
    return listening


def user_of(connection: socket.socket) -> int:
    """User id of the process at the other end, as the kernel saw it when it connected."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(raw)[1])
