"""The key of a recording: 32 bytes in a file that nobody else may read."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from edge_cns.errors import BadInputError

__all__ = ["KEY_BYTES", "key_to_record", "read_key"]

KEY_BYTES = 32
_LONGEST = 256  # bytes of a file that are looked at
_HEX = re.compile(rb"[0-9A-Fa-f]{64}")
_MAKE_ONE = "make one with: (umask 077; openssl rand -hex 32 > record.key)"


def read_key(path: Path) -> bytes:
    """Read a key: 32 bytes as they are, or 64 hexadecimal characters.

    Raises:
        BadInputError: no such file, others may read it, or it holds something else. The text never has the content.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise BadInputError(f"the key {path} cannot be read ({error.strerror}); {_MAKE_ONE}") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise BadInputError(f"the key {path} is not a regular file; {_MAKE_ONE}")
        if status.st_mode & 0o077:
            raise BadInputError(f"the key {path} may be read by others than its owner; run: chmod 600 {path}")
        content = os.read(descriptor, _LONGEST)
    finally:
        os.close(descriptor)
    if len(content) == KEY_BYTES:
        return content
    if _HEX.fullmatch(content.strip()):
        return bytes.fromhex(content.strip().decode())
    size = f"{status.st_size} bytes"
    raise BadInputError(f"the key {path} is {size}, not {KEY_BYTES} bytes or 64 hexadecimal characters; {_MAKE_ONE}")


def key_to_record(path: Path | None, *, allow_plaintext: bool) -> bytes | None:
    """The key of a new recording; ``None`` where somebody asked for one that is not encrypted.

    Raises:
        BadInputError: neither a key nor that wish, or both; or see `read_key`.
    """
    if path is not None and allow_plaintext:
        raise BadInputError("--record-key and --allow-plaintext exclude each other; give one of them")
    if path is None and not allow_plaintext:
        raise BadInputError(
            "a recording shows patients: give --record-key FILE, or --allow-plaintext to keep it unencrypted; "
            + _MAKE_ONE
        )
    return None if path is None else read_key(path)
