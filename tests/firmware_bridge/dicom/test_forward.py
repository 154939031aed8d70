"""Reports arrive: those that should, once each, whoever is killed in between."""

from __future__ import annotations

import gc
import random
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

pytest.importorskip("highdicom", reason="needs the bridge extra")
import pydicom

from edge_cns.errors import OperationError
from firmware_bridge.dicom import sender
from firmware_bridge.dicom.forward import open_forward
from firmware_bridge.dicom.studies import STUDIES
from tests.firmware_bridge.dicom.material import NAME, NUMBER, event, exam, session, study, summary
from tests.peers.dicom import StoreScp, need_dcmtk

ROOT = Path(__file__).parents[3]

# pynetdicom leaves a socket that could not connect to the garbage collector
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.fixture
def archive(tmp_path):
    need_dcmtk()
    running = StoreScp(tmp_path / "archive")
    running.start()
    yield running
    running.kill()
    gc.collect()


@pytest.fixture
def open_sink(tmp_path, monkeypatch):
    monkeypatch.setattr(sender, "_PAUSES", (0.05, 0.3))
    opened = []

    def call(port: int, options: str = ""):
        sink = open_forward(f"dicom-scu://ARCHIVE@127.0.0.1:{port}?queue={tmp_path / 'queue'}{options}")
        opened.append(sink)
        sink.start(session())
        return sink

    yield call
    for sink in opened:
        sink.close()


def tell(sink, name: str, *records):
    STUDIES.begin(name, study())
    for record in (event("exam_reset", exam=name), *records, event("exam_reset", exam="")):
        sink.write(record)


def wait_for(condition, seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def tracked(path: Path) -> str:
    """Opaque id of the exam that a report is on."""
    return str(pydicom.dcmread(path)).partition("exam exam")[2].split("'")[0]


ACCEPTED, REJECTED = event("finding_accepted", label="anencephaly"), event("finding_rejected", label="anencephaly")


def test_only_what_was_accepted_is_sent(archive, open_sink, tmp_path):
    sink = open_sink(archive.port)
    tell(sink, "a", exam("a"))
    tell(sink, "b", exam("b"), REJECTED)
    tell(sink, "c", exam("c", label=None))
    tell(sink, "d", exam("d"), ACCEPTED)
    wait_for(lambda: len(archive.files()) == 1)
    wait_for(lambda: not list((tmp_path / "queue").glob("*.dcm")))
    time.sleep(0.3)
    (path,) = archive.files()
    made = pydicom.dcmread(path)
    assert (str(made.PatientName), made.PatientID) == (NAME, NUMBER)
    assert "'exam d'" in str(made)


def test_what_was_accepted_is_kept_at_once_and_sent_when_the_exam_is_over(archive, open_sink, tmp_path):
    sink = open_sink(archive.port)
    STUDIES.begin("a", study())
    for record in (event("exam_reset", exam="a"), exam("a"), ACCEPTED):
        sink.write(record)
    assert len(list((tmp_path / "queue").glob("*.held"))) == 1
    sink.write(exam("a", label=None))
    time.sleep(0.3)
    assert archive.files() == []
    sink.write(event("exam_reset", exam=""))
    wait_for(lambda: len(archive.files()) == 1)
    assert "anencephaly" in str(pydicom.dcmread(archive.files()[0]))


def test_a_judgement_can_be_taken_back_and_given_again(archive, open_sink, tmp_path):
    sink = open_sink(archive.port)
    tell(sink, "a", exam("a"), ACCEPTED, REJECTED)
    tell(sink, "b", exam("b"), ACCEPTED, ACCEPTED, exam("b", n=40), REJECTED, ACCEPTED)
    wait_for(lambda: len(archive.files()) == 1)
    wait_for(lambda: {path.name for path in (tmp_path / "queue").iterdir()} == {"lock"})
    assert b"39 of 40 frames" in archive.files()[0].read_bytes()


def test_an_exam_that_starts_anew_keeps_what_was_accepted(archive, open_sink):
    sink = open_sink(archive.port)
    tell(sink, "a", exam("a"), ACCEPTED, event("exam_reset", exam="a"), exam("a", n=7), REJECTED, ACCEPTED)
    wait_for(lambda: len(archive.files()) == 2)


def test_without_review_all_but_what_was_rejected(archive, open_sink):
    sink = open_sink(archive.port, "&reviewed=0")
    tell(sink, "a", exam("a"))
    tell(sink, "b", exam("b"), REJECTED)
    tell(sink, "c", exam("c", label=None))
    tell(sink, "d", exam("d", n=0))
    STUDIES.begin("e", study())
    for record in (event("exam_reset", exam="e"), exam("e"), summary()):
        sink.write(record)
    wait_for(lambda: len(archive.files()) == 3)
    assert {str(pydicom.dcmread(path)).partition("'exam ")[2][0] for path in archive.files()} == {"a", "c", "e"}


def test_a_receiver_that_comes_late_and_a_run_that_ends_early(archive, open_sink, tmp_path):
    archive.kill()
    sink = open_sink(archive.port)
    tell(sink, "a", exam("a"), ACCEPTED)
    wait_for(lambda: sink._sender._failing)
    started = time.monotonic()
    sink.close()
    assert time.monotonic() - started < 1
    archive.start()
    assert archive.files() == []
    again = open_sink(archive.port)
    wait_for(lambda: len(archive.files()) == 1)
    tell(again, "b", exam("b"), ACCEPTED)
    wait_for(lambda: len(archive.files()) == 2)
    wait_for(lambda: not list((tmp_path / "queue").glob("*.dcm")))


def test_an_answer_that_was_lost_makes_no_second_one(archive, open_sink, monkeypatch):
    arrived = []
    keep = sender.Outbox.arrived
    monkeypatch.setattr(sender.Outbox, "arrived", lambda self, path: arrived.append(path))  # as if killed before
    sink = open_sink(archive.port)
    tell(sink, "a", exam("a"), ACCEPTED)
    wait_for(lambda: len(arrived) >= 1)
    monkeypatch.setattr(sender.Outbox, "arrived", keep)
    sink.close()
    open_sink(archive.port)
    wait_for(lambda: not arrived[0].exists())
    assert len(archive.files()) == 1


def test_a_full_disk_loses_nothing(archive, small_disk, monkeypatch):
    disk = small_disk("128k")
    filler = disk / "filler"
    sink = open_forward(f"dicom-scu://ARCHIVE@127.0.0.1:{archive.port}?queue={disk / 'queue'}")
    sink.start(session())
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"x" * 4096)
    with pytest.raises(OSError, match="No space"):
        tell(sink, "a", exam("a"), ACCEPTED)
    with pytest.raises(OSError, match="No space"):
        sink.write(event("exam_reset", exam=""))
    filler.unlink()
    sink.write(event("live"))
    wait_for(lambda: len(archive.files()) == 1)
    sink.close()


