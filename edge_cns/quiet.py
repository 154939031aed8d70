"""Holding back what native libraries write to standard error, so that an error of ours is one line."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["quiet_stderr"]

_one_at_a_time = threading.RLock()  # the descriptor belongs to the whole process


@contextmanager
def quiet_stderr() -> Iterator[None]:
    """Hold back, and drop, what is written to file descriptor 2 inside the block.

    Native code (TensorFlow, LiteRT, OpenCV, libjpeg) writes there whatever Python's logging says. What it has to say
    of a failure, it also says in the exception. For start-up and single calls.
    """
    with _one_at_a_time:
        _flush()
        try:
            saved = os.dup(2)
        except OSError:  # started without a standard error: nothing can be written there
            yield
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        os.close(nowhere)
        try:
            yield
        finally:
            _flush()
            os.dup2(saved, 2)
            os.close(saved)


def _flush() -> None:
    if sys.stderr is not None:  # as it is in a process that was started without one
        sys.stderr.flush()
