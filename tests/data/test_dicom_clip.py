"""DICOM clips frame by frame: the same frames as one by one, their times, and nothing of the patient."""

from __future__ import annotations

import hashlib
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("pydicom", reason="needs the dicom extra")
import pydicom
from pydicom.pixels import compress

from edge_cns.data.dicom import decode_dicom
from edge_cns.data.dicom_clip import DicomClip
from edge_cns.errors import BadInputError
from edge_cns.frames import Frame
from tests.dicoms import SECRET, dicom_bytes, packaged

GREY = (np.arange(6 * 64 * 80).reshape(6, 64, 80) % 251).astype(np.uint8)


def compressed() -> bytes:
    dataset = pydicom.dcmread(io.BytesIO(dicom_bytes(GREY)))
    compress(dataset, pydicom.uid.RLELossless)
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    return buffer.getvalue()


def clip_of(tmp_path, pixels=GREY, **elements) -> DicomClip:
    path = tmp_path / "clip.dcm"
    path.write_bytes(dicom_bytes(pixels, **elements))
    return DicomClip(path, "clip.dcm")


@pytest.mark.parametrize("kind", ["native", "rle", "bare", "deep", "colour"])
def test_the_same_frames_as_one_by_one(tmp_path, kind):
    data = {
        "native": lambda: dicom_bytes(GREY),
        "rle": compressed,
        "bare": lambda: dicom_bytes(GREY)[132:],
        "deep": lambda: dicom_bytes(GREY.astype(np.uint16) * 13, WindowCenter="900", WindowWidth="2000"),
        "colour": lambda: dicom_bytes(np.stack([GREY, 255 - GREY, GREY // 2], axis=-1)),
    }[kind]()
    path = tmp_path / "clip.dcm"
    path.write_bytes(data)
    frames = list(DicomClip(path, "x"))
    assert len(frames) == len(GREY)
    for number, frame in enumerate(frames, 1):
        np.testing.assert_array_equal(frame.pixels, decode_dicom(data, "x", number=number).pixels)


def test_the_packaged_ultrasound_clip():
    path = packaged("examples_ybr_color.dcm")
    clip, header = DicomClip(path, "x"), pydicom.dcmread(path)
    frames = list(clip)
    assert len(frames) == 30
    assert clip.seconds == pytest.approx([0.033333] * 30)
    one = decode_dicom(path.read_bytes(), "x", number=17)
    np.testing.assert_array_equal(frames[16].pixels, one.pixels)
    assert (frames[16].region, frames[16].mm_per_pixel) == (one.region, one.mm_per_pixel)
    both = f"{header.StudyInstanceUID}\0{header.PatientID}"
    assert clip.exam == hashlib.sha256(both.encode()).hexdigest()[:16]


@pytest.mark.parametrize(
    ("elements", "seconds"),
    [
        ({}, [1 / 30] * 6),
        ({"FrameTime": "40"}, [0.04] * 6),
        ({"FrameTimeVector": ["0", "10", "20", "30", "40", "50"]}, [0.01, 0.02, 0.03, 0.04, 0.05, 0.05]),
        ({"FrameTimeVector": ["0", "10", "20"], "FrameTime": "40"}, [0.04] * 6),
        ({"FrameTimeVector": ["0", "10", "0", "30", "40", "50"], "CineRate": "20"}, [0.05] * 6),
        ({"FrameTimeVector": "10"}, [1 / 30] * 6),
        ({"RecommendedDisplayFrameRate": "50", "CineRate": "20"}, [0.02] * 6),
        ({"CineRate": "20"}, [0.05] * 6),
        ({"FrameTime": "0", "CineRate": "0"}, [1 / 30] * 6),
        ({"FrameTime": "-5"}, [1 / 30] * 6),
        ({"FrameTime": "1e9"}, [1 / 30] * 6),
    ],
)
def test_times(tmp_path, elements, seconds):
    assert clip_of(tmp_path, **elements).seconds == pytest.approx(seconds)


def test_exams_differ_and_say_nothing(tmp_path):
    ids = {
        clip_of(tmp_path, StudyInstanceUID=study, PatientID=patient).exam
        for study, patient in (("1.2", "3"), ("1.23", ""), ("1.2", "4"), ("", "3"))
    }
    assert len(ids) == 4
    assert all(len(one) == 16 and SECRET not in one for one in ids)
    assert clip_of(tmp_path, PatientID="").exam == ""


def test_memory_holds_one_frame(tmp_path):
    import tracemalloc

    path = tmp_path / "long.dcm"
    path.write_bytes(dicom_bytes(np.zeros((200, 256, 256), np.uint8)))  # 13 MB
    list(DicomClip(packaged("examples_ybr_color.dcm"), "x"))
    tracemalloc.start()
    assert sum(isinstance(frame, Frame) for frame in DicomClip(path, "x")) == 200
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4e6


VALID = [dicom_bytes(GREY[:2], FrameTimeVector=["0", "10"]), compressed()]


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(VALID),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=5),
    st.floats(0, 1),
)
def test_damaged_files_are_decoded_or_refused(tmp_path_factory, data, changes, keep):
    mutated = bytearray(data)
    for where, value in changes:
        mutated[132 + int(where * where * min(900, len(mutated) - 132))] = value
    path = tmp_path_factory.mktemp("damaged") / "clip.dcm"
    for content in (bytes(mutated), bytes(mutated[: int(keep * len(mutated))])):
        path.write_bytes(content)
        try:
            said = [str(one) for one in DicomClip(path, "x") if not isinstance(one, Frame)]
        except BadInputError as error:
            said = [str(error)]
        assert all("\n" not in one and SECRET not in one and one.startswith("x ") for one in said)
