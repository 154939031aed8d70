from __future__ import annotations

import json
from collections.abc import Callable

import cv2
import numpy as np
import pytest

from edge_cns.contract import Contract
from edge_cns.data.manifest import Manifest
from edge_cns.decision.verdict import evidence
from edge_cns.errors import BadInputError
from edge_cns.evaluation.heatmaps import measure_heatmaps, read_lesions
from edge_cns.evaluation.heatmaps.maps import mass_inside, pointing
from edge_cns.evaluation.heatmaps.shown import Settings, show, spread
from edge_cns.frames import Frame
from edge_cns.preprocess import image

Outlined = Callable[..., Manifest]


def cams_of(images: np.ndarray) -> np.ndarray:
    """``(N, 8, 8, 2)``: how bright each cell is speaks for a lesion, and 50 everywhere against it."""
    cells = images.reshape(-1, 8, 8, 8, 8).mean(axis=(2, 4)).astype(np.float32)
    return np.stack([cells, np.full_like(cells, 20)], axis=-1)


class Knowing:
    """A float model that sees lesions as the int8 one does; shuffled, it sees anything."""

    def __init__(self) -> None:
        self.shares: list[float] = []

    def cams(self, images: np.ndarray) -> np.ndarray:
        return cams_of(images)

    def grad_cams(self, images: np.ndarray, classes: np.ndarray, *, against_mean: bool) -> np.ndarray:
        cams = cams_of(images)
        maps = [evidence(c, k) if against_mean else c[..., k] for c, k in zip(cams, classes, strict=True)]
        return np.stack(maps) / 64 - 3

    def shuffled_cams(self, images: np.ndarray, share: float, seed: int) -> np.ndarray:
        self.shares.append(share)
        return np.random.default_rng([seed, int(100 * share)]).normal(size=(len(images), 8, 8, 2)).astype(np.float32)


@pytest.fixture
def cam(contract: Contract) -> Callable[[Frame], np.ndarray]:
    return lambda frame: cams_of(image(frame, contract.input)[None])[0]


def test_a_model_that_knows_the_lesion(outlined: Outlined, contract: Contract, cam) -> None:
    manifest = outlined(patients=12, frames=4)
    reference = Knowing()
    study = measure_heatmaps(
        cam, manifest.rows, contract, lesions=read_lesions(manifest), reference=reference, resamples=200
    )
    assert study is not None
    json.dumps(study.block, allow_nan=False)
    lesions = study.block["lesions"]
    assert (lesions["n_frames"], lesions["n_patients"], lesions["n_outside"]) == (32, 8, 0)
    assert lesions["pointing"]["value"] == 1
    assert lesions["pointing"]["interval"][0] < 1  # eight patients prove no perfection
    assert lesions["mass_area"]["value"] == pytest.approx(1 / 16)
    assert lesions["mass"]["value"] > 0.75  # the rest is the cubic interpolation beside the edge
    assert lesions["pointing_swapped"]["value"] < 0.5
    assert lesions["pointing_gain"]["value"] == pytest.approx(1 - lesions["pointing_swapped"]["value"])
    assert lesions["grid"] == [8, 8]
    assert set(lesions["per_class"]) == {"lesion"}
    pairs = study.block["counterfactual"]
    assert pairs["n_pairs"] == 32
    assert pairs["share_falling"]["value"] == 1
    assert pairs["evidence_left"]["value"] == 0  # dark cells speak against a lesion
    assert pairs["fall_inside"]["value"] > 0.75
    lost = study.block["randomisation"]
    assert lost["loses_the_lesion"] is True
    assert [stage["name"] for stage in lost["stages"]][:2] == ["trained", "head"]
    assert abs(lost["stages"][-1]["correlation"]["value"]) < 0.1
    assert lost["stages"][-1]["pointing"]["value"] < 0.4
    assert sorted(set(reference.shares)) == [0, 0.25, 0.5, 1]
    agreement = study.block["agreement"]
    assert agreement["signed"]["value"] == pytest.approx(1)
    assert (agreement["n_frames"], agreement["places"]) == (48, 64)
    assert sum(agreement["histogram"]["counts"]) == 48


def test_the_logit_falls_by_what_the_lesion_adds(outlined: Outlined, contract: Contract, cam) -> None:
    manifest = outlined(patients=3, frames=1)
    lesions = read_lesions(manifest)
    study = measure_heatmaps(cam, manifest.rows, contract, lesions=lesions, resamples=50)
    assert study is not None
    falls = []
    for lesion in lesions:
        shown = show(cam, lesion, contract)
        assert shown is not None
        assert shown.twin is not None
        brightness = [seen.image.astype(float).mean() for seen in (shown.seen, shown.twin)]
        falls.append((brightness[0] - brightness[1]) / 2)  # of two classes half is the mean's own fall
    assert study.block["counterfactual"]["logit_fall"]["value"] == pytest.approx(np.mean(falls), rel=1e-5)


