from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from edge_cns.bundle import read_bundle
from edge_cns.errors import BadInputError
from edge_cns.runtime.live.observations import Tick
from edge_cns.runtime.recording import recorder as module
from edge_cns.runtime.recording import store as store_module
from edge_cns.runtime.recording.layout import Kind
from edge_cns.runtime.recording.reader import Recording
from edge_cns.runtime.recording.recorder import Recorder
from edge_cns.runtime.recording.replay import replay
from edge_cns.runtime.sinks.base import Record, RecordType
from tests.runtime.recording.made import KEY, MB, Script, pictures, record_script


def make(folder, bundle, limit=100 * MB):
    return Recorder(folder, read_bundle(bundle), key=KEY, limit_bytes=limit, options={"source": "synthetic://phantom"})


def wait_until(true, seconds=20):
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until
        time.sleep(0.005)


@pytest.fixture
def script(tiny_bundle, tmp_path):
    script = Script(tiny_bundle, make(tmp_path / "r", tiny_bundle))
    yield script
    script.recorder.close(5)
    script.classifier.close()


def test_what_it_keeps_is_the_owners_alone(tiny_bundle, tmp_path):
    state = record_script(tmp_path / "r", tiny_bundle, frames=3)
    assert (tmp_path / "r").stat().st_mode & 0o777 == 0o700
    assert [path.stat().st_mode & 0o777 for path in (tmp_path / "r").iterdir()] == [0o600]
    assert state["frames_kept"] == 3
    assert state["bytes"] == sum(path.stat().st_size for path in (tmp_path / "r").iterdir())
    header = Recording(tmp_path / "r", KEY).header
    assert header["bundle"] == "tiny.cns"
    assert str(tiny_bundle.parent) not in str(header)


def test_the_folder_is_new_or_empty(tiny_bundle, tmp_path):
    (tmp_path / "empty").mkdir()
    make(tmp_path / "empty", tiny_bundle)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for name, why in (
        ("full", "is not empty"),
        ("full/x", "is no folder"),
        ("dangling", "is no folder"),
        ("none/r", "No such file"),
    ):
        with pytest.raises(BadInputError, match=f"{why}.*--record") as caught:
            make(tmp_path / name, tiny_bundle)
        assert "\n" not in str(caught.value)


def test_a_disk_that_is_full_from_the_beginning_is_one_line(tiny_bundle, tmp_path, monkeypatch):
    recorder = make(tmp_path / "r", tiny_bundle)
    monkeypatch.setattr(store_module.os, "pwrite", full)
    with pytest.raises(BadInputError, match=r"nothing can be recorded \(No space left"):
        recorder.start({"name": "litert"}, print)
    assert recorder.state["state"] == "off"
    assert recorder.close(1)


