"""The RTSP server of `tests.peers.rtsp_server` as a process that a test starts, stops and kills."""

from __future__ import annotations

import functools
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

__all__ = ["RtspServer", "made_at_ms", "need_rtsp_server"]

PYTHON = "/usr/bin/python3"  # gi belongs to the system's Python
SCRIPT = Path(__file__).with_name("rtsp_server.py")
CHECK = (
    "import gi; gi.require_version('Gst', '1.0'); gi.require_version('GstRtspServer', '1.0'); "
    "from gi.repository import Gst, GstRtspServer; Gst.init(None); "
    "assert all(map(Gst.ElementFactory.find, ('appsrc', 'x264enc', 'rtph264pay')))"
)


@functools.cache
def _there() -> bool:
    if not Path(PYTHON).exists():
        return False
    return subprocess.run([PYTHON, "-c", CHECK], capture_output=True, check=False).returncode == 0


def need_rtsp_server() -> None:
    """Skip the test where the server's packages are not installed."""
    if not _there():
        pytest.skip("no GStreamer RTSP server here; run tests/peers/install.sh as root")


class RtspServer:
    """A running server.

    Args:
        options: of the script.
    """

    def __init__(self, *options: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        scheme = "rtsps" if "--tls" in options else "rtsp"
        self.uri = f"{scheme}://127.0.0.1:{self.port}/scan"
        self._options = options
        self._process: subprocess.Popen[str] | None = None
        self.start()

    def start(self) -> None:
        command = [PYTHON, str(SCRIPT), str(self.port), *self._options]
        for _ in range(20):  # the port of a killed server may be taken for a moment
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            if self._process.stdout.readline().strip() == "ready":
                return
            self.kill()
            time.sleep(0.25)
        pytest.fail("the RTSP server does not start")

    def pause(self) -> None:
        """Hold it: the connection stays, nothing comes."""
        self._process.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()
            self._process = None


def made_at_ms(pixels) -> int:
    """When a picture of the server was made, ``CLOCK_MONOTONIC`` in ms, modulo 2**32."""
    return int("".join("1" if level > 128 else "0" for level in pixels[120, 5::10, 0]), 2)
