"""dcmtk's and dicom3tools' programs, by their full paths: pynetdicom installs scripts of the same names."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

__all__ = ["StoreScp", "dcmtk", "errors_of", "free_port", "need_dciodvfy", "need_dcmtk", "storescu"]


def dcmtk(name: str) -> str:
    """Path of a program of dcmtk."""
    return f"/usr/bin/{name}"


def need_dcmtk() -> None:
    """Skip the test where dcmtk is not installed."""
    if shutil.which(dcmtk("storescu")) is None:
        pytest.skip("no dcmtk here; run tests/peers/install.sh as root")


def need_dciodvfy() -> None:
    """Skip the test where dicom3tools is not installed."""
    if shutil.which("dciodvfy") is None:
        pytest.skip("no dciodvfy here; run tests/peers/install.sh as root")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def storescu(
    port: int, *arguments: object, calling: str = "US1", called: str = "EDGECNS"
) -> subprocess.CompletedProcess:
    """Send files; options first."""
    command = [dcmtk("storescu"), "-v", "-aet", calling, "-aec", "EDGECNS"]
    files = [str(one) for one in arguments if not str(one).startswith(("-", "+"))]
    options = [str(one) for one in arguments if str(one).startswith(("-", "+"))]
    return subprocess.run(
        [*command, *options, "127.0.0.1", str(port), *files], capture_output=True, text=True, check=False, timeout=120
    )


def errors_of(path: Path) -> list[str]:
    """What dciodvfy calls an error."""
    done = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False, timeout=60)
    return [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error")]


class StoreScp:
    """dcmtk's storescp, which can be killed and started again.

    Args:
        folder: where it stores; a name for each SOP Instance UID.
        options: more of them.
    """

    def __init__(self, folder: Path, *options: str) -> None:
        folder.mkdir(exist_ok=True)
        self._options = options
        self.folder, self.port = folder, free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [
            dcmtk("storescp"),
            "--output-directory",
            str(self.folder),
            "-aet",
            "ARCHIVE",
            *self._options,
            str(self.port),
        ]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + 10
        while time.monotonic() < until:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        pytest.fail("storescp does not start")

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def files(self) -> list[Path]:
        """What it has stored whole, by name."""
        return sorted(path for path in self.folder.iterdir() if path.is_file())