def full(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/a/secret/path")


def test_a_full_disk_stops_the_recording_and_it_goes_on_by_itself(tiny_bundle, tmp_path, script, monkeypatch):
    monkeypatch.setattr(module, "_RETRY_S", 0.1)
    first, second, third = (pictures(9)[i : i + 3] for i in (0, 3, 6))
    script.start()
    for pixels in first:
        script.frame(pixels)
    wait_until(lambda: script.recorder.state["frames_kept"] == 3)
    with monkeypatch.context() as patch:
        patch.setattr(store_module.os, "pwrite", full)
        for pixels in second:
            script.frame(pixels)
        wait_until(lambda: script.recorder.state["frames_not_kept"] == 3)
        assert script.recorder.state["state"] == "stopped"
        time.sleep(0.15)
        script.tick()  # tried again, and still full: nothing new is said
        time.sleep(0.15)
    for pixels in third:
        script.frame(pixels)
    script.finish()
    assert [event for event, _ in script.events] == ["recording_stopped", "recording_resumed"]
    assert "No space left on device" in script.events[0][1]
    assert "secret" not in str(script.events)
    assert script.recorder.state["frames_kept"] == 6
    report = replay(tmp_path / "r", bundle=tiny_bundle, key=KEY)
    assert (report.result, report.kept, report.verdicts) == ("identical", 6, 6)
    assert report.records_left_out > 0
    assert "observations before it were not kept" in " ".join(report.notes)


def test_a_disk_that_is_really_full(tiny_bundle, small_disk):
    disk = small_disk("256k")
    script = Script(tiny_bundle, make(disk / "r", tiny_bundle))
    script.start()
    for pixels in pictures(40):
        script.frame(pixels)
    script.finish()
    assert [event for event, _ in script.events] == ["recording_stopped"]
    assert 0 < script.recorder.state["frames_kept"] < 40
    report = replay(disk / "r", bundle=tiny_bundle, key=KEY)
    assert (report.result, report.kept) == ("identical", script.recorder.state["frames_kept"])
    assert "at its end were not kept" in " ".join(report.notes)


def test_a_slow_disk_costs_frames_but_neither_verdicts_nor_the_dispatchers_time(
    tiny_bundle, tmp_path, script, monkeypatch
):
    gate, real = threading.Event(), os.pwrite
    script.start()
    monkeypatch.setattr(store_module.os, "pwrite", lambda *a: gate.wait() and real(*a))
    for pixels in pictures(50):
        script.frame(pixels)
    assert script.recorder.state["frames_not_kept"] >= 50 - 33
    gate.set()
    script.finish()
    state = script.recorder.state
    assert state["frames_kept"] + state["frames_not_kept"] == 50
    report = replay(tmp_path / "r", bundle=tiny_bundle, key=KEY)
    assert report.result == "identical"
    assert (report.kept, report.not_kept, report.verdicts) == (state["frames_kept"], state["frames_not_kept"], 50)
    assert report.records_left_out == 0, "it is whole"
    assert "frames were not kept" in " ".join(report.notes)


def test_closing_takes_no_longer_than_it_may(script, tmp_path, tiny_bundle, monkeypatch):
    gate, real = threading.Event(), os.pwrite
    script.start()
    script.frame(pictures(1)[0])
    wait_until(lambda: script.recorder.state["frames_kept"] == 1)
    monkeypatch.setattr(store_module.os, "pwrite", lambda *a: gate.wait() and real(*a))
    for pixels in pictures(5):
        script.frame(pixels)
    begun = time.monotonic()
    assert not script.recorder.close(0.2)
    assert time.monotonic() - begun < 5
    gate.set()
    wait_until(lambda: script.recorder.close(5))
    state = script.recorder.state
    assert state["frames_kept"] + state["frames_not_kept"] == 6
    last = list(Recording(tmp_path / "r", KEY))[-1]
    assert last.kind is Kind.END
    assert last.value["lost"] > 0
    report = replay(tmp_path / "r", bundle=tiny_bundle, key=KEY)
    assert report.result == "identical"


def test_closing_twice_or_without_a_start_is_harmless(tiny_bundle, tmp_path):
    recorder = make(tmp_path / "r", tiny_bundle)
    recorder.end(1)
    assert recorder.close(1)
    assert recorder.close(1)
    assert recorder.state == {"state": "off", "bytes": 0, "frames_kept": 0, "frames_not_kept": 0}


def test_an_observation_without_a_json_form_stops_nothing_else(script, tmp_path, tiny_bundle, monkeypatch):
    monkeypatch.setattr(module, "_RETRY_S", 0.0)
    script.start()
    script.frame(pictures(1)[0])
    script.recorder.take(Tick(script.now), None, None, (Record(RecordType.EVENT, {"detail": object()}),))
    script.tick()
    script.finish()
    assert script.events[0][0] == "recording_stopped"
    assert script.events[-1][0] == "recording_resumed"
    assert replay(tmp_path / "r", bundle=tiny_bundle, key=KEY).result == "identical"


KILLED = """
import sys, time
from pathlib import Path
from edge_cns.runtime.sinks.base import Record, RecordType
from tests.runtime.recording.made import KEY, MB, Script, pictures
from edge_cns.bundle import read_bundle
from edge_cns.runtime.recording.recorder import Recorder
bundle = Path(sys.argv[1])
recorder = Recorder(Path(sys.argv[2]), read_bundle(bundle), key=KEY, limit_bytes=100 * MB, options={})
script = Script(bundle, recorder)
script.start()
while True:
    for pixels in pictures(20):
        script.frame(pixels)
        time.sleep(0.01)
"""


def test_a_killed_recorder_leaves_what_can_be_replayed(tiny_bundle, tmp_path):
    root = Path(__file__).parents[3]
    process = subprocess.Popen([sys.executable, "-c", KILLED, tiny_bundle, tmp_path / "r"], cwd=root)
    try:
        segment = tmp_path / "r" / "000001.ecr"
        wait_until(lambda: segment.exists() and segment.stat().st_size > 200_000, 60)
    finally:
        process.kill()
        process.wait()
    report = replay(tmp_path / "r", bundle=tiny_bundle, key=KEY)
    assert report.result == "identical"
    assert report.kept > 10
    assert report.records > 10
    assert "cut short" in " ".join(report.notes)
