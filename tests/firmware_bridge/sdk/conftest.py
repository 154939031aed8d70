"""The SDK, built once for a test session, and a classifier for it to talk to."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import firmware_bridge
from tests.firmware_bridge.ring.served import Served

SDK = Path(firmware_bridge.__file__).with_name("sdk")

Build = Callable[..., Path]


@pytest.fixture(scope="session")
def build_sdk(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Configures and builds with the given CMake options; returns the build folder."""
    missing = [tool for tool in ("cmake", "cc", "c++") if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"no {' and no '.join(missing)}: tests/peers/install.sh installs what is needed")
    done: dict[tuple[str, ...], Path] = {}

    def build(*options: str) -> Path:
        if options not in done:
            folder = tmp_path_factory.mktemp("sdk")
            run("cmake", "-S", SDK, "-B", folder, *options)
            run("cmake", "--build", folder, "-j2")
            done[options] = folder
        return done[options]

    return build


@pytest.fixture
def served(tiny_bundle: Path) -> Iterator[Callable[..., Served]]:
    """Starts a ring source in this process, with its reply."""
    made: list[Served] = []

    def serve(name: str) -> Served:
        made.append(Served(name, tiny_bundle))
        return made[-1]

    yield serve
    for one in made:
        one.close()


def run(*command: object, **settings) -> str:
    done = subprocess.run([str(c) for c in command], check=False, capture_output=True, text=True, **settings)
    assert done.returncode == 0, f"{command}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout
