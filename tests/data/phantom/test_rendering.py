from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_cns.data import phantom
from edge_cns.data.phantom.planes import section
from edge_cns.errors import BadInputError

ILL = [c for c in phantom.CLASSES if c != "normal"]


def _telling(label: str, plane: str) -> phantom.Patient:
    """A patient of 22 weeks whose lesion this plane cuts."""
    patients = (phantom.draw_patient(label, seed, gestational_age_weeks=22) for seed in itertools.count())
    return next(p for p in patients if phantom.visible_signs(p, plane))


CASES = [
    ("anencephaly", "transthalamic"),
    ("anencephaly", "coronal_face"),
    ("encephalocele", "transcerebellar"),
    ("encephalocele", "coronal_face"),
    ("holoprosencephaly", "transventricular"),
    ("holoprosencephaly", "coronal_face"),
    ("rachischisis", "transthalamic"),
    ("rachischisis", "transcerebellar"),
    ("rachischisis", "spine_sagittal"),
    ("rachischisis", "spine_transverse"),
    *((label, "transthalamic") for label in phantom.UNLISTED),
]


@pytest.mark.parametrize("label", phantom.CLASSES)
def test_every_class_is_drawn_in_every_plane_inside_its_fan(label: str) -> None:
    for number, plane in enumerate(phantom.PLANES):
        frame = phantom.render(phantom.draw_patient(label, number), plane, number, size=128)
        assert frame.pixels.shape == (128, 128)
        assert frame.pixels.dtype == np.uint8
        assert frame.pixels.std() > 10
        assert not frame.evidence or phantom.visible_signs(frame.patient, plane)


@pytest.mark.parametrize("machine", phantom.MACHINES, ids=lambda machine: machine.name)
def test_the_region_is_the_rectangle_around_the_fan(machine: phantom.Machine) -> None:
    patient = phantom.draw_patient("normal", 3)
    view = phantom.draw_view(patient, "transthalamic", 4, machine=replace(machine, scale="", bar=False))
    frame = phantom.render(patient, "transthalamic", replace(view, text=(), callipers=False, gain_db=0.0))
    rows, columns = np.flatnonzero(frame.pixels.max(axis=1)), np.flatnonzero(frame.pixels.max(axis=0))
    box = frame.region
    assert (rows[0], rows[-1] + 1) == pytest.approx((box.y, box.y + box.height), abs=2)
    assert (columns[0], columns[-1] + 1) == pytest.approx((box.x, box.x + box.width), abs=2)


def test_a_lesion_beside_the_fan_is_no_evidence() -> None:
    patient = _telling("encephalocele", "transcerebellar")
    view = phantom.draw_view(patient, "transcerebellar", 5)
    away = replace(view, pose=replace(view.pose, x=view.pose.x + 500.0))
    assert phantom.render(patient, "transcerebellar", view).evidence
    assert not phantom.render(patient, "transcerebellar", away).evidence


