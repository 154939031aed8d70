from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_cns.errors import BadInputError
from edge_cns.runtime.sinks import window
from edge_cns.runtime.sinks.window import open_window
from tests.runtime.sinks.made import event, no_signal, session, status, verdict

PROGRAM = """
import sys, threading, time
import numpy as np
from edge_cns.runtime.sinks.runner import SinkRunner
from edge_cns.runtime.sinks.window import open_window
from tests.runtime.sinks.made import session, verdict
runner = SinkRunner(open_window("window://"), "window", lambda name, text: print(name, text))
runner.start(session())
seen = threading.Thread(target=sys.stdin.readline, daemon=True)
seen.start()
pixels, number = np.full((480, 640), 117, np.uint8), 0
while seen.is_alive():
    runner.put(verdict(number := number + 1, at_ns=time.monotonic_ns(), pixels=pixels))
    time.sleep(0.05)
print(runner.counts["failed"], runner.close(20))
"""


@pytest.fixture
def screen(tmp_path):
    """A display, and the folder where its picture lies."""
    if shutil.which("Xvfb") is None:
        pytest.skip("needs Xvfb (Debian: apt-get install xvfb)")
    number_read, number_write = os.pipe()
    command = ["Xvfb", "-displayfd", str(number_write), "-screen", "0", "1024x768x24", "-fbdir", str(tmp_path)]
    server = subprocess.Popen(command, pass_fds=[number_write], stderr=subprocess.DEVNULL)
    os.close(number_write)
    with os.fdopen(number_read) as file:
        number = file.readline().strip()
    yield f":{number}", tmp_path / "Xvfb_screen0"
    server.terminate()
    server.wait(10)


def screenshot(path: Path) -> np.ndarray:
    """``(768, 1024)``: blue of an XWD file, whose header says how long it is."""
    content = path.read_bytes()
    header, colours = (int.from_bytes(content[at : at + 4], "big") for at in (0, 76))
    pixels = np.frombuffer(content, np.uint8, 768 * 1024 * 4, header + 12 * colours)
    return pixels.reshape(768, 1024, 4)[..., 0]


def test_it_shows_on_a_screen_and_says_nothing(screen):
    display, picture = screen
    environment = os.environ | {"DISPLAY": display}
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        deadline = time.monotonic() + 30
        while (shown := np.mean(screenshot(picture) == 117)) < 0.2 and time.monotonic() < deadline:
            time.sleep(0.1)
        out, err = running.communicate("\n", timeout=60)
    assert shown >= 0.2, "the frame is on the screen"
    assert (out, err) == ("0 True\n", "")
    assert running.returncode == 0


def refused(monkeypatch, uri: str = "window://", **environment: str) -> str:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(BadInputError) as caught:
        open_window(uri)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_without_a_screen(monkeypatch, capfd):
    assert "neither DISPLAY nor WAYLAND_DISPLAY is set" in refused(monkeypatch)
    assert "cannot open a window on this screen" in refused(monkeypatch, DISPLAY=":4711")
    assert "takes no name" in refused(monkeypatch, "window://two", DISPLAY=":0")
    assert capfd.readouterr().err == ""


def test_with_an_opencv_that_has_no_windows(monkeypatch):
    monkeypatch.setattr(window, "_PROBE", "raise SystemExit('The function is not implemented.')")
    assert "install opencv-python" in refused(monkeypatch, DISPLAY=":0")


def test_a_screen_that_does_not_answer(monkeypatch):
    monkeypatch.setattr(window, "_PROBE", "import time; time.sleep(60)")
    monkeypatch.setattr(window, "_PROBE_SECONDS", 0.2)
    assert "does not get an answer" in refused(monkeypatch, DISPLAY=":0")


@pytest.fixture
def drawn(monkeypatch):
    """A window without a screen: what it shows, and the keys that are pressed next."""
    pictures: list[np.ndarray] = []
    keys: list[int] = []
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(window, "_PROBE", "")
    monkeypatch.setattr(cv2, "namedWindow", lambda *_: None)
    monkeypatch.setattr(cv2, "resizeWindow", lambda *_: None)
    monkeypatch.setattr(cv2, "destroyWindow", lambda *_: None)
    monkeypatch.setattr(cv2, "imshow", lambda _, picture: pictures.append(picture))
    monkeypatch.setattr(cv2, "waitKey", lambda _: keys.pop(0) if keys else -1)
    return pictures, keys


def test_keys(drawn):
    _, keys = drawn
    sink, known = open_window("window://"), session()
    sink.start(known)
    for pressed in ("f", "f", "r", "q", "\x1b", "F", ""):
        keys.append(ord(pressed) | 0x100000 if pressed else -1)
        sink.write(status())
    assert known.controls.asked == [("freeze", True), ("freeze", False), ("reset_exam",), ("freeze", True)]
    sink.write(event("live"))
    keys.append(ord("f"))
    sink.write(status())
    assert known.controls.asked[-1] == ("freeze", True), "the machine had let it go"
    sink.close()
    sink.close()


def test_what_is_shown(drawn):
    pictures, _ = drawn
    sink = open_window("window://")
    sink.start(session())
    now = time.monotonic_ns()
    for record in (
        no_signal(now),
        status(),
        verdict(at_ns=now, pixels=np.full((480, 800), 99, np.uint8)),
        no_signal(now),
    ):
        sink.write(record)
    assert [picture.shape for picture in pictures] == [(564, 640, 3), (564, 800, 3), (564, 800, 3)]
    assert (pictures[1][300, 400] == 99).all()
    assert not (pictures[2] == 99).all(axis=2).any()
