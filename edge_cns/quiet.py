"""Holding back what native libraries write to standard error, so that an error of ours is one line."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["quiet_stderr"]


@contextmanager
def quiet_stderr() -> Iterator[None]:
    """Hold back what is written to file descriptor 2 inside the block; a block that fails drops it too.

    Native code (TensorFlow, LiteRT, OpenCV) writes there whatever Python's logging says. What it has to say of a
    failure, it also says in the exception. For start-up and single calls: the descriptor belongs to the whole process.
    """
    sys.stderr.flush()
    try:
        saved = os.dup(2)
    except OSError:  # started without a standard error: nothing can be written there
        yield
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)
