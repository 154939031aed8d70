"""``igtl://`` with plain sockets: frames, events, answers, several clients, and clients that misbehave."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time

import numpy as np
import pytest

from edge_cns.errors import BadInputError, MissingExtraError
from edge_cns.frames import Frame, MachineEvent, UnusableFrame
from edge_cns.runtime.sinks.table import open_sink
from edge_cns.runtime.sources.table import open_source
from firmware_bridge.igtl import connection, wire
from firmware_bridge.igtl.content import DeviceStatus, decode_capability, decode_status, encode_string
from firmware_bridge.igtl.events import EVENT_NAME
from firmware_bridge.igtl.wire import encode
from tests.firmware_bridge.igtl.client import Client, Watched, event, until
from tests.firmware_bridge.igtl.material import flipped, grey, image, image_message


@pytest.fixture
def watched():
    one = Watched()
    yield one
    one.close()


def test_frames_arrive_as_they_were_sent(watched):
    sent = [grey(seed=i) for i in range(20)]
    before = time.monotonic_ns()
    with Client(watched.port) as client:
        client.send(*(image_message(pixels) for pixels in sent))
        until(lambda: len(watched.frames()) == 20)
    for number, (frame, pixels) in enumerate(zip(watched.frames(), sent, strict=True)):
        np.testing.assert_array_equal(frame.pixels, pixels)
        assert (frame.sequence, frame.mm_per_pixel) == (number, (0.5, 0.25))
    times = [frame.captured_ns for frame in watched.frames()]
    assert before < times[0]
    assert times == sorted(set(times)), "each has a time of its own, though the sender set no stamp"


def test_what_is_said_of_clients(watched):
    assert watched.events() == [("disconnected", "no client sends images yet")]
    with Client(watched.port) as client:
        client.send(image_message(grey()))
        until(watched.frames)
    until(lambda: len(watched.events()) == 3)
    assert watched.events()[1:] == [("connected", ""), ("disconnected", "the peer closed the connection")]
    with Client(watched.port) as client:
        client.send(image_message(grey()))
        until(lambda: len(watched.frames()) == 2)
    assert watched.events()[3:6] == [("connected", ""), ("exam", ""), ("mode", "")]


def test_events_and_frames_keep_their_order(watched):
    told = json.dumps({"kind": "exam", "value": "B"})
    with Client(watched.port) as client:
        client.send(
            event("exam", "A"),
            image_message(grey()),
            event("freeze"),
            image_message(grey(), version=2, metadata={EVENT_NAME: told}),
            event("probe", "C5-2"),
        )
        until(lambda: len(watched.taken) >= 8)
    said = [one.kind.value if isinstance(one, MachineEvent) else "frame" for one in watched.taken[2:8]]
    assert said == ["exam", "frame", "freeze", "exam", "frame", "probe"]
    assert watched.taken[5].value == "B"


@pytest.mark.parametrize(
    "bad",
    [
        encode("STRING", EVENT_NAME, encode_string("not JSON")),
        encode("STRING", EVENT_NAME, b"\0"),
        flipped(event("exam", "B"), -3),
        image_message(grey(), version=2, metadata={EVENT_NAME: "{}"}),
        flipped(image_message(grey(), version=2), 999),
        image_message(grey(), version=2, metadata={"long": "x" * 200_000}),
    ],
)
def test_an_event_that_cannot_be_read_may_have_been_another_exam(watched, bad):
    with Client(watched.port) as client:
        client.send(event("exam", "A"), bad)
        until(lambda: ("exam", "") in watched.events())
    assert watched.events()[2] == ("exam", "A")


def test_damage_in_messages_that_cannot_have_metadata_costs_no_evidence(watched):
    with Client(watched.port) as client:
        client.send(event("exam", "A"), flipped(image_message(grey()), 999), event("live"))
        until(lambda: ("live", "") in watched.events())
    assert ("exam", "") not in watched.events()


def test_an_event_of_an_unknown_kind_changes_nothing(watched):
    with Client(watched.port) as client:
        client.send(event("exam", "A"), event("gain", "3"), event("live"))
        until(lambda: ("live", "") in watched.events())
    assert watched.events()[1:4] == [("connected", ""), ("exam", "A"), ("live", "")]


def test_what_is_no_frame_is_said_and_the_next_one_is_taken(watched):
    volume = encode("IMAGE", "", image(grey(), size=(80, 64, 2), extent=(80, 64, 2)) + bytes(80 * 64))
    with Client(watched.port) as client:
        client.send(image_message(grey()), volume, flipped(image_message(grey()), 999), image_message(grey(seed=1)))
        until(lambda: len(watched.frames()) == 2)
    reasons = [one.reason for one in watched.taken if isinstance(one, UnusableFrame)]
    assert reasons == [
        "image is a volume of 80x64x2; send its slices one at a time",
        "IMAGE damaged on the way: its checksum does not fit",
    ]
    assert [one.sequence for one in watched.taken if not isinstance(one, MachineEvent)] == [0, 1, 2, 3]
    assert (watched.counts["images"], watched.counts["damaged"], watched.counts["unusable"]) == (2, 1, 2)


def test_bits_of_16_bit_images_are_what_the_uri_says():
    watched = Watched("igtl://127.0.0.1:0?bits=12")
    with Client(watched.port) as client:
        client.send(
            image_message(grey().astype(np.uint16)), image_message(grey().astype(np.int16)), image_message(grey())
        )
        until(lambda: len(watched.frames()) == 3)
    assert [frame.bits_stored for frame in watched.frames()] == [12, 12, None]
    watched.close()


# several clients


def test_two_clients_at_once_never_mix(watched):
    with Client(watched.port) as one, Client(watched.port) as two:
        one.send(image_message(grey(seed=1)))
        until(watched.frames)
        two.send(image_message(grey(seed=2)))
        until(lambda: len(watched.frames()) == 2)
        for _ in range(20):
            one.send(image_message(grey(seed=1)))
            two.send(image_message(grey(seed=2)))
        until(lambda: len(watched.frames()) == 22)
        one.send(event("exam", "of one"))
        until(lambda: watched.counts["events"] == 1)
    for frame in watched.frames()[1:]:
        np.testing.assert_array_equal(frame.pixels, grey(seed=2))
    assert watched.events()[1:6] == [
        *(("connected", ""), ("disconnected", "another client sends images now")),
        *(("connected", ""), ("exam", ""), ("mode", "")),
    ]


def test_a_client_that_only_listens_takes_the_place_of_nobody(watched):
    with Client(watched.port) as one, Client(watched.port):
        one.send(image_message(grey()), image_message(grey()))
        until(lambda: len(watched.frames()) == 2)
    assert watched.events()[:2] == [("disconnected", "no client sends images yet"), ("connected", "")]


def test_damage_takes_the_place_of_nobody(watched):
    with Client(watched.port) as one, Client(watched.port) as two:
        one.send(image_message(grey()))
        until(watched.frames)
        two.send(
            flipped(image_message(grey()), 999),
            flipped(event("exam", "B"), -2),
            flipped(image_message(grey(), version=2), 99),
        )
        until(lambda: watched.counts["damaged"] == 3)
        one.send(image_message(grey()))
        until(lambda: len(watched.frames()) == 2)


def test_ten_bytes_and_nothing_more_disturb_nobody(watched, monkeypatch):
    monkeypatch.setattr(connection, "_MESSAGE_SECONDS", 0.4)
    with Client(watched.port) as good, Client(watched.port) as bad, Client(watched.port) as slow:
        good.send(image_message(grey()))
        bad.send(image_message(grey())[:10])
        slow.send(image_message(grey())[:1000])
        for _ in range(10):
            good.send(image_message(grey()))
            time.sleep(0.01)
        assert bad.ended()
        assert slow.ended()
        good.send(image_message(grey()))
        until(lambda: len(watched.frames()) == 12)
    assert [kind for kind, _ in watched.events()][:2] == ["disconnected", "connected"]


@pytest.mark.parametrize(
    "data",
    [
        struct.pack(">H12s20sQQQ", 1, b"IMAGE", b"Probe", 0, 4 * 2**30, 0),
        b"GET / HTTP/1.1\r\nHost: localhost:18944\r\nAccept: text/html, image/png\r\n\r\n",
        bytes(58),
    ],
    ids=["4 GB", "a browser", "zeros"],
)
def test_what_is_no_openigtlink_is_closed_at_once_and_disturbs_nobody(watched, data):
    with Client(watched.port) as good, Client(watched.port) as bad:
        good.send(image_message(grey()))
        bad.send(data)
        assert bad.ended()
        good.send(image_message(grey()))
        until(lambda: len(watched.frames()) == 2)


def test_not_more_than_eight_at_once(watched):
    clients = [Client(watched.port) for _ in range(8)]
    until(lambda: watched.source.endpoint.peers == 8)
    with Client(watched.port) as ninth:
        assert ninth.ended()
    clients.pop().socket.close()
    until(lambda: watched.source.endpoint.peers == 7)
    with Client(watched.port) as next_one:
        next_one.send(image_message(grey()))
        until(watched.frames)
    for client in clients:
        client.socket.close()


def test_only_those_who_are_named_may_connect():
    watched = Watched("igtl://127.0.0.1:0?allow=127.0.0.2")
    with Client(watched.port) as stranger:
        assert stranger.ended()
    with socket.create_connection(("127.0.0.1", watched.port), 5, ("127.0.0.2", 0)) as friend:
        friend.sendall(image_message(grey()))
        until(watched.frames)
    assert watched.counts["refused"] == 1
    watched.close()


# the way back


def test_questions_are_answered_in_the_version_that_the_peer_speaks(watched):
    with Client(watched.port) as client:
        client.send(encode("GET_STATUS", "me", b""))
        kind, device, content, version = client.receive()
        assert (kind, device, version) == ("STATUS", "me", 1)
        assert decode_status(content) == DeviceStatus(13, "no_signal", "there is no verdict")
        client.send(encode("GET_CAPABIL", "", b"", version=2))
        kind, _, content, version = client.receive()
        assert (kind, version) == ("CAPABILITY", 2)
        assert {"IMAGE", "STRING", "STATUS", "NDARRAY"} < set(decode_capability(content))
        client.send(encode("GET_IMAGE", "a", b"", version=2), encode("STT_TDATA", "b", b""), encode("RTS_X", "", b""))
        assert client.receive()[:3] == ("IMAGE", "a", b"")
        assert client.receive()[:3] == ("RTS_TDATA", "b", b"\x01")
        client.send(encode("GET_", "", b""), encode("GET_STATUS", "", b""))
        assert client.receive()[:2] == ("STATUS", "EDGE_CNS_STATE")


def test_a_client_that_reads_nothing_is_still_heard(watched):
    """Programs that send images often never read: they must not be cut off, nor keep our memory."""
    with Client(watched.port) as client:
        asked = encode("GET_STATUS", "x" * 20, b"") * 200
        for i in range(100):
            client.send(asked, image_message(grey(seed=i)))
        until(lambda: len(watched.frames()) == 100)
        until(lambda: watched.counts["messages"] == 20_100)
        np.testing.assert_array_equal(watched.frames()[-1].pixels, grey(seed=99))


def test_the_end_is_said(watched):
    with Client(watched.port) as client:
        client.send(image_message(grey()))
        until(watched.frames)
        watched.source.close()
        kind, device, content, _ = client.receive()
        assert (kind, device, decode_status(content).name) == ("STATUS", "EDGE_CNS_STATE", "leaving")
        assert client.ended()


# opening and closing


def test_a_port_that_is_taken():
    watched = Watched()
    for opened in (open_source, open_sink):
        with pytest.raises(BadInputError, match="cannot be listened on"):
            opened(f"igtl://127.0.0.1:{watched.port}")
    watched.close()
    open_source(f"igtl://127.0.0.1:{watched.port}").close()


def test_without_the_library_for_checksums(monkeypatch):
    monkeypatch.setattr(wire, "_engine", lambda: wire.require("no_such_library", "igtl"))
    with pytest.raises(MissingExtraError, match=r"edge-cns\[igtl\]"):
        open_source("igtl://127.0.0.1:0")


def test_nothing_is_left_behind():
    before = threading.active_count()
    watched = Watched()
    clients = [Client(watched.port) for _ in range(3)]
    clients[0].send(image_message(grey()))
    clients[1].send(image_message(grey())[:100])
    until(watched.frames)
    watched.close()
    watched.close()
    until(lambda: threading.active_count() == before)
    for client in clients:
        client.socket.close()


def test_closing_does_not_wait_for_a_client_that_does_not_read(watched):
    with Client(watched.port) as client:
        client.send(encode("GET_STATUS", "x" * 20, b"") * 10_000, image_message(grey()))
        until(watched.frames)
        started = time.monotonic()
        watched.source.close()
        assert time.monotonic() - started < 1.5


def test_frames_are_values(watched):
    with Client(watched.port) as client:
        client.send(image_message(grey()), image_message(grey(seed=1)))
        until(lambda: len(watched.frames()) == 2)
    assert isinstance(watched.taken[2], Frame)
    assert not any(frame.pixels.flags.writeable for frame in watched.frames())
    np.testing.assert_array_equal(watched.frames()[0].pixels, grey())
