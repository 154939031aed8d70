"""Run ``edge-cns train ARGUMENTS`` with the small network of `tests.trained`, as a process of its own."""

from __future__ import annotations

import sys

from edge_cns.cli import run
from tests.trained import small_network

if __name__ == "__main__":
    with small_network():
        sys.exit(run(["train", *sys.argv[1:]]))
