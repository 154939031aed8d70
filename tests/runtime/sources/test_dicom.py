from __future__ import annotations

import time

import numpy as np
import pytest

pytest.importorskip("pydicom", reason="needs the dicom extra")

from edge_cns.errors import BadInputError, MissingExtraError
from edge_cns.frames import EventKind, Frame, MachineEvent, UnusableFrame
from edge_cns.runtime.sources.table import open_source
from tests.dicoms import NAME, SECRET, dicom_bytes, packaged
from tests.runtime.sources.material import deliveries

CLIP = np.stack([np.full((64, 80), 20 * i, np.uint8) for i in range(4)])


@pytest.fixture
def exams(tmp_path):
    """Two files of one exam, one of another, two of none, and one that is damaged."""
    for name, elements in {
        "a1": {"StudyInstanceUID": "1.2.3"},
        "a2": {"StudyInstanceUID": "1.2.3"},
        "b": {"StudyInstanceUID": "1.2.4"},
        "c": {"PatientID": ""},
        "d": {"PatientID": ""},
    }.items():
        (tmp_path / f"{name}.dcm").write_bytes(dicom_bytes(CLIP, FrameTime="5", **elements))
    (tmp_path / "broken.dcm").write_bytes(dicom_bytes(CLIP)[:300])
    (tmp_path / "notes.txt").write_text("no DICOM")
    return tmp_path


def test_the_packaged_clip():
    path = packaged("examples_ybr_color.dcm")
    for uri in (f"dicom://{path}", path.as_uri(), path):
        exam, *frames = deliveries(uri)
        assert exam.kind is EventKind.EXAM
        assert len(exam.value) == 16
        assert int(exam.value, 16) >= 0
        assert [frame.sequence for frame in frames] == list(range(30))
        assert {frame.pixels.shape for frame in frames} == {(240, 320, 3)}


def test_live_it_runs_at_its_frame_time():
    frames = deliveries(f"dicom://{packaged('examples_ybr_color.dcm')}", live=True)[1:]
    assert len(frames) == 30
    assert 0.95 < (frames[-1].captured_ns - frames[0].captured_ns) / 1e9 < 6, "33 ms a frame"


def test_a_loop_and_a_rate(tmp_path):
    (tmp_path / "clip.dcm").write_bytes(dicom_bytes(CLIP))
    started = time.monotonic()
    taken = deliveries(f"dicom://{tmp_path}/clip.dcm?loop=1&rate=200", 14, live=True)
    assert time.monotonic() - started < 5
    kinds = [one.kind.value if isinstance(one, MachineEvent) else one.sequence for one in taken]
    assert kinds == ["exam", 0, 1, 2, 3, "cine", 4, 5, 6, 7, "cine", 8, 9, 10]


def test_each_exam_of_a_folder_is_announced(exams):
    taken = deliveries(f"dicom://{exams}?rate=max", live=True)
    assert [type(one).__name__ for one in taken if not isinstance(one, Frame)] == [
        *["MachineEvent"] * 2,
        "UnusableFrame",
        *["MachineEvent"] * 2,
    ]
    events = [one for one in taken if isinstance(one, MachineEvent)]
    assert len({event.value for event in events}) == 3
    assert events[2].value == events[3].value == "", "of files that name no exam each is one"
    before = [i for i, one in enumerate(taken) if isinstance(one, MachineEvent)]
    assert before == [0, 9, 15, 20]
    assert taken[14].reason.startswith("broken.dcm ")
    said = " ".join(str(one) for one in taken if not isinstance(one, Frame))
    for secret in (NAME, SECRET, "1.2.3", "1.2.4", str(exams)):
        assert secret not in said


def test_exams_of_a_loop(tmp_path):
    """Of two exams in turn each is announced each time; one that is played again is still the same."""
    for name in "12":
        (tmp_path / f"{name}.dcm").write_bytes(dicom_bytes(CLIP[:1], StudyInstanceUID=f"1.2.{name}"))
    taken = deliveries(f"{tmp_path.as_uri()}?loop=1", 9)
    kinds = [one.kind.value if isinstance(one, MachineEvent) else one.sequence for one in taken]
    assert kinds == ["exam", 0, "exam", 1, "cine", "exam", 2, "exam", 3]


def test_not_live_a_damaged_file_is_an_error(exams):
    with pytest.raises(BadInputError, match=r"^broken\.dcm "):
        deliveries(f"dicom://{exams}")


def test_a_damaged_frame_in_the_middle_is_left_out_when_live(tmp_path):
    data = bytearray(packaged("examples_ybr_color.dcm").read_bytes())
    half = len(data) // 2
    data[half : half + 4000] = bytes(4000)
    (tmp_path / "clip.dcm").write_bytes(data)
    taken = deliveries(f"dicom://{tmp_path}/clip.dcm?rate=max", live=True)[1:]
    assert [one.sequence for one in taken] == list(range(30))
    bad = [one for one in taken if isinstance(one, UnusableFrame)]
    assert len(bad) < 5
    assert all(one.reason.startswith("clip.dcm is damaged") for one in bad)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("nowhere.dcm", "does not exist"),
        ("empty", "has no DICOM files"),
        ("text.dcm", "is not DICOM"),
        ("cut.dcm", "cut short or damaged"),
        ("odd.dcm", "is compressed as JPEG 2000 Part 2 Multi-component Image Compression (Loss"),
        ("small.dcm", "is 40x32 px"),
        ("many.dcm", "states 2000000000 frames"),
    ],
)
def test_what_cannot_be_opened(tmp_path, name, text):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.dcm").write_text("not DICOM")
    (tmp_path / "cut.dcm").write_bytes(dicom_bytes(CLIP)[:-18000])
    (tmp_path / "small.dcm").write_bytes(dicom_bytes(CLIP[:, :32, :40]))
    (tmp_path / "many.dcm").write_bytes(dicom_bytes(CLIP, NumberOfFrames="2000000000"))
    odd = packaged("MR_small_jpeg_ls_lossless.dcm").read_bytes().replace(b".1.2.4.80", b".1.2.4.92")
    (tmp_path / "odd.dcm").write_bytes(odd)  # which nobody decodes
    with pytest.raises(BadInputError) as caught:
        open_source(f"dicom://{tmp_path}/{name}", live=True)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)
    assert SECRET not in str(caught.value)


def test_of_a_clip_cut_short_the_frames_before_the_cut_are_shown(tmp_path):
    (tmp_path / "cut.dcm").write_bytes(dicom_bytes(CLIP)[:-6000])
    taken = deliveries(f"dicom://{tmp_path}/cut.dcm?rate=max", live=True)[1:]
    assert [type(one) for one in taken] == [Frame, Frame, UnusableFrame, UnusableFrame]


def test_without_pydicom_the_extra_is_named(tmp_path, monkeypatch):
    import sys

    (tmp_path / "clip.dcm").write_bytes(dicom_bytes(CLIP))
    for name in [name for name in sys.modules if name.partition(".")[0] == "pydicom"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match=r"edge-cns\[dicom\]"):
        open_source(f"dicom://{tmp_path}/clip.dcm")
