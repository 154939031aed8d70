"""``rtsp://`` without a server that streams; against a real one see tests/peers/test_rtsp.py."""

from __future__ import annotations

import socket
import threading
from itertools import islice

import cv2
import pytest

from edge_cns.errors import BadInputError
from edge_cns.runtime.sources import rtsp
from edge_cns.runtime.sources.table import open_source
from tests.runtime.sources.fake_capture import FakeCapture


@pytest.fixture
def answering():
    """A server that answers every request with the same bytes, and keeps the requests."""
    listener, requests = socket.create_server(("127.0.0.1", 0)), []

    def serve(answer: bytes) -> str:
        def work() -> None:
            try:
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        requests.append(connection.recv(2000))
                        connection.sendall(answer)
            except OSError:  # the test is over
                return

        threading.Thread(target=work, daemon=True).start()
        return f"rtsp://me:s%40cret@127.0.0.1:{listener.getsockname()[1]}/live/1?channel=2"

    yield serve, requests
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


@pytest.fixture
def failing(monkeypatch):
    monkeypatch.setattr(rtsp, "open_capture", lambda *_: FakeCapture(opened=False))


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (b"RTSP/1.0 401 Unauthorized\r\n\r\n", "asks for user and password, or refuses the ones given (401)"),
        (b"RTSP/1.0 404 Not Found\r\n\r\n", "has no stream of that path (404)"),
        (b"RTSP/1.0 200 OK\r\n\r\n", "gives no picture that can be decoded"),
        (b"RTSP/1.0 \xff\r\n\r\n", "is no RTSP server"),
        (b"SSH-2.0-OpenSSH\r\n", "is no RTSP server"),
        (b"", "is no RTSP server"),
    ],
)
@pytest.mark.usefixtures("failing")
def test_why_there_is_no_stream(answering, answer, text):
    serve, requests = answering
    uri = serve(answer)
    with pytest.raises(BadInputError) as caught:
        open_source(uri, live=True)
    said = str(caught.value)
    assert said.startswith(uri.replace("me:s%40cret@", "").partition("?")[0])
    assert text in said
    assert "\n" not in said
    assert "cret" not in said
    assert requests[0].startswith(b"DESCRIBE rtsp://127.0.0.1:")
    assert b"/live/1?channel=2 RTSP/1.0\r\n" in requests[0]
    assert b"cret" not in requests[0], "asked in the open, so without the password"


@pytest.mark.parametrize(
    "uri",
    ["rtsp://me:secret@host:port/", "rtsp://host:99999/", "rtsp://[::1/x", "rtsp://host/a\r\nTEARDOWN", "rtsp://:0/"],
)
def test_no_address(uri):
    with pytest.raises(BadInputError, match="is no address of a stream; give rtsp://user:password@host") as caught:
        open_source(uri)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("uri", "opened"),
    [
        ("rtsp:///scan", "rtsp://127.0.0.1/scan"),
        ("rtsp://:8554/scan?a=1", "rtsp://127.0.0.1:8554/scan?a=1"),
        ("rtsps://me:it@/scan", "rtsps://me:it@127.0.0.1/scan"),
        ("rtsp://me:p%40ss@Host:8554/scan?a=1", "rtsp://me:p%40ss@Host:8554/scan?a=1"),
    ],
)
def test_an_empty_host_is_this_computer(monkeypatch, uri, opened):
    seen = []
    monkeypatch.setattr(rtsp, "open_capture", lambda name, *_: seen.append(name) or FakeCapture())
    open_source(uri).close()
    assert seen == [opened]


def test_how_it_is_opened(monkeypatch):
    opened = []
    monkeypatch.setattr(rtsp, "open_capture", lambda *arguments: opened.append(arguments) or FakeCapture())
    source = open_source("rtsp://me:secret@camera/live", live=True)
    assert len(list(islice(source, 3))) == 3
    source.close()
    ((uri, backend, properties, environment),) = opened
    assert (uri, backend) == ("rtsp://me:secret@camera/live", cv2.CAP_FFMPEG)
    assert properties[cv2.CAP_PROP_N_THREADS] == 1, "frame threads would deliver each frame later"
    assert 0 < properties[cv2.CAP_PROP_READ_TIMEOUT_MSEC] <= 2000
    assert 0 < properties[cv2.CAP_PROP_OPEN_TIMEOUT_MSEC] <= 5000
    assert "rtsp_transport;tcp" in environment["OPENCV_FFMPEG_CAPTURE_OPTIONS"]


def test_the_environment_is_as_it_was(monkeypatch):
    import os

    from edge_cns.runtime.sources.opencv import open_capture

    seen = []
    monkeypatch.setenv("SET_BEFORE", "1")
    monkeypatch.setattr(
        cv2, "VideoCapture", lambda *a: seen.append((a, os.environ["SET_BEFORE"], os.environ["NEW"])) or FakeCapture()
    )
    open_capture("name", 7, {1: 2, 3: 4}, {"SET_BEFORE": "2", "NEW": "3"})
    assert seen == [(("name", 7, [1, 2, 3, 4]), "2", "3")]
    assert os.environ["SET_BEFORE"] == "1"
    assert "NEW" not in os.environ
