"""The whole way, as a hospital runs it: storescu, `edge-cns run`, a report at storescp, and dciodvfy content."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("highdicom", reason="needs the bridge extra")
import pydicom

from tests.dicoms import packaged
from tests.firmware_bridge.dicom.material import BIRTH, NAME, NUMBER, object_bytes
from tests.peers.dicom import StoreScp, dcmtk, errors_of, need_dciodvfy, need_dcmtk, storescu

SYNTAXES = {
    "-xi": None,
    "-xe": None,
    "-xb": None,
    "-xd": ["dcmconv", "+td"],
    "-xr": ["dcmcrle"],
    "-xy": ["dcmcjpeg", "+eb"],
    "-xx": ["dcmcjpeg", "+ee"],
    "-xs": ["dcmcjpeg", "+e1"],
    "-xt": ["dcmcjpls", "+el"],
    "-xu": ["dcmcjpls", "+en"],
}


@pytest.fixture
def archive(tmp_path):
    need_dcmtk()
    running = StoreScp(tmp_path / "archive")
    running.start()
    yield running
    running.kill()


@pytest.fixture
def run(tiny_bundle, tmp_path, archive):
    """A session with a log, and the port that it listens on."""
    started = []

    def call(source: str = "", sink: str = "&reviewed=0&overlay=1"):
        queue = f"dicom-scu://ARCHIVE@127.0.0.1:{archive.port}?queue={tmp_path / 'queue'}{sink}"
        command = [sys.executable, "-m", "edge_cns", "run", tiny_bundle, "--policy", "every", "--log", "json"]
        command += ["--source", f"dicom-scp://127.0.0.1:0?overlap=2&quiet=2{source}"]
        command += ["--sink", f"jsonl://{tmp_path / 'log.jsonl'}", "--sink", queue]
        err = (tmp_path / "err.txt").open("w+")
        process = subprocess.Popen(list(map(str, command)), stderr=err, stdout=err)
        started.append((process, err))
        until = time.monotonic() + 60
        while True:
            found = re.search(r"dicom-scp://127.0.0.1:(\d+)", (tmp_path / "err.txt").read_text())
            if found:
                return process, int(found[1])
            assert time.monotonic() < until
            assert process.poll() is None, (tmp_path / "err.txt").read_text()
            time.sleep(0.05)

    yield call
    for process, err in started:
        process.kill()
        process.wait()
        err.close()


def records(tmp_path: Path) -> list[dict]:
    return [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]


def wait_for(condition, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def reports(archive: StoreScp) -> list[pydicom.Dataset]:
    return [pydicom.dcmread(path) for path in archive.files() if path.name.startswith("SR")]


def test_each_syntax_becomes_a_valid_report(run, archive, tmp_path):
    need_dciodvfy()
    process, port = run()
    smooth = np.clip(np.add.outer(np.arange(96), np.arange(96)) + np.arange(4)[:, None, None] * 15, 0, 255)
    for number, (option, encode) in enumerate(SYNTAXES.items()):
        path = tmp_path / f"{number}.dcm"
        path.write_bytes(object_bytes(smooth.astype(np.uint8), study=f"1.2.3.{number}"))
        if encode is not None:
            made = path.with_suffix(".encoded")
            subprocess.run([dcmtk(encode[0]), *encode[1:], str(path), str(made)], check=True, capture_output=True)
            path = made
        done = storescu(port, option, path)
        assert done.returncode == 0, done.stdout + done.stderr
    for name in ("examples_jpeg2k.dcm", "examples_ybr_color.dcm"):
        option = "-xv" if "jpeg2k" in name else "-xy"
        done = storescu(port, option, packaged(name))
        assert done.returncode == 0, done.stdout + done.stderr
    wait_for(lambda: len(reports(archive)) == len(SYNTAXES) + 2, 120)
    for path in archive.files():
        assert errors_of(path) == [], path.name
    named = {made.StudyInstanceUID for made in reports(archive)}
    assert len(named) == len(SYNTAXES) + 2
    assert f"1.2.3.{len(SYNTAXES) - 1}" in named
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    said = records(tmp_path)
    frames = said[-1]["frames"]
    assert frames["seen"] == 4 * len(SYNTAXES) + 31
    assert frames["classified"] + frames["dropped"].get("unchanged", 0) == frames["seen"], frames
    resets = [line["exam"] for line in said if line.get("event") == "exam_reset" and line["exam"]]
    assert len(set(resets)) == len(SYNTAXES) + 2


def test_nobody_is_named_anywhere_but_in_the_report(run, archive, tmp_path):
    process, port = run()
    path, pixels = tmp_path / "a.dcm", np.random.default_rng(1).integers(0, 255, (3, 96, 96), dtype=np.uint8)
    path.write_bytes(object_bytes(pixels))
    assert storescu(port, path).returncode == 0
    path.write_bytes(object_bytes(pixels, Rows=9000))
    assert "CannotUnderstand" in storescu(port, path).stderr
    wait_for(lambda: len(reports(archive)) == 1)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    (made,) = reports(archive)
    assert (str(made.PatientName), made.PatientID, made.PatientBirthDate) == (NAME, NUMBER, BIRTH)
    everything = (tmp_path / "log.jsonl").read_text() + (tmp_path / "err.txt").read_text()
    assert "exam_reset" in everything
    assert "dicom_refused" in everything
    for secret in (NAME, "Wirrwarr", NUMBER, BIRTH, "ACC-QUOLL-9", "1.2.3.1", str(tmp_path)):
        assert secret not in everything, secret
    assert list((tmp_path / "queue").glob("*.dcm")) == []


def test_what_was_under_way_at_the_end_is_reported_by_the_next_run(run, archive, tmp_path):
    archive.kill()
    process, port = run()
    path = tmp_path / "a.dcm"
    path.write_bytes(object_bytes(np.random.default_rng(1).integers(0, 255, (3, 96, 96), dtype=np.uint8)))
    assert storescu(port, path).returncode == 0
    wait_for(lambda: any(line["type"] == "exam" and line["n_frames"] == 3 for line in records(tmp_path)))
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    assert len(list((tmp_path / "queue").glob("*.dcm"))) == 1
    archive.start()
    assert archive.files() == []
    run()
    wait_for(lambda: len(reports(archive)) == 1)
