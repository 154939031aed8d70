"""pyigtl, an OpenIGTLink of its own, both ways round."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import time
from types import SimpleNamespace

import numpy as np
import pytest

from edge_cns.runtime.sinks.base import Record, RecordType
from edge_cns.runtime.sinks.table import open_sink
from firmware_bridge.igtl.events import EVENT_NAME
from tests.firmware_bridge.igtl.client import Watched, until
from tests.firmware_bridge.igtl.material import grey
from tests.firmware_bridge.igtl.test_sink import said, session

pyigtl = pytest.importorskip("pyigtl")

MATRIX = np.diag([0.5, 0.25, 1.0, 1.0])


@contextlib.contextmanager
def their_client(port: int):
    client = pyigtl.OpenIGTLinkClient("127.0.0.1", port)
    until(client.is_connected)
    yield client
    client.stop()


@contextlib.contextmanager
def their_server():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    server = pyigtl.OpenIGTLinkServer(port=port)
    yield SimpleNamespace(link=server, port=port)
    server.stop()
    for number, handler in handlers.items():
        signal.signal(number, handler)


def pictured(seed: int):
    return pyigtl.ImageMessage(grey(seed=seed)[np.newaxis], MATRIX, device_name="Probe")


def test_their_client_sends_images_and_events_and_reads_verdicts():
    watched = Watched()
    watched.source.reply.start(session())
    with their_client(watched.port) as client:
        client.send_message(pyigtl.StringMessage(json.dumps({"kind": "exam", "value": "7f"}), device_name=EVENT_NAME))
        for i in range(20):
            client.send_message(pictured(i))
        until(lambda: len(watched.frames()) == 20)
        watched.source.reply.write(said(3))
        text = client.wait_for_message("EDGE_CNS_VERDICT", 5).string
    assert json.loads(text)["sequence"] == 3
    for i, frame in enumerate(watched.frames()):
        np.testing.assert_array_equal(frame.pixels, grey(seed=i))
        assert frame.mm_per_pixel == (0.5, 0.25)
    assert ("exam", "7f") in watched.events()
    watched.close()


def test_we_connect_to_their_server_and_send_back():
    with their_server() as server:
        watched = Watched(f"igtl-client://127.0.0.1:{server.port}")
        watched.source.reply.start(session())
        until(server.link.is_connected)
        for i in range(20):
            server.link.send_message(pictured(i))
        until(lambda: len(watched.frames()) == 20)
        for i, frame in enumerate(watched.frames()):
            np.testing.assert_array_equal(frame.pixels, grey(seed=i))
        watched.source.reply.write(said(4))
        assert json.loads(server.link.wait_for_message("EDGE_CNS_VERDICT", 5).string)["sequence"] == 4
        watched.close()


def test_their_server_receives_what_the_sink_says():
    with their_server() as server:
        sink = open_sink(f"igtl-client://127.0.0.1:{server.port}")
        sink.start(session())
        until(server.link.is_connected)
        for i in range(50):
            sink.write(Record(RecordType.EXAM, {"n": i}))
            time.sleep(0.001)
        sink.write(Record(RecordType.EXAM, {"n": "last"}))
        until(lambda: "last" in getattr(server.link.wait_for_message("EDGE_CNS_EXAM", 5), "string", ""))
        sink.close()
