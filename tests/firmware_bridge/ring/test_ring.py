"""The ring between two parties: frames in, verdicts out, and what happens when either misbehaves or dies."""

from __future__ import annotations

import gc
import mmap
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from edge_cns.errors import BadInputError, OperationError
from edge_cns.frames import EventKind, UnusableFrame
from edge_cns.runtime.sealed import sealed_memory
from firmware_bridge.ring.address import abstract_name
from firmware_bridge.ring.client import RingClient
from firmware_bridge.ring.source import open_ring
from firmware_bridge.ring.wire import Event, EventCode, FrameMessage, Hello, Outcome, Refused, ResultFlag, StateCode
from tests.firmware_bridge.ring.served import Served, fresh_name

SMALL = (96, 128)


@pytest.fixture
def serve(tiny_bundle: Path) -> Iterator[Callable[..., Served]]:
    made: list[Served] = []

    def start(**options) -> Served:
        made.append(Served(fresh_name(), tiny_bundle, **options))
        return made[-1]

    yield start
    for one in made:
        one.close()


def pictures(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, *SMALL), np.uint8)


def test_frames_arrive_as_they_were(serve):
    served = serve(keep=True)
    grey = pictures(3)
    deep = grey[0].astype(np.uint16) * 16
    colour = np.stack(list(grey), axis=-1)
    with RingClient(served.name, largest=SMALL, bytes_per_pixel=3) as machine:
        sent_ns = time.monotonic_ns()
        assert machine.send(grey[0], sent_ns, region=(8, 4, 100, 80), mm_per_pixel=(0.25, 0.5))
        assert machine.send(deep, bits_stored=12)
        assert machine.send(colour)
        served.wait_for(lambda: len(served.frames) == 3)
        first, second, _ = served.frames
        assert (first.sequence, first.captured_ns, first.mm_per_pixel) == (0, sent_ns, (0.25, 0.5))
        assert (first.region.x, first.region.y, first.region.width, first.region.height) == (8, 4, 100, 80)
        assert (second.bits_stored, second.region, second.mm_per_pixel) == (12, None, None)
        for frame, pixels in zip(served.frames, (grey[0], deep, colour), strict=True):
            assert frame.pixels.dtype == pixels.dtype
            assert np.array_equal(frame.pixels, pixels)
            assert not frame.pixels.flags.writeable


def test_a_frame_that_is_looked_at_is_never_written_over(serve):
    served = serve(keep=True)
    sent = pictures(40)
    with RingClient(served.name, largest=SMALL, slots=4) as machine:
        for picture in sent:
            while not machine.send(picture):
                machine._sequence -= 1  # the same frame once more
                time.sleep(0.001)
        served.wait_for(lambda: len(served.frames) == len(sent))
        for frame, picture in zip(served.frames, sent, strict=True):
            assert np.array_equal(frame.pixels, picture)
        assert sum(isinstance(frame.pixels.base, mmap.mmap) for frame in served.frames) == 2, "the others are copies"


def test_a_slot_is_free_again_when_nobody_looks_any_more(serve):
    served = serve()
    with RingClient(served.name, largest=SMALL, slots=4) as machine:
        for picture in pictures(30):
            assert machine.send(picture)
            served.wait_for(lambda: machine.drain() or machine.free_slots == 4)
    assert machine.would_block == 0


def test_would_block_is_counted_on_both_sides(serve):
    served = serve()
    with RingClient(served.name, largest=SMALL, slots=3) as machine:
        pixels = pictures(1)[0]
        machine._free.clear()
        assert not machine.send(pixels)
        assert not machine.send(pixels)
        machine._free.extend(range(3))
        assert machine.send(pixels)
        served.wait_for(lambda: served.sums)
        assert served.sums[0][0] == 2, "two numbers are missing"
        assert machine.would_block == 2


def test_what_the_machine_says_comes_in_order_with_its_frames(serve):
    served = serve()
    with RingClient(served.name, largest=SMALL) as machine:
        for code in EventCode:
            machine.say(code, f"value {code}")
        served.wait_for(lambda: len(served.events) == len(EventCode) + 3)
        kinds = [kind for kind, _ in served.events]
    assert kinds[:3] == [EventKind.DISCONNECTED, EventKind.EXAM, EventKind.CONNECTED]
    assert kinds[3:] == [
        EventKind.EXAM,
        EventKind.EXAM_END,
        EventKind.FETUS,
        EventKind.FREEZE,
        EventKind.LIVE,
        EventKind.CINE,
        EventKind.PROBE,
        EventKind.PRESET,
        EventKind.DEPTH,
        EventKind.MODE,
        EventKind.ORIENTATION,
        EventKind.GESTATIONAL_AGE,
    ]
    assert served.events[3][1] == "value 1"


