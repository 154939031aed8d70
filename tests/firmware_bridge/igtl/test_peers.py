"""OpenIGTLink's own C++ programs: ImagerClient and ImagerServer send to us, and ReceiveServer reads what we send."""

from __future__ import annotations

import json
import os
import re
import socket
import time

import numpy as np
import pytest

from benchmarks.openigtlink import from_clients
from edge_cns.errors import BadInputError
from edge_cns.frames import Frame, MachineEvent
from edge_cns.runtime.sinks.base import Record, RecordType
from edge_cns.runtime.sinks.table import open_sink
from tests.firmware_bridge.igtl.client import Watched, until
from tests.firmware_bridge.igtl.test_sink import said, session
from tests.peers.openigtlink import FRAMES, need_openigtlink, sent_images, start


@pytest.fixture(autouse=True)
def peers():
    need_openigtlink()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def patiently(opened, uri: str):
    """Open what a program that was just started will listen for."""
    for _ in range(100):
        try:
            return opened(uri)
        except BadInputError:
            time.sleep(0.05)
    raise AssertionError("it does not listen")


def check(frames: list[Frame]) -> None:
    images = sent_images()
    for number, frame in enumerate(frames):
        np.testing.assert_array_equal(frame.pixels, images[number % 5])
        assert frame.mm_per_pixel == (1.0, 1.0)


def test_imager_client_sends_to_us():
    watched = Watched()
    watched.source.reply.start(session())
    running = start("ImagerClient", "127.0.0.1", watched.port, 200)
    for _ in range(FRAMES):
        watched.source.reply.write(said())  # it never reads
        time.sleep(0.002)
    assert running.wait(30) == 0
    until(lambda: len(watched.frames()) == FRAMES)
    check(watched.frames())
    assert watched.counts["damaged"] == 0
    watched.close()


def test_two_imager_clients_at_once():
    watched = Watched()
    running = [start("ImagerClient", "127.0.0.1", watched.port, 200) for _ in range(2)]
    assert [one.wait(30) for one in running] == [0, 0]
    until(lambda: not watched.source.endpoint.peers)
    until(lambda: watched.events()[-1][0] == "disconnected")
    assert len(watched.frames()) >= FRAMES, "one of them was heard from its first frame to its last"
    assert watched.counts["damaged"] == 0
    images = [image.tobytes() for image in sent_images()]
    assert all(frame.pixels.tobytes() in images for frame in watched.frames())
    watched.close()


def test_we_connect_to_imager_server_again_and_again():
    port = free_port()
    running = start("ImagerServer", port, 200)
    try:
        watched = patiently(Watched, f"igtl-client://127.0.0.1:{port}")
        until(lambda: len(watched.events()) >= 3, 30)  # it closes after a hundred frames, and listens again
        assert [kind for kind, _ in watched.events()[:3]] == ["disconnected", "connected", "disconnected"]
        _, begin, end = (i for i, one in enumerate(watched.taken) if isinstance(one, MachineEvent))
        assert end - begin - 1 == FRAMES, "of the first hundred some may have come before anybody looked"
        check(watched.taken[begin + 1 : end])
        assert watched.counts["damaged"] == 0
        watched.close()
    finally:
        running.kill()
        running.wait()


def test_receive_server_reads_what_we_send():
    port = free_port()
    running = start("ReceiveServer", port, quiet=False)
    try:
        sink = patiently(open_sink, f"igtl-client://127.0.0.1:{port}")
        sink.start(session())
        sink.write(said(11))
        sink.write(Record(RecordType.EXAM, {"exam": "7f"}))
        os.set_blocking(running.stdout.fileno(), False)
        heard = b""

        def everything() -> bool:
            nonlocal heard
            heard += running.stdout.read() or b""
            return b'"exam":"7f"' in heard

        until(everything)
        sink.close()
    finally:
        running.kill()
        running.wait()
        running.stdout.close()
    text = heard.decode()
    told = json.loads(re.search(r"Encoding: 3; String: (\{.*?verdict.*\})\n", text)[1])
    assert told["sequence"] == 11
    assert re.search(r"Code +: 1\n", text)
    assert re.search(r"Error Name: class\n", text)
    assert text.count("Receiving : NDARRAY") == 2, "which it skips by its length"


def test_the_benchmark_counts_them():
    line, well = from_clients(1)
    assert well
    assert line.endswith("| 100 | 100 | 100 | 0 |")
