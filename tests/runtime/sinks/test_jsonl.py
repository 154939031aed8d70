from __future__ import annotations

import json
import math
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_cns.errors import BadInputError, OperationError
from edge_cns.runtime.sinks.base import Record, RecordType
from edge_cns.runtime.sinks.runner import SinkRunner
from edge_cns.runtime.sinks.table import open_sink
from tests.runtime.sinks.made import event, selftest, session, status, summary, verdict


def lines(path: Path) -> list[dict]:
    content = path.read_bytes()
    assert content.endswith(b"\n") or not content, "no half line"
    return [json.loads(line) for line in content.splitlines()]


def refused(uri: str) -> str:
    with pytest.raises(BadInputError) as caught:
        open_sink(uri)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_each_record_is_a_line_as_soon_as_it_is_written(tmp_path):
    path = tmp_path / "a b%.jsonl"
    sink = open_sink(f"jsonl://{tmp_path}/a%20b%25.jsonl")
    assert sink.lossless
    records = [selftest(), event(), verdict(), status(), summary(ended="größer\n\udc80")]
    for number, record in enumerate(records, 1):
        sink.write(record)
        written = lines(path)
        assert len(written) == number
        assert written[-1] == json.loads(json.dumps(record.to_json()))
    sink.close()
    sink.close()
    assert [line["type"] for line in written] == ["selftest", "event", "verdict", "status", "summary"]
    assert "größer" in path.read_text()
    assert b" " not in path.read_bytes().splitlines()[2], "compact"


def test_an_existing_file_is_appended_to_after_a_line_that_was_left_unfinished(tmp_path):
    path = tmp_path / "log"
    path.write_text('{"type":"event"}\n{"type":"ver')
    sink = open_sink(f"jsonl://{path}")
    sink.write(summary())
    sink.close()
    found = path.read_text().splitlines()
    assert found[:2] == ['{"type":"event"}', '{"type":"ver']
    assert json.loads(found[2])["type"] == "summary"


def test_files_rotate_and_the_newest_stay(tmp_path):
    path = tmp_path / "log"
    sink = open_sink(f"jsonl://{path}?max_mb=0.002&keep=3")
    for i in range(150):
        sink.write(event(number=i))
    sink.close()
    names = ["log.3", "log.2", "log.1", "log"]
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(names)
    assert all((tmp_path / name).stat().st_size <= 2000 for name in names)
    numbers = [line["number"] for name in names for line in lines(tmp_path / name)]
    assert numbers == list(range(numbers[0], 150)), "in order, none doubled, none lost but the oldest"
    assert numbers[0] > 0


def test_a_line_longer_than_a_file_is_written_all_the_same(tmp_path):
    sink = open_sink(f"jsonl://{tmp_path}/log?max_mb=0.0001&keep=1")
    for i in range(3):
        sink.write(event(detail="x" * 500, number=i))
    sink.close()
    assert [line["number"] for line in lines(tmp_path / "log.1") + lines(tmp_path / "log")] == [1, 2]


def test_when_files_cannot_rotate_nothing_is_lost(tmp_path):
    (tmp_path / "log.1" / "in the way").mkdir(parents=True)
    sink = open_sink(f"jsonl://{tmp_path}/log?max_mb=0.0001&keep=1")
    sink.write(event(number=0))
    for i in (1, 2):
        with pytest.raises(OSError, match="irectory"):
            sink.write(event(number=i))
    assert [line["number"] for line in lines(tmp_path / "log")] == [0, 1, 2]


@pytest.mark.parametrize("value", [math.nan, math.inf, {1, 2}, b"x"])
def test_what_is_no_json_is_refused_and_the_next_is_taken(tmp_path, value):
    sink = open_sink(f"jsonl://{tmp_path}/log")
    with pytest.raises(OperationError, match="event record has no JSON form"):
        sink.write(event(detail=value))
    sink.write(event())
    sink.close()
    assert len(lines(tmp_path / "log")) == 1


