"""``rtsp://`` against a real server: frames, their age, loss and return, refusals."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
from itertools import islice

import pytest

from edge_cns.errors import BadInputError
from edge_cns.frames import EventKind, Frame, MachineEvent
from edge_cns.runtime.sources.table import open_source
from tests.peers.rtsp import RtspServer, made_at_ms, need_rtsp_server


@pytest.fixture
def server():
    need_rtsp_server()
    running = RtspServer()
    yield running
    running.kill()


def until(taken, kind: EventKind) -> tuple[list[Frame], MachineEvent]:
    """The frames before the next event, which is of this kind."""
    frames = []
    for one in taken:
        if isinstance(one, MachineEvent):
            assert one.kind is kind
            return frames, one
        frames.append(one)
    raise AssertionError("the source ended")


def test_frames_are_fresh(server):
    source = open_source(server.uri, live=True)
    frames = list(islice(source, 40))
    source.close()
    assert [frame.sequence for frame in frames] == list(range(40))
    assert {frame.pixels.shape for frame in frames} == {(240, 320, 3)}
    ages = sorted(frame.captured_ns // 1_000_000 % 2**32 - made_at_ms(frame.pixels) for frame in frames)
    assert ages[0] >= 0
    assert ages[20] < 300, "from the camera's clock to ours; about 45 ms when nothing else runs"


def test_a_killed_server_is_said_and_comes_back(server):
    source = open_source(server.uri, live=True)
    taken = iter(source)
    before = list(islice(taken, 10))
    killed = time.monotonic()
    server.kill()
    _, lost = until(taken, EventKind.DISCONNECTED)
    assert time.monotonic() - killed < 4
    assert lost.value == f"{server.uri} delivers no more frames"
    server.start()
    none, _ = until(taken, EventKind.CONNECTED)
    assert none == []
    after = list(islice(taken, 10))
    source.close()
    assert [frame.sequence for frame in after] == list(range(after[0].sequence, after[0].sequence + 10))
    assert after[0].sequence >= before[-1].sequence + 1


def test_a_silent_server_is_said_within_the_read_timeout(server):
    source = open_source(server.uri, live=True)
    taken = iter(source)
    list(islice(taken, 10))
    server.pause()
    paused = time.monotonic()
    until(taken, EventKind.DISCONNECTED)
    assert 1.5 < time.monotonic() - paused < 5
    source.close()


def test_closing_does_not_wait_for_a_silent_server(server):
    source = open_source(server.uri, live=True)
    taken = iter(source)
    list(islice(taken, 5))
    server.pause()
    rest = []
    reader = threading.Thread(target=lambda: rest.extend(taken))
    reader.start()
    time.sleep(0.3)
    started = time.monotonic()
    source.close()
    reader.join(10)
    assert time.monotonic() - started < 1.5


def test_a_program_that_forgets_to_close_ends_cleanly(server):
    code = (
        "import sys; from edge_cns.runtime.sources.table import open_source; "
        "taken = iter(open_source(sys.argv[1], live=True)); next(taken); next(taken)"
    )
    ended = subprocess.run([sys.executable, "-c", code, server.uri], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_user_and_password():
    need_rtsp_server()
    server = RtspServer("--login", "sono", "p@ss w0rd")
    try:
        source = open_source(server.uri.replace("//", "//sono:p%40ss%20w0rd@"), live=True)
        assert len(list(islice(source, 3))) == 3
        source.close()
        for login in ("sono:wrong@", ""):
            with pytest.raises(BadInputError) as caught:
                open_source(server.uri.replace("//", f"//{login}"), live=True)
            assert str(caught.value).startswith(f"{server.uri} asks for user and password, or refuses the ones given")
    finally:
        server.kill()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes a certificate with openssl")
def test_encrypted(tmp_path):
    need_rtsp_server()
    certificate, key = str(tmp_path / "certificate.pem"), str(tmp_path / "key.pem")
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate]
    subprocess.run([*make, "-days", "2", "-subj", "/CN=localhost"], check=True, capture_output=True)
    server = RtspServer("--tls", certificate, key)
    try:
        source = open_source(server.uri, live=True)
        assert len(list(islice(source, 3))) == 3
        source.close()
        with pytest.raises(BadInputError, match=r"has no stream of that path \(404\)"):
            open_source(server.uri.replace("/scan", "/nowhere"), live=True)
    finally:
        server.kill()


def test_refusals(server, capfd):
    for uri, text in (
        (server.uri.replace("/scan", "/nowhere"), "has no stream of that path (404)"),
        (server.uri.replace(f"{server.port}", "9"), "cannot be reached (Connection refused)"),
    ):
        with pytest.raises(BadInputError) as caught:
            open_source(uri.replace("//", "//me:secret@"), live=True)
        assert text in str(caught.value)
        assert "secret" not in str(caught.value)
    out, err = capfd.readouterr()
    assert "secret" not in out + err
