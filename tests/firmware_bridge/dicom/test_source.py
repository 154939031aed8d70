"""Studies become exams: frames in order, events in their places, and an end when it is closed."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
import time
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

pytest.importorskip("pynetdicom", reason="needs the bridge extra")
import pydicom
from pydicom.dataset import Dataset
from pynetdicom import AE, build_context

from edge_cns.frames import EventKind, Frame, MachineEvent, UnusableFrame
from edge_cns.runtime.sinks.base import Record
from firmware_bridge.dicom import source as module
from firmware_bridge.dicom.settings import ScpSettings
from firmware_bridge.dicom.source import ScpSource, open_scp
from firmware_bridge.dicom.studies import STUDIES
from firmware_bridge.dicom.watch import Watch
from tests.firmware_bridge.dicom.material import NAME, NUMBER, event, exam, object_bytes, picture, session, verdict

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # see test_scp


@pytest.fixture
def opened(monkeypatch):
    monkeypatch.setattr(module, "_POLL_SECONDS", 0.02)
    sources = []

    def call(options: str = "rate=max", **changes):
        """Shorter waits than the options allow, for a test has no runtime that must settle."""
        settings = ScpSettings.parse(f"dicom-scp://127.0.0.1:0?{options}")
        sources.append(ScpSource(replace(settings, **{"overlap": 0.6, "quiet": 0.6} | changes)))
        return sources[-1]

    yield call
    for one in sources:
        one.close()
        one.close()


def store(source, *contents: bytes) -> None:
    """All of them over one association."""
    datasets = [pydicom.dcmread(io.BytesIO(content)) for content in contents]
    contexts = [build_context(one, "1.2.840.10008.1.2.1") for one in dict.fromkeys(d.SOPClassUID for d in datasets)]
    port = int(source.address.rpartition(":")[2])
    association = AE(ae_title="US1").associate("127.0.0.1", port, contexts, ae_title="EDGECNS")
    assert [association.send_c_store(one).Status for one in datasets] == [0] * len(datasets)
    association.release()


def words(deliveries) -> list[str]:
    """Kinds in order; frames as their number."""
    return [
        one.kind.value if isinstance(one, MachineEvent) else f"{'' if isinstance(one, Frame) else '!'}{one.sequence}"
        for one in deliveries
    ]


def until_end(source, ends: int = 1) -> list:
    taken = []
    for one in source:
        taken.append(one)
        if isinstance(one, MachineEvent) and one.kind is EventKind.EXAM_END:
            ends -= 1
            if not ends:
                return taken
    return taken


def test_a_study_is_an_exam(opened):
    source = opened()
    first, second = picture(1, 3), picture(2)
    store(source, object_bytes(first), object_bytes(second))
    taken = until_end(source)
    assert words(taken) == ["exam", "0", "1", "2", "3", "freeze", "exam_end"]
    frames = [one for one in taken if isinstance(one, Frame)]
    for frame, expected in zip(frames, [*first, *second], strict=True):
        np.testing.assert_array_equal(frame.pixels, expected)
    assert [one.captured_ns for one in frames] == sorted(one.captured_ns for one in frames)
    assert len(taken[0].value) == 16


def test_studies_that_come_mixed_are_played_one_after_the_other(opened):
    source = opened()
    store(
        source,
        object_bytes(picture(1), study="1.2.3.1"),
        object_bytes(picture(2), study="1.2.3.2"),
        object_bytes(picture(3), study="1.2.3.1"),
        object_bytes(picture(4), study="1.2.3.2"),
    )
    taken = until_end(source, 2)
    one = ["exam", "0", "1", "freeze", "exam_end"]
    assert words(taken) == [*one, "exam", "live", "2", "3", "freeze", "exam_end"]
    frames = [np.asarray(delivery.pixels) for delivery in taken if isinstance(delivery, Frame)]
    assert [np.array_equal(a, picture(n)[0]) for a, n in zip(frames, (1, 3, 2, 4), strict=True)] == [True] * 4


def test_the_same_study_later_is_another_exam(opened):
    source = opened()
    store(source, object_bytes(picture(1)))
    first = until_end(source)
    store(source, object_bytes(picture(2)))
    second = until_end(source)
    assert second[0].value == f"{first[0].value}-2"


def test_another_object_lets_go_of_the_held_image(opened):
    source = opened(quiet=9)
    store(source, object_bytes(picture(1)))
    taken = list(islice(source, 3))
    assert words(taken) == ["exam", "0", "freeze"]
    held = iter(source)
    threading.Timer(0.3, store, [source, object_bytes(picture(2))]).start()
    # a source is iterated once; a second iterator goes on where the inbox is
    assert "1" in words(islice(held, 3))


def test_frames_come_at_the_rate_that_the_object_states(opened):
    source = opened("")
    store(source, object_bytes(picture(1, 5), FrameTime="40"))
    frames = [one for one in until_end(source) if isinstance(one, Frame)]
    assert (frames[-1].captured_ns - frames[0].captured_ns) / 1e9 >= 0.15


def test_a_mode_without_tissue_is_said(opened):
    source = opened()
    item = Dataset()
    item.RegionSpatialFormat, item.RegionDataType = 2, 1
    store(source, object_bytes(picture(1), SequenceOfUltrasoundRegions=[item]), object_bytes(picture(2)))
    assert words(until_end(source)) == ["exam", "mode", "0", "mode", "1", "freeze", "exam_end"]


def test_a_frame_that_is_damaged_is_one_frame(opened):
    from pydicom.encaps import encapsulate, generate_frames
    from pydicom.pixels import compress

    dataset = pydicom.dcmread(io.BytesIO(object_bytes(picture(1, 3))))
    compress(dataset, pydicom.uid.RLELossless)
    frames = list(generate_frames(dataset.PixelData, number_of_frames=3))
    dataset.PixelData = encapsulate([frames[0], b"\1" + bytes(70), frames[2]])
    source = opened()
    port = int(source.address.rpartition(":")[2])
    context = build_context(dataset.SOPClassUID, dataset.file_meta.TransferSyntaxUID)
    association = AE(ae_title="US1").associate("127.0.0.1", port, [context], ae_title="EDGECNS")
    assert association.send_c_store(dataset).Status == 0
    association.release()
    taken = until_end(source)
    assert words(taken) == ["exam", "0", "!1", "2", "freeze", "exam_end"]
    (damaged,) = [one for one in taken if isinstance(one, UnusableFrame)]
    assert NAME not in damaged.reason


def test_whose_exam_it_is_reaches_a_subscriber_and_no_event(opened):
    source = opened()
    reader = STUDIES.subscribe(reviewed=False)
    store(source, object_bytes(picture(1, 2)), object_bytes(picture(2)))
    taken = until_end(source)
    study = reader.find(taken[0].value)
    assert study.identity.attributes["PatientID"] == NUMBER
    assert (study.place(1).number, study.place(2).number, study.place(3)) == (2, None, None)
    assert NUMBER not in repr([one for one in taken if isinstance(one, MachineEvent)])
    STUDIES.unsubscribe(reader)


def test_an_exam_waits_for_a_judgement_where_reports_do(opened):
    source = opened("rate=max&review=5")
    reader = STUDIES.subscribe(reviewed=True)
    source.reply.start(session())
    store(source, object_bytes(picture(1)))
    taken = iter(source)
    assert words(islice(taken, 2)) == ["exam", "0"]
    source.reply.write(verdict(0))
    source.reply.write(exam("a"))
    started = time.monotonic()
    threading.Timer(1.5, source.reply.write, [event("finding_accepted")]).start()
    assert words(islice(taken, 2)) == ["freeze", "exam_end"]
    assert 1.4 < time.monotonic() - started < 4.5
    STUDIES.unsubscribe(reader)


class TestWatch:
    def test_it_waits_for_an_answer_and_for_nobody(self):
        watch = Watch("dicom-scp://127.0.0.1:1")
        watch.wait_for(5, 10)  # nobody runs it
        watch.start(session())
        threading.Timer(0.05, watch.write, [verdict(5)]).start()
        started = time.monotonic()
        watch.wait_for(5, 30)
        watch.wait_for(4, 30)
        watch.wait_for(6, 30)  # which never comes
        slow = verdict(7)
        watch.write(Record(slow.type, {**slow.value, "latency_ms": 9000.0}))
        threading.Timer(0.1, watch.close).start()
        watch.wait_for(8, 30)
        assert time.monotonic() - started < 15

    def test_what_is_unjudged(self):
        watch = Watch("")
        watch.write(event("exam_reset", exam="a"))
        assert not watch.unjudged
        watch.write(exam("a"))
        assert watch.unjudged
        watch.write(event("finding_rejected"))
        assert not watch.unjudged
        watch.write(event("exam_reset", exam="b"))
        watch.write(exam("b", label=None))
        assert not watch.unjudged


class TestClosing:
    def test_from_another_thread(self, opened):
        source = opened()
        threading.Timer(0.3, source.close).start()
        started = time.monotonic()
        assert list(source) == []
        assert time.monotonic() - started < 3

    def test_before_it_is_looked_at(self, opened):
        source = opened()
        source.close()
        assert list(source) == []

    def test_in_mid_object_and_with_objects_waiting(self, opened, caplog):
        source = opened("rate=2")
        store(source, object_bytes(picture(1, 9)), object_bytes(picture(2)))
        taken = iter(source)
        assert words(islice(taken, 2)) == ["exam", "0"]
        threading.Timer(0.1, source.close).start()
        started = time.monotonic()
        assert len(list(taken)) <= 1
        assert time.monotonic() - started < 3
        until = time.monotonic() + 5
        while "1 objects were received and not classified" not in caplog.text:
            assert time.monotonic() < until
            time.sleep(0.02)

    def test_the_port_is_free_again(self, opened):
        source = opened()
        port = int(source.address.rpartition(":")[2])
        source.close()
        again = open_scp(f"dicom-scp://127.0.0.1:{port}", live=True)
        again.close()


@pytest.mark.parametrize(
    ("library", "call"),
    [
        ("pynetdicom", "sources.table import open_source as f; f('dicom-scp://127.0.0.1:0')"),
        ("highdicom", "sinks.table import open_sink as f; f('dicom-scu://A@127.0.0.1:1?queue=/nowhere')"),
    ],
)
def test_without_the_extra_it_says_which(library, call):
    program = f"import sys; sys.modules['{library}'] = None; from edge_cns.runtime.{call}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1].endswith(f"{library} is not installed; run: pip install 'edge-cns[bridge]'")
