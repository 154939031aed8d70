"""``rtsp://`` and ``rtsps://``: streams of encoders and network cameras, over TCP."""

from __future__ import annotations

import socket
import ssl
from urllib.parse import SplitResult, urlsplit

import cv2

from edge_cns.errors import BadInputError
from edge_cns.frames import FrameSource
from edge_cns.runtime.sources.live import READ_SECONDS, Capture, LiveCapture, first_frame
from edge_cns.runtime.sources.opencv import open_capture
from edge_cns.runtime.uri import public_uri

__all__ = ["open_rtsp"]

_OPEN_MS, _READ_MS = 5000, round(1000 * READ_SECONDS)
_PORTS = {"rtsp": 554, "rtsps": 322}
# The newest frame rather than a smooth film: no probing for more streams, no reordering, no waiting for late packets
_LOW_DELAY = "rtsp_transport;tcp|fflags;nobuffer|flags;low_delay|max_delay;0"
_REFUSALS = {
    401: "asks for user and password, or refuses the ones given",
    403: "refuses this user",
    404: "has no stream of that path",
}


def open_rtsp(uri: str, *, live: bool = False) -> FrameSource:
    """Open ``rtsp://user:password@host:port/path``. All behind the host is the server's; there are no options of ours.

    Raises:
        BadInputError: no connection within 5 s, refused, or no picture that can be decoded. The password is not shown.
    """
    shown = public_uri(uri)
    address = _address(uri, shown)
    return LiveCapture(lambda: _connect(address, shown), lost=f"{shown} delivers no more frames")


def _address(uri: str, shown: str) -> SplitResult:
    """The URI taken apart; an empty host is this computer."""
    try:
        address = urlsplit(uri)
        usable = (address.port is None or address.port > 0) and uri.isprintable()
    except ValueError:  # of an odd port, or brackets
        usable = False
    if not usable:
        raise BadInputError(f"{shown} is no address of a stream; give rtsp://user:password@host:port/path")
    if address.hostname:
        return address
    login, at, port = address.netloc.rpartition("@")
    return address._replace(netloc=f"{login}{at}127.0.0.1{port}")


def _connect(address: SplitResult, shown: str) -> Capture:
    properties = {
        cv2.CAP_PROP_OPEN_TIMEOUT_MSEC: _OPEN_MS,
        cv2.CAP_PROP_READ_TIMEOUT_MSEC: _READ_MS,
        cv2.CAP_PROP_N_THREADS: 1,  # several decode several frames at once, and so deliver each one frame later
    }
    capture = open_capture(address.geturl(), cv2.CAP_FFMPEG, properties, {"OPENCV_FFMPEG_CAPTURE_OPTIONS": _LOW_DELAY})
    if capture.isOpened() and first_frame(capture):
        return capture  # type: ignore[no-any-return]
    capture.release()
    raise BadInputError(f"{shown} {_why(address)}")


def _why(address: SplitResult) -> str:
    """Why there is no stream, which OpenCV does not tell: asked once more without user and password."""
    host, port = address.hostname or "", address.port or _PORTS[address.scheme.lower()]
    bare = f"rtsp://{f'[{host}]' if ':' in host else host}:{port}{address.path}" + (
        f"?{address.query}" if address.query else ""
    )
    request = f"DESCRIBE {bare} RTSP/1.0\r\nCSeq: 1\r\nAccept: application/sdp\r\n\r\n"
    try:
        plain = socket.create_connection((host, port), _READ_MS / 1000)
        with plain, _secured(plain, address.scheme.lower(), host) as connection:
            connection.sendall(request.encode("utf-8"))
            answer = connection.recv(64).split()
    except OSError as error:
        reason = "no answer in time" if isinstance(error, TimeoutError) else error.strerror or str(error)
        return f"cannot be reached ({reason}); check the address, the cable and the server"
    if len(answer) < 2 or not answer[0].startswith(b"RTSP/") or not answer[1].isdigit():
        return "is no RTSP server; check host and port"
    status = int(answer[1])
    if status in _REFUSALS:
        return f"{_REFUSALS[status]} ({status}); check what the server expects"
    return "gives no picture that can be decoded; look at it with ffprobe, and ask the server for H.264"


def _secured(plain: socket.socket, scheme: str, host: str) -> socket.socket:
    if scheme != "rtsps":
        return plain
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # asks for a reason, sends no secret
    return context.wrap_socket(plain, server_hostname=host)