@settings(deadline=None)
@given(st.text(st.characters(), max_size=30))
def test_any_text_comes_back(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    path.unlink(missing_ok=True)
    sink = open_sink(f"jsonl://{path}")
    sink.write(Record(RecordType.EVENT, {"detail": text}))
    sink.close()
    assert [line["detail"] for line in lines(path)] == [text]


@pytest.mark.parametrize(
    ("uri", "text"),
    [
        ("jsonl://", "names nothing; give jsonl:///PATH"),
        ("jsonl://host/log", "three slashes"),
        ("jsonl:///nowhere/log", "/nowhere/log cannot be written (no such file or directory)"),
        ("jsonl:///tmp", "(is a directory)"),
        ("jsonl:///tmp/log?max_mb=0", "max_mb is 0"),
        ("jsonl:///tmp/log?max_mb=nan", "max_mb is nan"),
        ("jsonl:///tmp/log?max_mb=much", "max_mb 'much' is no number"),
        ("jsonl:///tmp/log?keep=0", "keep is 0; give 1 to 1000"),
        ("jsonl:///tmp/log?color=1", "no option 'color'"),
    ],
)
def test_what_cannot_be_opened(uri, text):
    assert text in refused(uri)


def test_a_pipe_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in refused(f"jsonl://{tmp_path}/pipe")


def test_a_file_belongs_to_one_run(tmp_path):
    first = open_sink(f"jsonl://{tmp_path}/log")
    assert "another run writes to it" in refused(f"jsonl://{tmp_path}/log")
    first.close()
    open_sink(f"jsonl://{tmp_path}/log").close()


def test_standard_output(tmp_path):
    program = (
        "from edge_cns.runtime.sinks.table import open_sink\n"
        "from tests.runtime.sinks.made import event\n"
        "sink = open_sink('jsonl://-')\n"
        "for i in range(3): sink.write(event(number=i))\n"
        "sink.close()\nprint('{}')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert [json.loads(line).get("number") for line in done.stdout.splitlines()] == [0, 1, 2, None]
    closed = subprocess.run(
        ["sh", "-c", f'"{sys.executable}" -c "{program}" >&-'], capture_output=True, text=True, check=False
    )
    assert "standard output cannot be written" in closed.stderr


def test_a_killed_process_leaves_whole_lines(tmp_path):
    program = (
        "from edge_cns.runtime.sinks.table import open_sink\n"
        "from tests.runtime.sinks.made import verdict\n"
        f"sink = open_sink('jsonl://{tmp_path}/log?max_mb=0.05&keep=1000')\n"
        "print('writing', flush=True)\n"
        "i = 0\n"
        "while True: sink.write(verdict(i)); i += 1\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as running:
        running.stdout.readline()
        wait_for((tmp_path / "log.3").exists)
        running.kill()
    files = sorted(tmp_path.iterdir(), key=lambda path: -int(path.suffix[1:] or 0))
    numbers = [line["sequence"] for path in files for line in lines(path)]
    assert numbers == list(range(len(numbers)))


def test_a_device_that_is_always_full():
    sink = open_sink("jsonl:///dev/full")
    for _ in range(2):
        with pytest.raises(OSError, match="No space left"):
            sink.write(event())
    sink.close()


def test_no_half_line_stays_where_a_line_did_not_fit(tmp_path):
    """A limit on the size of files makes a write short as a full disk does."""
    path = tmp_path / "log"
    sink = open_sink(f"jsonl://{path}")
    sink.write(event(number=0))
    size = path.stat().st_size
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, limits[1]))
        with pytest.raises(OSError, match="File too large"):
            sink.write(event(number=1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.stat().st_size == size
    sink.write(event(number=2))
    sink.close()
    assert [line["number"] for line in lines(path)] == [0, 2]


def test_a_full_disk_is_said_once_and_the_log_goes_on_when_there_is_space(small_disk):
    disk = small_disk("64k")
    path, ballast = disk / "log", disk / "ballast"
    ballast.write_bytes(bytes(40_000))
    said: list[str] = []
    runner = SinkRunner(open_sink(f"jsonl://{path}"), "log", lambda _, text: said.append(text))
    runner.start(session())
    for i in range(300):
        runner.put(event(number=i, detail="x" * 200))
    wait_for(lambda: runner.counts["failed"] > 0)
    wait_for(lambda: not runner._queue._waiting)
    ballast.unlink()
    for i in range(300, 310):
        runner.put(event(number=i))
    assert runner.close(10)
    numbers = [line["number"] for line in lines(path)]
    assert numbers[-10:] == list(range(300, 310))
    assert numbers == sorted(numbers)
    assert said[0] == "No space left on device"
    assert said[1].startswith("works again, after")
    assert len(said) == 2


def wait_for(condition) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
