"""Messages between the bridge and its decoding process, over a stream socket: a JSON head and bytes after it.

bridge  -> process   one byte, `OPEN` (with the descriptor of an object) or `NEXT`
process -> bridge    HEAD: length of the JSON, length of the bytes; then both
"""

from __future__ import annotations

import json
import socket
import struct
import time
from typing import Any

from edge_cns.errors import OperationError, OperationTimeoutError

__all__ = ["NEXT", "OPEN", "receive", "send"]

OPEN, NEXT = b"o", b"n"

_HEAD = struct.Struct("<IQ")
_LONGEST_JSON = 65_536  # bytes


def send(channel: socket.socket, value: dict[str, Any], content: bytes | memoryview = b"") -> None:
    """Send one message."""
    text = json.dumps(value).encode()
    channel.sendall(_HEAD.pack(len(text), len(content)) + text)
    if content:
        channel.sendall(content)


def receive(channel: socket.socket, seconds: float, most: int) -> tuple[dict[str, Any], bytearray]:
    """Receive one message whole.

    Args:
        channel: whose timeout is changed.
        seconds: for all of it.
        most: bytes after the JSON.

    Raises:
        OperationTimeoutError: it did not come in time.
        OperationError: the other side is gone, or sent something else.
    """
    until = time.monotonic() + seconds
    length, size = _HEAD.unpack(_exactly(channel, _HEAD.size, until))
    if length > _LONGEST_JSON or size > most:
        raise OperationError(f"a message of {length} and {size} bytes is none of ours")
    text, content = _exactly(channel, length, until), _exactly(channel, size, until)
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise OperationError("a message has no JSON object in it")
    return value, content


def _exactly(channel: socket.socket, size: int, until: float) -> bytearray:
    content = bytearray(size)
    view, got = memoryview(content), 0
    while got < size:
        left = until - time.monotonic()
        if left <= 0:
            raise OperationTimeoutError("no answer in time")
        channel.settimeout(left)
        try:
            count = channel.recv_into(view[got:])
        except TimeoutError:
            raise OperationTimeoutError("no answer in time") from None
        except OSError as error:
            raise OperationError(f"the other side is gone ({error.strerror})") from None
        if not count:
            raise OperationError("the other side is gone")
        got += count
    return content
