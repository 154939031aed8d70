"""``edge-cns run`` as a person or a service manager starts it: a process, signals, files."""

from __future__ import annotations

import itertools
import json
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

PHANTOM = "synthetic://phantom?class=normal&fps=20&size=96"


def start(*arguments: object, **settings) -> subprocess.Popen:
    command = [sys.executable, "-m", "edge_cns", "run", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **settings)


def lines_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def wait_for(path: Path, kind: str, count: int = 1, seconds: float = 20) -> list[dict]:
    until = time.monotonic() + seconds
    while True:
        found = [line for line in lines_of(path) if line["type"] == kind] if path.exists() else []
        if len(found) >= count:
            return found
        assert time.monotonic() < until, f"no {count} {kind} lines within {seconds} s"
        time.sleep(0.02)


def test_a_session_from_self_test_to_summary(tiny_bundle, tmp_path):
    log = tmp_path / "log.jsonl"
    session = start(tiny_bundle, "--source", PHANTOM, "--sink", f"jsonl://{log}")
    wait_for(log, "verdict", 25)
    asked = time.monotonic()
    for _ in range(3):
        session.send_signal(signal.SIGTERM)
        time.sleep(0.01)
    out, err = session.communicate(timeout=10)
    assert time.monotonic() - asked < 1.5
    assert (session.returncode, out, err) == (0, "", "")

    lines = lines_of(log)
    assert [line["type"] for line in lines][:2] == ["selftest", "event"]
    assert lines[-1]["type"] == "summary"
    selftest, started = lines[:2]
    assert (selftest["bundle"], selftest["golden"], selftest["research_use_only"]) == ("tiny.cns", "exact", True)
    assert started["engine_pid"] == selftest["engine_pid"]
    frames = lines[-1]["frames"]
    assert frames["seen"] == frames["classified"] + sum(frames["dropped"].values())
    assert frames["pending"] == 0

    verdicts = [line for line in lines if line["type"] == "verdict"]
    assert {v["state"] for v in verdicts} >= {"class", "no_signal"}
    for verdict in verdicts:
        assert set(verdict) >= {
            *("sequence", "captured_ns", "emitted_ns", "expires_ns", "state", "label", "probability", "age_ms"),
            *("latency_ms", "reason", "steady", "frames_behind", "engine", "fallback", "calibrated", "proof"),
        }
        assert verdict["emitted_ns"] <= time.monotonic_ns()
        assert (verdict["label"] is None) == (verdict["state"] != "class")
    gaps = [b["emitted_ns"] - a["emitted_ns"] for a, b in itertools.pairwise(verdicts)]
    assert max(gaps) < 0.6e9
    assert verdicts[-1]["state"] == "no_signal"
    assert str(tmp_path) not in log.read_text(), "no path of this machine is in the log"


def test_ctrl_c_is_an_orderly_end_too(tiny_bundle, tmp_path):
    log = tmp_path / "log.jsonl"
    session = start(tiny_bundle, "--source", PHANTOM, "--sink", f"jsonl://{log}")
    wait_for(log, "verdict", 3)
    session.send_signal(signal.SIGINT)
    session.communicate(timeout=10)
    assert session.returncode == 0
    assert lines_of(log)[-1]["ended"] == "stopped"


def test_what_changes_is_printed_where_no_sink_is_named(cli, tiny_bundle, frame_file):
    outcome = cli("run", tiny_bundle, "--source", frame_file)
    assert (outcome.status, outcome.err) == (0, "")
    assert "self-test passed on litert (exact)" in outcome.out
    assert "research use only, uncalibrated" in outcome.out
    assert "1 frames seen, 1 classified, dropped: none; 0 restarts" in outcome.out


def test_a_device_loads_no_training_library(tiny_bundle, frame_file):
    from tests.test_imports import COMMAND, loaded_by

    assert loaded_by(COMMAND, "run", tiny_bundle, "--source", frame_file) == []


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--source", "carrier-pigeon://loft"], "there is no source carrier-pigeon://"),
        (["--source", "nowhere.mp4"], "nowhere.mp4 does not exist"),
        (["--source", "v4l2:///dev/video77"], "/dev/video77"),
        (["--source", PHANTOM, "--sink", "pigeon://loft"], "there is no sink pigeon://"),
        (["--source", PHANTOM, "--sink", "jsonl:///nowhere/log.jsonl"], "cannot be written"),
        (["--source", PHANTOM, "--backend", "abacus"], "there is no backend 'abacus'"),
        (["--source", PHANTOM, "--max-fps", "2"], "--max-fps is 2"),
        (["--source", PHANTOM, "--reduced-fps", "1"], "--reduced-fps is 1"),
        (["--source", PHANTOM, "--hot-celsius", "nan"], "--hot-celsius is nan"),
        (["--source", PHANTOM, "--low-percent", "200"], "0 to 100 percent"),
        (["--source", PHANTOM, "--allow-plaintext"], "give --record DIR"),
        (["--source", PHANTOM, "--record", "kept"], "--record-key FILE, or --allow-plaintext"),
        (["--source", PHANTOM, "--policy", "some"], "--policy"),
        (["--source", PHANTOM, "--require-proof"], "quantisation is undecided"),
        ([], "--source"),
    ],
)
def test_bad_input_at_open_is_one_line(cli, tiny_bundle, tmp_path, monkeypatch, arguments, text):
    monkeypatch.chdir(tmp_path)
    outcome = cli("run", tiny_bundle, *arguments)
    assert (outcome.status, outcome.out) == (2, "")
    assert text in outcome.err
    assert len(outcome.err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_corrupted_video_is_one_line(cli, tiny_bundle, tmp_path):
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"\0\0\0\x20ftypisom" + bytes(range(256)) * 20)
    outcome = cli("run", tiny_bundle, "--source", clip)
    assert outcome.status == 2
    assert "clip.mp4" in outcome.err
    assert len(outcome.err.splitlines()) == 1


