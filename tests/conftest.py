"""A real bundle, made once a session, and the command line as a function."""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest

from edge_cns.cli import run
from edge_cns.data.phantom import draw_patient, render
from tests.trained import trained

__all__ = ["trained"]


class Outcome(NamedTuple):
    status: int
    out: str
    err: str

    @property
    def json(self):
        import json

        return json.loads(self.out)


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An undecided, uncalibrated bundle of three classes at 64 px. Do not write to it: take `bundle_copy`."""
    if importlib.util.find_spec("tensorflow") is None:
        pytest.skip("making a bundle needs the train extra")
    path = tmp_path_factory.mktemp("bundle") / "tiny.cns"
    script = Path(__file__).with_name("make_tiny_bundle.py")
    made = subprocess.run([sys.executable, str(script), str(path)], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    return path


@pytest.fixture
def bundle_copy(tiny_bundle: Path, tmp_path: Path) -> Path:
    """A copy of `tiny_bundle` to change."""
    return Path(shutil.copytree(tiny_bundle, tmp_path / "copy.cns"))


@pytest.fixture(scope="session")
def phantom_pixels() -> np.ndarray:
    """A phantom head, ``(256, 256)`` uint8."""
    return render(draw_patient("normal", seed=5), "transthalamic", view=5).pixels


@pytest.fixture(scope="session")
def frame_file(tmp_path_factory: pytest.TempPathFactory, phantom_pixels: np.ndarray) -> Path:
    """The phantom head as a PNG."""
    path = tmp_path_factory.mktemp("frames") / "head.png"
    path.write_bytes(cv2.imencode(".png", phantom_pixels)[1].tobytes())
    return path


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a file system of so many bytes (``64k``), where that is allowed."""
    mounted: list[Path] = []

    def mount(size: str) -> Path:
        folder = tmp_path / f"disk-{size}"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
        if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
            pytest.skip("mounting a small disk needs root")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Outcome]]:
    """Run ``edge-cns ARGUMENTS`` in this process; native libraries' output counts as ours."""

    def call(*arguments: object) -> Outcome:
        capfd.readouterr()
        status = run([str(argument) for argument in arguments])
        return Outcome(status, *capfd.readouterr())

    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    logging_to = logging.getLogger().handlers[:]
    yield call
    logging.getLogger().handlers[:] = logging_to
    for number, handler in handlers.items():
        signal.signal(number, handler)