def test_tls(open_sink, tmp_path):
    need_dcmtk()
    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    make += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(make, check=True, capture_output=True)
    secure = StoreScp(tmp_path / "archive", "+tls", str(key), str(certificate), "+cf", str(certificate))
    secure.start()
    sink = open_sink(secure.port, f"&tls_ca={certificate}&tls_cert={certificate}&tls_key={key}")
    tell(sink, "a", exam("a"), ACCEPTED)
    wait_for(lambda: len(secure.files()) == 1)
    secure.kill()


def test_a_source_without_studies_is_refused_and_the_queue_is_sent_all_the_same(archive, open_sink, tmp_path):
    archive.kill()
    sink = open_sink(archive.port)
    tell(sink, "a", exam("a"), ACCEPTED)
    sink.close()
    archive.start()
    other = open_forward(f"dicom-scu://ARCHIVE@127.0.0.1:{archive.port}?queue={tmp_path / 'queue'}")
    with pytest.raises(OperationError, match="needs --source dicom-scp://"):
        other.start(session("rtsp://host/scan"))
    wait_for(lambda: len(archive.files()) == 1)
    other.close()


def test_both_sides_killed_again_and_again(archive, tmp_path):
    """Every exam that was said to be queued arrives once; one that was under way when it was killed, at most once."""
    dice, total, done = random.Random(7), 16, 0
    queued: set[int] = set()
    under_way: set[int] = set()
    kills = 0
    while done < total:
        command = [sys.executable, "-m", "tests.firmware_bridge.dicom.feeder", str(archive.port)]
        command += [str(tmp_path / "queue"), str(done), str(total - done)]
        feeder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        budget = dice.randint(1, 4) if kills < 3 else total
        for line in feeder.stdout:
            if line.strip() == "done":
                break
            queued.add(int(line))
            budget -= 1
            if dice.random() < 0.15:
                archive.kill()
                archive.start()
            if budget == 0 and kills < 3:
                kills += 1
                feeder.kill()
                break
        queued |= {int(line) for line in feeder.stdout.read().split() if line.isdigit()}
        feeder.wait()
        feeder.stdout.close()
        done = max(queued) + 1
        if done < total:  # what came after the last word is not fed again: it would be another report
            under_way.add(done)
            done += 1
    assert kills == 3
    assert list((tmp_path / "queue").glob("*.dcm")) == []
    arrived = sorted(int(tracked(path)) for path in archive.files())
    assert len(arrived) == len(set(arrived))
    assert queued <= set(arrived) <= queued | under_way
