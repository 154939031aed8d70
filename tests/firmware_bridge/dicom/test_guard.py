"""Limits of one connection, whatever is sent."""

from __future__ import annotations

import os
import socket
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge.dicom.guard import Guard, RefusedError


def pdu(body: bytes, kind: int = 4) -> bytes:
    return bytes((kind, 0)) + len(body).to_bytes(4, "big") + body


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    yield ours, theirs
    ours.close()
    theirs.close()


def guarded(ours, **changes) -> tuple[Guard, list[str]]:
    said: list[str] = []
    limits = {"most_pdu": 100, "most_bytes": 300, "idle": 5.0, "total": 5.0}
    return Guard(ours, **limits | changes, refused=said.append), said


def read(guard: Guard, size: int = 4096) -> bytes:
    return b"".join(iter(lambda: guard.recv(size), b""))


def test_what_is_within_the_limits_passes(pair):
    guard, said = guarded(pair[0])
    sent = pdu(b"a" * 100) + pdu(b"") + pdu(b"b" * 90)
    pair[1].sendall(sent)
    pair[1].shutdown(socket.SHUT_WR)
    assert read(guard, 7) == sent
    assert said == []


def test_a_length_of_four_gigabytes_is_refused_before_anything_is_read(pair):
    guard, said = guarded(pair[0])
    pair[1].sendall(bytes((4, 0, 255, 255, 255, 255)))
    with pytest.raises(RefusedError):
        guard.recv(6)
    assert said == ["a message is larger than was agreed"]
    assert pair[1].recv(100)[0] == 7  # A-ABORT
    assert pair[1].recv(100) == b""


def test_an_object_without_end_is_refused(pair):
    guard, said = guarded(pair[0])
    pair[1].sendall(pdu(b"a" * 90) * 4)
    with pytest.raises(RefusedError):
        read(guard)
    assert said == ["an object is larger than max_mb allows"]


def test_after_an_answer_it_counts_anew(pair):
    guard, said = guarded(pair[0])
    for _ in range(5):
        pair[1].sendall(pdu(b"a" * 90) * 2)
        assert len(guard.recv(1000)) == 192
        guard.send(b"fine")
    assert said == []


def test_a_peer_that_stops_in_the_middle(pair):
    guard, said = guarded(pair[0], idle=0.2)
    pair[1].sendall(bytes(10))
    guard.recv(10)
    with pytest.raises(RefusedError):
        guard.recv(10)
    assert said == ["it stopped in the middle of a message"]


def test_a_peer_that_sends_byte_by_byte(pair):
    guard, said = guarded(pair[0], total=0.4)
    stop = threading.Event()

    def drip() -> None:
        while not stop.wait(0.02):
            pair[1].send(b"\0")

    thread = threading.Thread(target=drip)
    thread.start()
    started = time.monotonic()
    with pytest.raises(RefusedError):
        read(guard, 1)
    assert time.monotonic() - started < 20
    stop.set()
    thread.join()
    assert said


def test_a_guard_holds_no_descriptor_of_its_own(pair):
    before = len(os.listdir("/proc/self/fd"))
    held = [guarded(pair[0])[0] for _ in range(100)]
    assert all(guard.fileno() == pair[0].fileno() for guard in held)
    assert len(os.listdir("/proc/self/fd")) == before


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=600), st.integers(1, 50))
def test_any_bytes_pass_or_are_refused(data, size):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        guard, said = guarded(ours)
        theirs.sendall(data)
        theirs.shutdown(socket.SHUT_WR)
        try:
            assert read(guard, size) == data
            assert not said
        except RefusedError:
            assert len(said) == 1
