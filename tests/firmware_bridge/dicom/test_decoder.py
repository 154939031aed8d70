"""Decoding in another process: the same frames, and whatever happens there is one damaged object."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest

pytest.importorskip("pydicom", reason="needs the dicom extra")
from edge_cns.data.dicom_clip import DicomClip
from edge_cns.errors import BadInputError
from edge_cns.frames import Frame, UnusableFrame
from firmware_bridge.dicom.decoder import Decoder
from tests.dicoms import packaged
from tests.firmware_bridge.dicom.material import NAME, NUMBER, object_bytes, picture


@pytest.fixture
def decoder():
    made = Decoder()
    yield made
    made.close()


def test_the_same_frames_as_in_this_process(decoder):
    path = packaged("examples_ybr_color.dcm")
    described = decoder.open([path.read_bytes()])
    steps = list(decoder.play())
    assert described.frames == len(steps) == 30
    clip = DicomClip(path, "x")
    assert described.identity == clip.identity
    for (frame, seconds), expected in zip(steps, clip, strict=True):
        np.testing.assert_array_equal(frame.pixels, expected.pixels)
        assert (frame.region, frame.mm_per_pixel, frame.bits_stored) == (
            expected.region,
            expected.mm_per_pixel,
            expected.bits_stored,
        )
        assert seconds == pytest.approx(clip.seconds[0])


def test_objects_one_after_the_other(decoder):
    for seed in range(3):
        pixels = picture(seed, 2)
        content = object_bytes(pixels)
        decoder.open([content[:100], content[100:]])
        assert [np.array_equal(frame.pixels, one) for (frame, _), one in zip(decoder.play(), pixels, strict=True)]
        assert list(decoder.play()) == []


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: b"\0" * 1000, "is not DICOM"),
        (lambda: object_bytes(picture(1))[:-5000], "is cut short or damaged"),
        (lambda: object_bytes(picture(1), StudyInstanceUID=""), "has no valid UIDs"),
        (lambda: object_bytes(picture(1, size=32)), "is 32x32 px"),
        (lambda: packaged("reportsi.dcm").read_bytes(), "has no pixel data"),
    ],
)
def test_what_cannot_be_used_is_one_line_without_a_word_of_it(decoder, make, why):
    with pytest.raises(BadInputError, match=why) as raised:
        decoder.open([make()])
    assert NAME not in str(raised.value)
    assert NUMBER not in str(raised.value)
    assert "\n" not in str(raised.value)
    assert decoder.open([object_bytes(picture(2))]).frames == 1


def test_a_damaged_frame_is_one_frame(decoder):
    content = object_bytes(picture(1, 3))
    decoder.open([content])
    steps = list(decoder.play())
    assert len(steps) == 3
    assert all(isinstance(frame, Frame) for frame, _ in steps)


def test_a_process_that_dies_is_one_damaged_object(decoder):
    decoder.open([object_bytes(picture(1, 5))])
    steps = decoder.play()
    next(steps)
    os.kill(decoder._process.pid, signal.SIGSEGV)
    rest = list(steps)
    assert isinstance(rest[-1][0], UnusableFrame)
    assert "ends its decoder (killed by SIGSEGV)" in rest[-1][0].reason
    assert decoder.open([object_bytes(picture(2))]).frames == 1


def test_a_process_that_hangs_is_ended():
    decoder = Decoder(seconds=0.5)
    decoder.syntaxes()
    os.kill(decoder._process.pid, signal.SIGSTOP)
    with pytest.raises(BadInputError, match=r"keeps its decoder for more than 0.5 s"):
        decoder.open([object_bytes(picture(1))])
    assert decoder.syntaxes()
    decoder.close()


def test_it_ends_with_its_owner(decoder):
    decoder.syntaxes()
    process = decoder._process
    decoder._channel.close()
    assert process.wait(10) == 0


def test_memory_is_limited(decoder):
    decoder.syntaxes()
    with open(f"/proc/{decoder._process.pid}/limits", encoding="ascii") as file:
        limits = {line[:26].strip(): line[26:].split()[0] for line in file}
    assert limits["Max address space"] == str(4 * 2**30)
    assert limits["Max core file size"] == "0"


def test_closing_ends_a_wait():
    import threading

    decoder = Decoder()
    decoder.syntaxes()
    os.kill(decoder._process.pid, signal.SIGSTOP)
    threading.Timer(0.2, decoder.close).start()
    with pytest.raises(BadInputError, match="ends its decoder"):
        decoder.open([object_bytes(picture(1))])
    decoder.close()
