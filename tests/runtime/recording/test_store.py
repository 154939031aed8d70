from __future__ import annotations

import errno
import os

import pytest

from edge_cns.runtime.recording import store as module
from edge_cns.runtime.recording.codec import pack
from edge_cns.runtime.recording.layout import HEAD_BYTES, HEADER_BYTES, Head, Kind
from edge_cns.runtime.recording.reader import Recording
from edge_cns.runtime.recording.seal import make_seal
from edge_cns.runtime.recording.store import SegmentStore
from tests.runtime.recording.made import KEY, MB

OPENING = pack({"header": {}, "stands": {"mode": "", "backend": ""}})


def make(folder, limit=100 * MB, key=KEY):
    folder.mkdir(exist_ok=True)
    return SegmentStore(folder, make_seal(key), limit, lambda: OPENING)


def numbers(folder, key=KEY):
    """The numbers that were written as records."""
    return [stored.value["n"] for stored in Recording(folder, key) if stored.kind is Kind.OBSERVATION]


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


def test_records_come_back_in_order_over_segments(tmp_path):
    store = make(tmp_path / "r", limit=40_000)
    for n in range(20):
        store.append(Kind.OBSERVATION, pack({"n": n}, bytes(1000)))
    store.close(pack({}))
    assert len(names(tmp_path / "r")) > 1
    assert numbers(tmp_path / "r") == list(range(20))
    assert store.size == sum(path.stat().st_size for path in (tmp_path / "r").iterdir())
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "r").iterdir()} == {0o600}


def test_the_oldest_segments_go_before_the_limit_is_passed(tmp_path):
    store = make(tmp_path / "r", limit=40_000)
    for n in range(200):
        store.append(Kind.OBSERVATION, pack({"n": n}, bytes(1000)))
        assert sum(path.stat().st_size for path in (tmp_path / "r").iterdir()) <= 40_000
    store.close(pack({}))
    recording = Recording(tmp_path / "r", KEY)
    assert recording.first > 1
    kept = numbers(tmp_path / "r")
    assert kept == list(range(kept[0], 200))
    assert len(kept) * 1000 > 20_000, "not much more than needed was deleted"


def test_a_record_larger_than_a_segment_is_kept_whole(tmp_path):
    store = make(tmp_path / "r", limit=40_000)
    for n in range(3):
        store.append(Kind.OBSERVATION, pack({"n": n}, bytes(15_000)))
    store.close(pack({}))
    assert numbers(tmp_path / "r")[-1] == 2


def full_after(monkeypatch, written):
    """A disk on which so many bytes of each write find room; ``[None]`` is endless."""
    real = os.pwrite

    def pwrite(descriptor, content, offset):
        if written[0] is None:
            return real(descriptor, content, offset)
        if written[0] == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        count = real(descriptor, bytes(content)[: written[0]], offset)
        written[0] -= count
        return count

    monkeypatch.setattr(module.os, "pwrite", pwrite)


@pytest.mark.parametrize("room", [0, 1, HEAD_BYTES, 500])
def test_of_a_record_that_found_no_room_nothing_stays_and_no_nonce_is_used_twice(tmp_path, monkeypatch, room):
    counters, real = [], Head.seal
    monkeypatch.setattr(Head, "seal", lambda self, *a: counters.append(self.counter) or real(self, *a))
    written = [None]
    full_after(monkeypatch, written)
    store = make(tmp_path / "r")
    store.append(Kind.OBSERVATION, pack({"n": 0}))
    before = store.size
    written[0] = room
    with pytest.raises(OSError, match="No space"):
        store.append(Kind.OBSERVATION, pack({"n": 1}, bytes(1000)))
    assert store.size == before == (tmp_path / "r" / "000001.ecr").stat().st_size
    written[0] = None
    store.append(Kind.OBSERVATION, pack({"n": 2}))
    store.close(pack({}))
    assert numbers(tmp_path / "r") == [0, 2]
    assert len(set(counters)) == len(counters)


def test_what_could_not_be_taken_back_is_taken_back_before_the_next_record(tmp_path, monkeypatch):
    written = [None]
    full_after(monkeypatch, written)
    store = make(tmp_path / "r")
    store.append(Kind.OBSERVATION, pack({"n": 0}))
    written[0] = 500

    def broken(*_):
        raise OSError(errno.EIO, "input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(module.os, "ftruncate", broken)
        for _ in range(2):
            with pytest.raises(OSError, match=r"error|space"):
                store.append(Kind.OBSERVATION, pack({"n": 1}, bytes(1000)))
    written[0] = None
    store.append(Kind.OBSERVATION, pack({"n": 2}))
    store.close(pack({}))
    assert numbers(tmp_path / "r") == [0, 2]


@pytest.mark.parametrize("room", [0, HEADER_BYTES - 1, HEADER_BYTES + 20])
def test_a_segment_that_could_not_be_begun_leaves_nothing(tmp_path, monkeypatch, room):
    written = [room]
    full_after(monkeypatch, written)
    store = make(tmp_path / "r")
    with pytest.raises(OSError, match="No space"):
        store.begin()
    assert names(tmp_path / "r") == []
    written[0] = None
    store.append(Kind.OBSERVATION, pack({"n": 1}))
    store.close(pack({}))
    assert numbers(tmp_path / "r") == [1]


def test_a_segment_whose_end_found_no_room_goes_on(tmp_path, monkeypatch):
    written = [None]
    full_after(monkeypatch, written)
    store = make(tmp_path / "r", limit=8_000)
    store.append(Kind.OBSERVATION, pack({"n": 0}, bytes(1500)))
    written[0] = 10
    for _ in range(2):
        with pytest.raises(OSError, match="No space"):
            store.append(Kind.OBSERVATION, pack({"n": 1}, bytes(1500)))
    written[0] = None
    store.append(Kind.OBSERVATION, pack({"n": 2}, bytes(1500)))
    store.close(pack({}))
    assert names(tmp_path / "r") == ["000001.ecr", "000002.ecr"]
    assert numbers(tmp_path / "r") == [0, 2]
