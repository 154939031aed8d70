from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_cns.data import phantom
from edge_cns.data.phantom.view import Pose
from edge_cns.errors import BadInputError

TABLE = {12: (20, 70), 16: (32, 121), 20: (46, 175), 24: (59, 220), 28: (70, 258), 32: (80, 290), 36: (89, 320)}


@pytest.mark.parametrize("weeks", [14, 20, 24, 30, 36])
def test_the_head_measured_on_the_picture_has_the_size_of_the_table(weeks: int) -> None:
    found = []
    for seed in range(4):
        patient = phantom.draw_patient("normal", seed, gestational_age_weeks=weeks)
        found.append(_measured_mm(patient))
    diameter, circumference = np.mean(found, axis=0)
    assert diameter == pytest.approx(phantom.size_at("bpd_mm", weeks), rel=0.08)
    assert circumference == pytest.approx(phantom.size_at("hc_mm", weeks), rel=0.08)


@pytest.mark.parametrize(("weeks", "sizes"), TABLE.items())
def test_the_table_is_met_at_its_weeks(weeks: int, sizes: tuple[int, int]) -> None:
    assert (phantom.size_at("bpd_mm", weeks), phantom.size_at("hc_mm", weeks)) == sizes


@given(st.sampled_from(phantom.CLASSES + phantom.UNLISTED), st.integers(0, 2**31), st.floats(12, 36))
def test_normal_variation_stays_in_its_range(label: str, seed: int, weeks: float) -> None:
    patient = phantom.draw_patient(label, seed, gestational_age_weeks=weeks)
    assert 0.73 < patient.breadth_mm / patient.length_mm < 0.84
    assert patient.ventricle_mm < 10.0
    assert 0.8 <= patient.skull_mm <= 3.3
    assert patient.csp_mm == 0.0 or 1.0 <= patient.csp_mm <= 9.0
    assert patient.csp_mm > 0.0 or weeks < 18.0
    assert (patient.lesion is None) == (label == "normal")


@given(st.integers(0, 2**31), st.sampled_from([c for c in phantom.CLASSES if c != "normal"]))
def test_a_seed_is_the_same_fetus_whatever_is_wrong_with_it(seed: int, label: str) -> None:
    healthy, ill = phantom.draw_patient("normal", seed), phantom.draw_patient(label, seed)
    assert ill.lesion is not None
    same = replace(ill, label="normal", lesion=None)
    if "microcephaly" in ill.lesion.signs:
        assert same.breadth_mm < healthy.breadth_mm
    elif "lemon" in ill.lesion.signs:
        assert same == replace(healthy, lemon_outline=False)
    else:
        assert same == healthy


def test_signs_follow_the_stated_frequencies() -> None:
    def share(label: str, sign: str, weeks: float) -> float:
        patients = [phantom.draw_patient(label, s, gestational_age_weeks=weeks) for s in range(400)]
        return float(np.mean([p.lesion is not None and sign in p.lesion.signs for p in patients]))

    assert share("rachischisis", "lemon", 20) > 0.93
    assert share("rachischisis", "lemon", 30) == pytest.approx(0.13, abs=0.06)
    assert share("rachischisis", "banana", 30) == pytest.approx(0.95, abs=0.04)
    assert share("encephalocele", "ventriculomegaly", 20) == pytest.approx(0.75, abs=0.07)
    outlines = [phantom.draw_patient("normal", s).lemon_outline for s in range(1500)]
    assert 0.003 < np.mean(outlines) < 0.025


def test_a_lobar_forebrain_is_not_drawn_before_18_weeks() -> None:
    for seed in range(150):
        lesion = phantom.draw_patient("holoprosencephaly", seed, gestational_age_weeks=17.5).lesion
        assert lesion is not None
        assert lesion.subtype != "lobar"


@pytest.mark.parametrize(
    ("label", "seen", "unseen"),
    [
        ("anencephaly", ("transthalamic", "coronal_face"), ("spine_sagittal", "spine_transverse")),
        ("holoprosencephaly", ("transventricular", "transcerebellar"), ("spine_sagittal",)),
        ("rachischisis", ("spine_sagittal",), ("coronal_face",)),
        ("encephalocele", ("transthalamic",), ("spine_sagittal", "spine_transverse")),
        ("normal", (), phantom.PLANES),
    ],
)
def test_a_sign_is_seen_only_on_planes_that_cut_it(label: str, seen: tuple[str, ...], unseen: tuple[str, ...]) -> None:
    for seed in range(30):
        patient = phantom.draw_patient(label, seed)
        assert all(phantom.visible_signs(patient, plane) for plane in seen)
        assert not any(phantom.visible_signs(patient, plane) for plane in unseen)


def test_impossible_patients_are_refused() -> None:
    with pytest.raises(BadInputError, match="no class 'gastroschisis'"):
        phantom.draw_patient("gastroschisis", 1)
    with pytest.raises(BadInputError, match=r"40\.0 weeks"):
        phantom.draw_patient("normal", 1, gestational_age_weeks=40)
    with pytest.raises(BadInputError, match="seed is -1"):
        phantom.draw_patient("normal", -1)


def _measured_mm(patient: phantom.Patient) -> tuple[float, float]:
    """Diameter (outer to inner) and circumference, from the bright arcs where the beam meets the skull squarely."""
    patient = replace(patient, lemon_outline=False, twin=False)
    view = phantom.draw_view(patient, "transthalamic", 1, machine=phantom.machine_named("curved-60"))
    view = replace(view, pose=Pose(0.0, view.pose.y, 0.0, False), callipers=False, text=(), gain_db=-36.0)
    frame = phantom.render(patient, "transthalamic", view, size=384)
    spacing = frame.mm_per_pixel
    pixels = cv2.GaussianBlur(frame.pixels, (5, 5), 0).astype(float)
    # The first row of the fan's middle beam is where the depth scale starts.
    lift = view.probe.radius_mm * (1.0 - np.cos(np.deg2rad(view.probe.angle_deg / 2)))
    cx, cy = 0.5 * 383, 0.02 * 384 + (lift + view.pose.y) / spacing
    a, b = 0.5 * patient.length_mm / spacing, 0.5 * patient.breadth_mm / spacing
    points = []
    for phi in np.deg2rad([*range(48, 133, 4), *range(228, 313, 4)]):
        reach = np.linspace(0.75, 1.25, 120)
        x, y = cx + a * reach * np.cos(phi), cy + b * reach * np.sin(phi)
        best = int(np.argmax(pixels[np.clip(y.round().astype(int), 0, 383), np.clip(x.round().astype(int), 0, 383)]))
        points.append((x[best], y[best]))
    _, axes, _ = cv2.fitEllipse(np.array(points, np.float32))
    short, long = sorted(axis * spacing + patient.skull_mm for axis in axes)  # the ridge runs mid-bone
    h = ((long - short) / (long + short)) ** 2
    perimeter = np.pi / 2 * (long + short) * (1 + 3 * h / (10 + np.sqrt(4 - 3 * h)))
    return short - patient.skull_mm, float(perimeter)
