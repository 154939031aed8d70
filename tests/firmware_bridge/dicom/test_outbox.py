"""What is to be sent: whole, ours alone, and there until it has arrived."""

from __future__ import annotations

import os
import stat
import subprocess
import sys

import pytest

from edge_cns.errors import BadInputError
from firmware_bridge.dicom.outbox import Outbox


@pytest.fixture
def outbox(tmp_path):
    opened = Outbox(tmp_path / "queue")
    yield opened
    opened.close()


def test_files_are_for_us_alone_and_go_when_they_have_arrived(outbox, tmp_path):
    outbox.put("2.25.2", b"second")
    outbox.put("2.25.1", b"third")
    first, second = outbox.waiting()
    assert (first.name, second.name) == ("2.25.2.dcm", "2.25.1.dcm")
    assert first.read_bytes() == b"second"
    assert stat.S_IMODE(first.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "queue").stat().st_mode) == 0o700
    outbox.arrived(first)
    outbox.arrived(first)
    assert outbox.waiting() == [second]


def test_a_folder_that_others_could_read_is_closed_to_them(tmp_path):
    (tmp_path / "open").mkdir(mode=0o755)
    Outbox(tmp_path / "open").close()
    assert stat.S_IMODE((tmp_path / "open").stat().st_mode) == 0o700


def test_what_was_not_finished_is_not_sent(tmp_path):
    first = Outbox(tmp_path / "queue")
    first.put("2.25.1", b"whole")
    (tmp_path / "queue" / "2.25.2.part").write_bytes(b"ha")
    first.close()
    second = Outbox(tmp_path / "queue")
    assert [path.name for path in second.waiting()] == ["2.25.1.dcm"]
    assert not (tmp_path / "queue" / "2.25.2.part").exists()
    second.close()
    second.close()


def test_what_is_held_is_not_sent_until_it_is_released(outbox, tmp_path):
    outbox.put("2.25.1", b"one", held=True)
    outbox.put("2.25.2", b"two", held=True)
    assert outbox.waiting() == []
    outbox.release("2.25.1")
    outbox.drop("2.25.2")
    outbox.drop("2.25.2")
    assert [path.name for path in outbox.waiting()] == ["2.25.1.dcm"]
    outbox.put("2.25.3", b"three", held=True)
    outbox.close()
    after_a_crash = Outbox(tmp_path / "queue")
    assert {path.name for path in after_a_crash.waiting()} == {"2.25.1.dcm", "2.25.3.dcm"}
    after_a_crash.close()


def test_a_full_disk_leaves_nothing_behind(small_disk):
    folder = small_disk("64k")
    outbox = Outbox(folder / "queue")
    with pytest.raises(OSError, match="No space"):
        outbox.put("2.25.1", b"x" * 200_000)
    assert outbox.waiting() == []
    outbox.put("2.25.1", b"x" * 2000)
    assert len(outbox.waiting()) == 1
    outbox.close()


def test_one_run_at_a_time(outbox, tmp_path):
    imports = "import sys; from pathlib import Path; from firmware_bridge.dicom.outbox import Outbox"
    program = f"{imports}; Outbox(Path(sys.argv[1]))"
    other = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "queue"], capture_output=True, text=True, check=False
    )
    assert other.returncode == 1
    assert "another run uses it" in other.stderr


@pytest.mark.parametrize("kind", ["missing parent", "file", "somebody else's"])
def test_folders_that_cannot_be_used(tmp_path, monkeypatch, kind):
    path = tmp_path / "queue"
    if kind == "file":
        path.write_bytes(b"")
    elif kind == "missing parent":
        path = tmp_path / "nowhere" / "queue"
    else:
        path.mkdir()
        monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(BadInputError, match=r"queue .*queue (cannot be used|belongs to)"):
        Outbox(path)
