from __future__ import annotations

from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_cns.data import phantom
from edge_cns.data.phantom import clip
from edge_cns.errors import BadInputError, OperationError


def test_live_frames_pass_through_all_planes_smoothly() -> None:
    shown = list(islice(phantom.frames("rachischisis", fps=4, seed=1, size=96), 27))
    assert {f.plane for f in shown} == set(phantom.PLANES)
    assert len({f.mm_per_pixel for f in shown}) == 1
    assert any(f.evidence for f in shown)
    assert not np.array_equal(shown[0].pixels, shown[1].pixels)
    again = next(phantom.frames("rachischisis", fps=4, seed=1, size=96))
    assert np.array_equal(again.pixels, shown[0].pixels)


def test_neighbouring_frames_are_more_alike_than_distant_ones() -> None:
    film = [f.pixels.astype(int) for f in islice(phantom.frames("normal", fps=30, seed=2, size=96), 16)]
    assert np.abs(film[1] - film[0]).mean() < 0.7 * np.abs(film[15] - film[0]).mean()


def test_a_film_opens_and_is_the_same_every_time(tmp_path: Path) -> None:
    count = phantom.write_clip(tmp_path / "a.mp4", "encephalocele", fps=3, size=128)
    phantom.write_clip(tmp_path / "b.mp4", "encephalocele", fps=3, size=128)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
    film = cv2.VideoCapture(str(tmp_path / "a.mp4"))
    frames = []
    while (read := film.read())[0]:
        frames.append(read[1])
    film.release()
    assert len(frames) == count == 20
    assert frames[0].shape == (128 + 44, 128, 3)
    assert frames[0][128:].max() > 150  # the caption


def test_a_film_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    with pytest.raises(OperationError, match=r"cannot write film\.mp4"):
        phantom.write_clip(tmp_path / "missing" / "film.mp4", "normal", fps=2, size=64)


def test_the_filmed_patient_shows_the_lesion_on_as_many_planes_as_any() -> None:
    for label in phantom.CLASSES:
        patient = clip.telling_patient(label, 3)
        assert 20 <= patient.gestational_age_weeks <= 24
        if label != "normal":
            assert sum(bool(phantom.visible_signs(patient, p)) for p in phantom.PLANES) >= 3


def test_an_unknown_class_is_refused() -> None:
    with pytest.raises(BadInputError, match="no class 'nothing'"):
        next(phantom.frames("nothing"))