def test_a_video_never_takes_the_place_of_a_file_not_even_of_its_source(cli, tiny_bundle, tmp_path):
    taken = tmp_path / "scan.mp4"
    taken.write_bytes(b"somebody's")
    outcome = cli("run", tiny_bundle, "--source", PHANTOM, "--sink", f"video://{taken}")
    assert outcome.status == 2
    assert "scan.mp4 exists already" in outcome.err
    assert taken.read_bytes() == b"somebody's"


def test_a_refusal_leaves_nothing_behind(cli, tiny_bundle, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outcome = cli(
        *("run", tiny_bundle, "--source", PHANTOM, "--record", "kept", "--allow-plaintext"),
        *("--sink", f"jsonl://{tmp_path}/log.jsonl", "--sink", "pigeon://loft"),
    )
    assert outcome.status == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_while_things_are_opened_gives_up_in_one_line(tiny_bundle, tmp_path, number):
    fifo = tmp_path / "frames"
    fifo.mkdir()
    for i in range(400):  # reading the first that can be read takes a while
        (fifo / f"{i:03d}.png").write_bytes(b"no image")
    session = start(tiny_bundle, "--source", fifo, "--sink", f"jsonl://{tmp_path}/log.jsonl")
    time.sleep(0.35)
    session.send_signal(number)
    _, err = session.communicate(timeout=10)
    assert session.returncode in (130, 2, -number), "before Python has come to the command, nobody can listen"
    assert len(err.splitlines()) <= 1
    assert not (tmp_path / "log.jsonl").exists()


def test_closed_standard_streams_cost_nothing(tiny_bundle, frame_file, tmp_path):
    log = tmp_path / "log.jsonl"
    command = f'exec "{sys.executable}" -m edge_cns run "$0" --source "$1" --sink jsonl://- --sink "jsonl://$2" <&- >&-'
    done = subprocess.run(["sh", "-c", command, tiny_bundle, frame_file, log], check=False, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
    assert lines_of(log)[-1]["frames"]["classified"] == 1


def test_a_port_in_use_is_one_line(cli, tiny_bundle):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for scheme in ("http", "metrics"):
            outcome = cli("run", tiny_bundle, "--source", PHANTOM, "--sink", f"{scheme}://127.0.0.1:{port}")
            assert outcome.status == 2
            assert str(port) in outcome.err
            assert "in use" in outcome.err
            assert len(outcome.err.splitlines()) == 1


def test_a_bundle_of_another_schema_is_one_line(cli, bundle_copy):
    from edge_cns.bundle import reseal

    contract = bundle_copy / "contract.json"
    value = json.loads(contract.read_text()) | {"schema_version": 99}
    contract.write_text(json.dumps(value))
    reseal(bundle_copy)
    outcome = cli("run", bundle_copy, "--source", PHANTOM)
    assert outcome.status == 2
    assert "schema_version is 99" in outcome.err
    assert len(outcome.err.splitlines()) == 1


def test_a_missing_engine_is_one_line_or_a_fallback_that_is_said(cli, tiny_bundle, frame_file, tmp_path, monkeypatch):
    monkeypatch.setenv("EDGE_CNS_FAULT", "missing")
    refused = cli("run", tiny_bundle, "--source", frame_file, "--backend", "fake")
    assert refused.status == 2
    assert "--allow-fallback" in refused.err
    assert len(refused.err.splitlines()) == 1
    log = tmp_path / "log.jsonl"
    taken = cli(
        *("run", tiny_bundle, "--source", frame_file, "--backend", "fake", "--allow-fallback"),
        *("--sink", f"jsonl://{log}"),
    )
    assert taken.status == 0
    verdicts = [line for line in lines_of(log) if line["type"] == "verdict"]
    assert all("fake cannot be used" in verdict["fallback"] for verdict in verdicts)
    assert all(verdict["engine"] == "litert" for verdict in verdicts)


def test_what_is_served_is_said(tiny_bundle):
    session = start(tiny_bundle, "--source", PHANTOM, "--sink", "http://:0", "--sink", "metrics://:0")
    said = [session.stderr.readline() for _ in range(2)]
    try:
        addresses = [re.search(r"serving: (http://127\.0\.0\.1:\d+/\w*)$", line.rstrip()) for line in said]
        assert all(addresses), said
        for found in addresses:
            with urllib.request.urlopen(found[1], timeout=10) as answer:
                assert answer.status == 200
    finally:
        session.send_signal(signal.SIGTERM)
        session.communicate(timeout=10)
    assert session.returncode == 0


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--forward-unreviewed",), "give --forward AE@HOST:PORT"),
        (("--forward-queue", "q"), "give --forward AE@HOST:PORT"),
        (("--forward", "PACS@127.0.0.1:104"), "give --source dicom-scp://HOST:PORT"),
    ],
)
def test_forwarding_needs_studies_and_somebody_to_send_to(cli, tiny_bundle, options, why):
    outcome = cli("run", tiny_bundle, "--source", PHANTOM, *options)
    assert outcome.status == 2
    assert why in outcome.err
    assert len(outcome.err.splitlines()) == 1
