"""The local door: frames in shared memory, one small message for each, answers on the same socket."""

import sys

from edge_cns.errors import UnsupportedError

if sys.platform != "linux":  # before anything is imported that only Linux has
    raise UnsupportedError(f"ring:// needs Linux's memory files and sockets, and this is {sys.platform}")