def test_chance_by_swapping_is_what_other_patients_maps_reach(outlined: Outlined, contract: Contract, cam) -> None:
    manifest = outlined(patients=6, frames=1)
    lesions = read_lesions(manifest)
    study = measure_heatmaps(cam, manifest.rows, contract, lesions=lesions, resamples=50)
    assert study is not None
    settings = Settings(contract, 0, 50)
    shown = [s for s in (show(cam, lesion, contract) for lesion in lesions) if s is not None]
    maps = [settings.drawn(s.seen.cams, s.label, s.seen.box) for s in shown]
    others = [
        [(pointing(m, s.target), mass_inside(m, s.mask)) for m in maps if m is not own]
        for s, own in zip(shown, maps, strict=True)
    ]
    hits, masses = np.mean(others, axis=(0, 1))
    assert study.block["lesions"]["pointing_swapped"]["value"] == pytest.approx(hits)
    assert study.block["lesions"]["mass_swapped"]["value"] == pytest.approx(masses)


def test_a_model_that_knows_nothing_is_seen_through(outlined: Outlined, contract: Contract) -> None:
    manifest = outlined(patients=12, frames=4)
    fixed = np.random.default_rng(5).normal(size=(8, 8, 2)).astype(np.float32)
    study = measure_heatmaps(lambda _: fixed, manifest.rows, contract, lesions=read_lesions(manifest), resamples=200)
    assert study is not None
    lesions, pairs = study.block["lesions"], study.block["counterfactual"]
    assert lesions["pointing_gain"]["value"] == pytest.approx(0)  # everybody's map is the same
    assert lesions["pointing"]["value"] < 0.4
    assert pairs["share_falling"]["value"] == 0
    assert pairs["logit_fall"]["value"] == 0
    assert pairs["fall_inside"]["value"] is None  # nothing falls
    assert "randomisation" not in study.block


def test_what_cannot_be_asked_is_left_out(outlined: Outlined, contract: Contract, cam) -> None:
    manifest = outlined(twins=False)
    lesions = read_lesions(manifest)
    assert measure_heatmaps(cam, manifest.rows, contract) is None
    assert measure_heatmaps(cam, (), contract, lesions=lesions, reference=Knowing()) is None
    study = measure_heatmaps(cam, manifest.rows, contract, lesions=lesions, resamples=50)
    assert study is not None
    assert list(study.block) == ["lesions"]
    study = measure_heatmaps(cam, manifest.rows, contract, reference=Knowing(), resamples=50)
    assert study is not None
    assert list(study.block) == ["agreement"]
    few = [row for row in manifest.rows if row.patient_id == "p1"]
    study = measure_heatmaps(cam, few, contract, lesions=lesions, resamples=50)
    assert study is not None
    assert study.block["lesions"]["n_patients"] == 1
    assert study.block["lesions"]["pointing_swapped"]["value"] is None  # nobody to swap with
    assert study.block["lesions"]["pointing"]["interval"] is None or study.block["lesions"]["pointing"]["value"] == 1


def test_constant_float_maps_have_no_correlation(outlined: Outlined, contract: Contract, cam) -> None:
    class Dead(Knowing):
        def grad_cams(self, images, classes, *, against_mean):
            return np.zeros((len(images), 8, 8), np.float32)

    study = measure_heatmaps(cam, outlined().rows, contract, reference=Dead(), resamples=50)
    assert study is not None
    block = study.block["agreement"]
    json.dumps(block, allow_nan=False)
    assert (block["n_undefined"], block["signed"]["value"], block["quantiles"]["0.5"]) == (12, None, None)
    assert study.panels == ()


def test_the_picture_shows_the_median_frame_of_each_class(outlined: Outlined, contract: Contract, cam) -> None:
    manifest = outlined()
    study = measure_heatmaps(
        cam, manifest.rows, contract, lesions=read_lesions(manifest), reference=Knowing(), resamples=50
    )
    assert study is not None
    (panel,) = study.panels
    assert panel.caption == "lesion"
    titles = [title for title, *_ in panel.cells]
    assert titles == ["frame, lesion outlined", "int8 map", "float Grad-CAM", "without the lesion", "weights shuffled"]
    assert panel.mask is not None
    for _, picture, heatmap, _ in panel.cells:
        assert picture.shape == panel.mask.shape
        assert heatmap is None or heatmap.shape == picture.shape
    shared = [strongest for title, _, _, strongest in panel.cells if title in ("int8 map", "without the lesion")]
    assert shared[0] == shared[1]


def test_the_twin_is_seen_in_the_frames_own_region(tmp_path, contract: Contract, cam, outlined: Outlined) -> None:
    manifest = outlined(patients=2, frames=1)
    (lesion,) = read_lesions(manifest)
    assert lesion.twin is not None
    small = cv2.imread(str(lesion.twin), cv2.IMREAD_GRAYSCALE)[:100]
    lesion.twin.write_bytes(cv2.imencode(".png", small)[1].tobytes())
    with pytest.raises(BadInputError, match=r"has the shape \(100, 128\), its frame \(128, 128\)"):
        measure_heatmaps(cam, manifest.rows, contract, lesions=[lesion])


def test_spread_keeps_order_and_both_ends() -> None:
    assert spread(range(3), 5) == [0, 1, 2]
    assert spread(range(100), 3) == [0, 49, 99]