def test_the_same_seeds_give_the_same_pixels_and_another_seed_other_ones() -> None:
    patient = phantom.draw_patient("holoprosencephaly", 4)
    first, again = (phantom.render(patient, "transthalamic", 9, size=128).pixels for _ in range(2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, phantom.render(patient, "transthalamic", 10, size=128).pixels)


@pytest.mark.parametrize(("label", "plane"), CASES)
def test_a_twin_differs_only_at_the_lesion_and_behind_it(label: str, plane: str) -> None:
    patient = _telling(label, plane)
    view = phantom.draw_view(patient, plane, 5)
    shown = phantom.render(patient, plane, view)
    twin = phantom.render(patient, plane, view, lesion=False)
    assert shown.evidence
    assert not twin.evidence
    assert not twin.lesion_mask.any()
    difference = np.abs(shown.pixels.astype(int) - twin.pixels)
    allowed = _at_or_behind(shown)
    assert np.mean(difference[~allowed] > 6) < 0.002
    assert difference[shown.lesion_mask].mean() > 6
    assert difference[shown.lesion_mask].mean() > 8 * difference[~allowed].mean()


@pytest.mark.parametrize("label", ILL)
def test_planes_without_the_lesion_are_those_of_the_healthy_fetus(label: str) -> None:
    patient = phantom.draw_patient(label, 3)
    hidden = next(p for p in reversed(phantom.PLANES) if not phantom.visible_signs(patient, p))
    shown, twin = (phantom.render(patient, hidden, 2, size=128, lesion=lesion) for lesion in (True, False))
    assert np.array_equal(shown.pixels, twin.pixels)
    assert not shown.evidence


def test_nuisances_do_not_know_the_class() -> None:
    for seed in range(20):
        for plane in phantom.PLANES:
            normal = phantom.draw_patient("normal", seed)
            ill = replace(phantom.draw_patient("anencephaly", seed), label="anencephaly")
            assert phantom.draw_view(normal, plane, seed) == phantom.draw_view(ill, plane, seed)


def test_the_skull_is_the_brightest_thing_and_casts_shadows_at_its_sides() -> None:
    patient = replace(phantom.draw_patient("normal", 8, gestational_age_weeks=22), twin=False)
    view = phantom.draw_view(patient, "transthalamic", 1, machine=phantom.machine_named("curved-60"))
    view = replace(
        view, pose=replace(view.pose, x=0.0, turn=0.0), cavity=(90.0, view.cavity[1]), text=(), callipers=False
    )
    frame = phantom.render(patient, "transthalamic", view)
    cut = section(patient, "transthalamic")
    assert cut.maps[..., 2].max() == pytest.approx(1.0)
    spacing = frame.mm_per_pixel
    lift = view.probe.radius_mm * (1 - np.cos(np.deg2rad(view.probe.angle_deg / 2)))
    middle, centre = 128, round(0.02 * 256 + (lift + view.pose.y) / spacing)
    high = round(0.5 * patient.breadth_mm / spacing)
    near_wall = frame.pixels[centre - high - 4 : centre - high + 8, middle - 10 : middle + 10].max()
    brain = frame.pixels[centre - high // 2 : centre + high // 2, middle - 20 : middle + 20].mean()
    assert near_wall > 3 * brain


@pytest.mark.parametrize("label", phantom.UNLISTED)
def test_unlisted_anomalies_can_be_drawn_and_are_no_class(label: str) -> None:
    assert label not in phantom.CLASSES
    frame = phantom.render(phantom.draw_patient(label, 2, gestational_age_weeks=21), "transthalamic", 1)
    assert frame.signs == (label,)
    assert frame.lesion_mask.mean() > 0.003


def test_the_picture_has_the_size_asked_for_and_refuses_others() -> None:
    patient = phantom.draw_patient("normal", 1)
    small, large = (phantom.render(patient, "coronal_face", 3, size=size) for size in (128, 256))
    assert small.mm_per_pixel == pytest.approx(2 * large.mm_per_pixel, rel=0.01)
    with pytest.raises(BadInputError, match="size is 32 px"):
        phantom.render(patient, "coronal_face", 3, size=32)
    with pytest.raises(BadInputError, match="no plane 'sagittal'"):
        section(patient, "sagittal")
    with pytest.raises(BadInputError, match="no machine 'acme'"):
        phantom.machine_named("acme")


def _at_or_behind(frame: phantom.Rendering) -> NDArray[np.bool_]:
    """Pixels on a beam that has met the lesion already, with a margin for the width of beam and pulse."""
    probe, size = frame.view.probe, frame.pixels.shape[0]
    lift = probe.radius_mm * (1 - np.cos(np.deg2rad(probe.angle_deg / 2)))
    x, y = np.meshgrid(np.arange(size) - 0.5 * (size - 1), np.arange(size) - 0.02 * size)
    x, y = x * frame.mm_per_pixel, y * frame.mm_per_pixel - lift + probe.radius_mm
    angle, range_mm = np.rad2deg(np.arctan2(x, y)), np.hypot(x, y)
    first = np.full(361, np.inf)
    bins = np.round(angle * 2).astype(int) + 180
    inside = (bins >= 0) & (bins < 361)
    np.minimum.at(first, bins[frame.lesion_mask & inside], range_mm[frame.lesion_mask & inside])
    reach = 6  # three degrees
    widened = np.array([first[max(0, i - reach) : i + reach + 1].min() for i in range(361)])
    return np.asarray(inside & (range_mm > widened[np.clip(bins, 0, 360)] - 4.0))
