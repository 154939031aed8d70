"""An RTSP server: 320x240 px, 25 frames a second, H.264 at rtsp://127.0.0.1:PORT/scan, over TCP, from GStreamer.

Each picture shows when it was made: 32 columns, black or white, are the bits of CLOCK_MONOTONIC in ms, highest first.

Run by the system's Python (its gi is no package of PyPI): rtsp_server.py PORT [--login USER PASSWORD]
[--tls CERTIFICATE KEY]. Says "ready" when it
listens. See `tests.peers.rtsp`.
"""

from __future__ import annotations

import argparse
import time

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
gi.require_version("GstRtsp", "1.0")
from gi.repository import Gio, GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

LAUNCH = (
    "( appsrc name=made is-live=true format=time do-timestamp=true"
    " caps=video/x-raw,format=I420,width=320,height=240,framerate=25/1"
    " ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=12 ! rtph264pay name=pay0 pt=96 )"
)
CHROMA = bytes([128]) * (320 * 240 // 2)


def picture() -> bytes:
    bits = format(time.monotonic_ns() // 1_000_000 % 2**32, "032b")
    return b"".join(bytes([235 if bit == "1" else 16]) * 10 for bit in bits) * 240 + CHROMA


def make(factory, media) -> None:
    source = media.get_element().get_by_name("made")
    going = [True]

    def push() -> bool:
        return going[0] and source.emit("push-buffer", Gst.Buffer.new_wrapped(picture())) == Gst.FlowReturn.OK

    media.connect("unprepared", lambda _: going.clear() or going.append(False))
    GLib.timeout_add(40, push)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port")
    parser.add_argument("--login", nargs=2, metavar=("USER", "PASSWORD"))
    parser.add_argument("--tls", nargs=2, metavar=("CERTIFICATE", "KEY"))
    asked = parser.parse_args()
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(asked.port)
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(LAUNCH)
    factory.set_shared(True)
    factory.connect("media-configure", make)
    factory.set_protocols(GstRtsp.RTSPLowerTrans.TCP)
    if asked.login or asked.tls:
        protect(server, factory, asked.login, asked.tls)
    server.get_mount_points().add_factory("/scan", factory)
    assert server.attach(None) > 0, "the port is in use"
    print("ready", flush=True)
    GLib.MainLoop().run()


def protect(server, factory, login, tls) -> None:
    auth, token, permissions = GstRtspServer.RTSPAuth(), GstRtspServer.RTSPToken(), GstRtspServer.RTSPPermissions()
    token.set_string("media.factory.role", "watcher")
    for what in ("access", "construct"):
        permissions.add_permission_for_role("watcher", f"media.factory.{what}", True)
    if login:
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(*login), token)
    else:
        auth.set_default_token(token)
    if tls:
        auth.set_tls_certificate(Gio.TlsCertificate.new_from_files(*tls))
    factory.set_permissions(permissions)
    server.set_auth(auth)


main()
