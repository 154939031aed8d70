"""The C++ programs of OpenIGTLink as processes, and the images that they send."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

__all__ = ["FRAMES", "need_openigtlink", "program", "sent_images", "start"]

FRAMES = 100
"""That ImagerClient sends and ImagerServer sends to each client: the five images, again and again."""

_SIDE = 256


def _folder() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "edge-cns" / "openigtlink"


def program(name: str) -> Path:
    """Path of a program; it may not be there."""
    return _folder() / name


def need_openigtlink() -> None:
    """Skip the test where the programs were not built."""
    if not program("ReceiveServer").exists():
        pytest.skip("no OpenIGTLink C++ peers here; run tests/peers/install.sh as root")


def start(name: str, *arguments: object, quiet: bool = True) -> subprocess.Popen[bytes]:
    """Start a program, an imager with the folder of its images; what it says is dropped, or on one pipe."""
    images = [str(_folder() / "img")] if name.startswith("Imager") else []
    command = [str(program(name)), *map(str, arguments), *images]
    said = subprocess.DEVNULL if quiet else subprocess.PIPE
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT)


def sent_images() -> list[np.ndarray]:
    """The five images, ``(256, 256)`` uint8, in the order in which they are sent."""
    names = [_folder() / "img" / f"igtlTestImage{number}.raw" for number in range(1, 6)]
    return [np.fromfile(name, np.uint8).reshape(_SIDE, _SIDE) for name in names]
