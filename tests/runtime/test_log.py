from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_cns.runtime import log
from edge_cns.runtime.log import configure, discreet, say


@pytest.fixture(autouse=True)
def _restored():
    yield
    root = logging.getLogger()
    for handler in [h for h in root.handlers if isinstance(h, log._Handler)]:
        root.removeHandler(handler)
        handler.close()
    logging.getLogger("edge_cns").setLevel(logging.NOTSET)


@pytest.fixture
def written(capfd):
    """Everything that was logged so far, by line."""

    def lines() -> list[str]:
        for handler in logging.getLogger().handlers:
            if isinstance(handler, log._Handler):
                handler.close()
        return capfd.readouterr().err.splitlines()

    return lines


def test_lines_for_programs(written):
    configure("json")
    say("engine_died", "ended by signal 9\nand ŏ more", level=logging.WARNING)
    say("live")
    first, second = map(json.loads, written())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first.pop("time"))
    assert first == {"level": "warning", "event": "engine_died", "detail": "ended by signal 9 and ŏ more"}
    assert (second["level"], second["event"], second["detail"]) == ("info", "live", "")


def test_lines_for_people(written):
    configure("text")
    say("engine_died", "ended by signal 9", level=logging.WARNING)
    say("live")
    first, second = written()
    assert re.fullmatch(r"\d\d:\d\d:\d\dZ WARNING engine_died: ended by signal 9", first)
    assert re.fullmatch(r"\d\d:\d\d:\d\dZ live", second)


def test_quiet_keeps_warnings(written):
    configure(quiet=True)
    say("live")
    say("no_signal", level=logging.WARNING)
    assert [line.split(" ", 1)[1] for line in written()] == ["WARNING no_signal"]


def test_what_others_log_has_the_same_form(written):
    configure("json")
    logging.getLogger("asyncio").info("chatter")
    try:
        raise ValueError("two\nlines of /home/someone/scans")
    except ValueError:
        logging.getLogger("asyncio").exception("callback failed: %s", "x")
    (handler,) = (h for h in logging.getLogger().handlers if isinstance(h, log._Handler))
    handler.emit(logging.makeLogRecord({"msg": "does not fit %d", "args": ("x",)}))
    (line,) = map(json.loads, written())
    assert (line["level"], line["event"]) == ("error", "asyncio")
    assert line["detail"] == "callback failed: x (ValueError: two lines of scans)"


def test_configured_twice_says_once(written):
    configure("json")
    configure("text")
    say("live")
    assert len(written()) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rtsp://me:hunter2@camera:554/stream lost", "rtsp://***@camera:554/stream lost"),
        ("rtsp://me:hun/ter2@camera/stream", "rtsp://***@camera/stream"),
        ("http://127.0.0.1:8080/?token=hunter2&x=1", "http://127.0.0.1:8080/?token=***&x=1"),
        ("Authorization: Bearer hunter2", "Authorization: ***"),
        ("password = hunter2, then", "password = ***, then"),
        ("record_key=hunter2", "record_key=***"),
        ("/data/Jane Doe/scan 1.mp4 does not exist", "scan 1.mp4 does not exist"),
        ("cannot open '/data/jane/scan.mp4' or \"/x/y.png\"", "cannot open 'scan.mp4' or \"y.png\""),
        ("file:///data/jane/scan.mp4 ended", "file://scan.mp4 ended"),
        ("~/scans/a.mp4", "~/a.mp4"),
        ("30 frames/s, 5 of 10", "30 frames/s, 5 of 10"),
        ("http://127.0.0.1:8080/a/b", "http://127.0.0.1:8080/a/b"),
        ("a\r\n\x1b[31mb\x00", "a   [31mb"),
    ],
)
def test_what_others_must_not_read(text, said):
    assert discreet(text) == said


@settings(deadline=None)
@given(st.text())
def test_any_text_is_one_line(text):
    said = discreet(text)
    assert said.isprintable()
    assert len(said) <= 1000


def test_hostile_text_takes_no_time():
    started = time.monotonic()
    for text in ("/a" * 10**6, "://" + "a/" * 10**6, "token" * 10**5, "://@" * 10**5, "key:" * 10**5):
        discreet(text)
    assert time.monotonic() - started < 5


def test_nobody_waits_for_a_pipe_that_is_not_read(monkeypatch):
    reading, writing = os.pipe()
    monkeypatch.setattr(log, "_STANDARD_ERROR", writing)
    configure()
    started = time.monotonic()
    for _ in range(20_000):
        say("live", "x" * 100)
    logging.getLogger().handlers[-1].close()
    assert time.monotonic() - started < 10
    received = b""
    while received.count(b"\n") < 1000:
        received += os.read(reading, 65536)
    assert all(line.endswith(b"Z live: " + b"x" * 100) for line in received.splitlines()), "whole lines"


@pytest.mark.parametrize("redirect", ["2>/dev/full", "2>&-", "2>&1"])
def test_everything_is_written_at_the_end_and_nothing_fails(redirect):
    program = (
        "from edge_cns.runtime.log import configure, say\n"
        "configure('json')\n"
        "for i in range(100): say('live', str(i))\n"
        "print('ended')\n"
    )
    command = f'"{sys.executable}" -c "$PROGRAM" {redirect}'
    done = subprocess.run(["sh", "-c", command], env={"PROGRAM": program}, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert "ended" in lines
    assert len(lines) == (101 if redirect == "2>&1" else 1)