def test_results_say_what_was_said(serve):
    served = serve()
    with RingClient(served.name, largest=SMALL) as machine:
        assert machine.names == served.bundle.contract.class_names
        machine.send(pictures(1)[0])
        result = machine.result(5)
        assert (result.sequence, result.state, result.label, result.probability) == (0, StateCode.CLASS, 1, 0.75)
        assert (result.steady_state, result.steady_label) == (StateCode.INDETERMINATE, -1)
        assert result.flags == ResultFlag.CALIBRATED | ResultFlag.PROVEN
        assert result.probabilities[1] == np.float32(0.75)
        assert (result.exam, result.reason, result.outcome) == ("exam-1", "made up", Outcome.NONE)
        assert result.expires_ns > result.captured_ns
        assert machine.result(0.01) is None


def test_a_machine_that_reads_no_results_holds_up_nobody(serve):
    served = serve()
    with RingClient(served.name, largest=SMALL) as machine:
        machine.send(pictures(1)[0])
        served.wait_for(lambda: served.sums)
        frame_like = type("Seen", (), {"sequence": 1, "captured_ns": time.monotonic_ns()})
        begun = time.monotonic()
        for _ in range(2000):
            served.answer(frame_like)
        assert time.monotonic() - begun < 5
        assert served.lost > 0
        assert machine.result(1) is not None, "those that fitted are there"


def test_another_machine_is_another_exam_and_the_same_one_is_not(serve):
    served = serve()
    RingClient(served.name, instance=7).close()
    served.wait_for(lambda: served.events[-1][0] is EventKind.DISCONNECTED and len(served.events) == 4)
    RingClient(served.name, instance=7).close()
    served.wait_for(lambda: len(served.events) == 6)
    RingClient(served.name, instance=8).close()
    served.wait_for(lambda: len(served.events) == 9)
    kinds = [kind.value for kind, _ in served.events]
    once, again, other = kinds[1:4], kinds[4:6], kinds[6:9]
    assert once == other == ["exam", "connected", "disconnected"]
    assert again == ["connected", "disconnected"]


def test_only_one_machine_at_a_time(serve):
    served = serve()
    with RingClient(served.name):
        served.wait_for(lambda: served.events[-1][0] is EventKind.CONNECTED)
        with pytest.raises(BadInputError, match="another machine is connected"):
            RingClient(served.name)


def test_a_machine_that_has_just_left_is_in_nobodys_way(serve):
    served = serve()
    for _ in range(200):
        RingClient(served.name, largest=SMALL).close()


def test_whoever_is_refused_hears_why(serve):
    served = serve()
    with RingClient(served.name):
        served.wait_for(lambda: served.events[-1][0] is EventKind.CONNECTED)
        for _ in range(200):
            with pytest.raises(BadInputError, match="another machine is connected"):
                RingClient(served.name, largest=SMALL)


