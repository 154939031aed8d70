"""Anonymous memory that two processes share: a file without a name, sealed so that nobody can take a part of it away.

Reading behind the end of a file that shrank ends the process (SIGBUS), so whoever maps memory of others looks at its
seals first. Linux only.
"""

from __future__ import annotations

import fcntl
import os

__all__ = ["is_sealed", "sealed_memory"]

_SIZE = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW


def sealed_memory(name: str, size: int, content: bytes | None = None) -> int:
    """A descriptor of anonymous memory that nobody can make smaller or larger.

    Args:
        name: for those who look into ``/proc``.
        size: bytes.
        content: written and sealed against writing.
    """
    descriptor = os.memfd_create(f"edge-cns {name}", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    seals = _SIZE | fcntl.F_SEAL_SEAL
    if content is None:
        os.ftruncate(descriptor, size)
    else:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(content)
        os.lseek(descriptor, 0, os.SEEK_SET)
        seals |= fcntl.F_SEAL_WRITE
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
    return descriptor


def is_sealed(descriptor: int) -> bool:
    """Whether it is memory whose size nobody can change."""
    try:
        return fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & _SIZE == _SIZE
    except OSError:  # no memory file
        return False