def test_frames_of_a_machine_that_died_stay_as_they_are(serve, tmp_path):
    served = serve(keep=True)
    script = f"""
import numpy as np, os, signal
from firmware_bridge.ring.client import RingClient
machine = RingClient({served.name!r}, largest={SMALL!r})
for i in range(5):
    machine.send(np.full({SMALL!r}, 10 * i, np.uint8))
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", script], check=False, timeout=60)
    served.wait_for(lambda: served.events[-1] == (EventKind.DISCONNECTED, "the machine is gone"))
    assert [int(frame.pixels.max()) for frame in served.frames] == [0, 10, 20, 30, 40]
    with RingClient(served.name, largest=SMALL) as machine:
        assert machine.send(pictures(1)[0])
        served.wait_for(lambda: len(served.frames) == 6)


def results_without_end(machine: RingClient) -> None:
    while True:
        machine.result(1)


def test_the_machine_notices_that_the_classifier_died(tiny_bundle):
    name = fresh_name()
    command = [sys.executable, "-m", "edge_cns", "run", tiny_bundle, "--source", f"ring://{name}"]
    classifier = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 30
        while True:
            try:
                machine = RingClient(name, largest=SMALL)
                break
            except BadInputError:
                assert time.monotonic() < until
                time.sleep(0.05)
        assert machine.send(pictures(1)[0])
        assert machine.result(10) is not None
        classifier.kill()
        classifier.wait()
        with pytest.raises(OperationError, match="gone"):
            results_without_end(machine)
        machine.close()
    finally:
        classifier.kill()
        classifier.wait()
    assert not [entry for entry in os.listdir("/dev/shm") if "edge-cns" in entry]


def connected(served: Served) -> socket.socket:
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    channel.settimeout(10)
    channel.connect(abstract_name(served.name))
    return channel


def memory(size: int, *, sealed: bool) -> int:
    if sealed:
        return sealed_memory("ring", size)
    descriptor = os.memfd_create("ring")
    os.ftruncate(descriptor, size)
    return descriptor


PAGE = os.sysconf("SC_PAGESIZE")


@pytest.mark.parametrize(
    ("hello", "size", "sealed", "why"),
    [
        (Hello(1, 4 * PAGE, PAGE, 4, 0, ""), 4 * PAGE, False, "no sealed memory file"),
        (Hello(1, 4 * PAGE, PAGE, 4, 0, ""), 2 * PAGE, True, "where 16384 are said"),
        (Hello(1, 4 * PAGE, PAGE, 5, 0, ""), 4 * PAGE, True, "slots times their size"),
        (Hello(1, 4 * PAGE, PAGE - 1, 4, 0, ""), 4 * PAGE, True, "whole pages"),
        (Hello(1, 2**40, 2**40, 3, 0, ""), PAGE, True, "1 GiB"),
        (Hello(1, 99 * PAGE, PAGE, 99, 0, ""), 99 * PAGE, True, "a ring of 99 slots"),
    ],
)
def test_a_ring_that_cannot_be_trusted_is_refused(serve, hello, size, sealed, why):
    served = serve()
    descriptor = memory(size, sealed=sealed)
    with connected(served) as channel:
        socket.send_fds(channel, [hello.pack()], [descriptor])
        os.close(descriptor)
        assert why in Refused.unpack(channel.recv(65536)).text
    RingClient(served.name).close()  # the next one may come


def test_a_hello_without_a_ring_or_no_hello_at_all_is_refused(serve):
    served = serve()
    with connected(served) as channel:
        channel.send(Hello(1, 4 * PAGE, PAGE, 4, 0, "").pack())
        assert "no ring" in Refused.unpack(channel.recv(65536)).text
    with connected(served) as channel:
        channel.send(b"GET / HTTP/1.1\r\n\r\n")
        assert "no message of an edge-cns machine" in Refused.unpack(channel.recv(65536)).text
    with connected(served) as channel:
        assert "said no hello" in Refused.unpack(channel.recv(65536)).text


def frame_message(**changes) -> FrameMessage:
    fields = {
        "sequence": 0,
        "captured_ns": 1,
        "slot": 0,
        "format": 1,
        "width": 128,
        "height": 96,
        "stride": 128,
        "bits_stored": 0,
        "region": (0, 0, 0, 0),
        "mm_per_pixel": (0.0, 0.0),
        "would_block": 0,
    }
    return FrameMessage(**(fields | changes))


@pytest.mark.parametrize(
    "message",
    [
        frame_message(slot=8),
        frame_message(height=8192, width=8192, stride=8192),
        frame_message(stride=127),
        frame_message(format=4),
        frame_message(format=2, stride=257),
        frame_message(width=0, stride=0),
        Event(0, 99, 0, ""),
    ],
    ids=str,
)
def test_a_machine_that_talks_nonsense_is_sent_away(serve, message):
    served = serve()
    machine = RingClient(served.name, largest=SMALL)
    machine._channel.send(message.pack())
    served.wait_for(lambda: served.events[-1][0] is EventKind.DISCONNECTED and len(served.events) == 4)
    assert "sent away" in served.events[-1][1]
    assert not served.sums
    machine.close()
    RingClient(served.name).close()


def test_a_slot_handed_over_twice_is_nonsense_too(serve):
    served = serve(keep=True)
    machine = RingClient(served.name, largest=SMALL)
    machine._channel.send(frame_message().pack())
    machine._channel.send(frame_message(sequence=1).pack())
    served.wait_for(lambda: "sent away" in served.events[-1][1])
    assert len(served.frames) == 1
    machine.close()


def test_a_frame_that_is_too_small_is_said_and_costs_nothing(serve):
    served = serve()
    with RingClient(served.name, largest=SMALL) as machine:
        machine._channel.send(frame_message(width=40, height=30, stride=40).pack())
        served.wait_for(lambda: any(isinstance(seen, UnusableFrame) for seen in served.other))
        assert machine.send(pictures(1)[0])
        served.wait_for(lambda: served.sums)


def test_nothing_is_left_open(serve):
    served = serve()

    def once() -> None:
        before = len(served.events)
        machine = RingClient(served.name, largest=SMALL)
        machine.send(pictures(1)[0])
        assert machine.result(5) is not None
        machine.close()
        served.wait_for(lambda: served.events[before:] and served.events[-1][0] is EventKind.DISCONNECTED)

    gc.collect()
    gc.disable()
    try:
        once()
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(20):
            once()
        served.wait_for(lambda: len(os.listdir("/proc/self/fd")) <= before, 3)
    finally:
        gc.enable()


def test_bad_names_and_a_ring_in_use(tiny_bundle):
    for uri, why in (
        ("ring://", "is no ring"),
        ("ring://a/b", "is no ring"),
        ("ring://cart?x=1", "no option 'x'"),
        ("ring://cart?uid=me", "no whole number"),
    ):
        with pytest.raises(BadInputError, match=why):
            open_ring(uri)
    served = Served(fresh_name(), tiny_bundle)
    with pytest.raises(BadInputError, match="served by another process"):
        open_ring(served.uri)
    served.close()
    Served(served.name, tiny_bundle).close()  # free again


def test_another_system_is_told_so_before_anything_is_imported():
    program = "import sys; sys.platform = 'win32'; import firmware_bridge.ring.source"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "UnsupportedError: ring:// needs Linux's memory files and sockets, and this is win32" in done.stderr
