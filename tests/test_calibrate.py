from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

import edge_cns
from edge_cns.bundle import CALIBRATION, DECISION, read_bundle, strip
from edge_cns.calibrate import CalibrationSettings, calibrate
from edge_cns.data.manifest import read_manifest
from edge_cns.errors import BadInputError
from tests.trained import PATIENTS, Trained, draw_frame, draw_stripes


@pytest.fixture(scope="session")
def calibrated(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small bundle, calibrated on its own labels. Nobody writes to it."""
    path = tmp_path_factory.mktemp("calibrated") / "small.cns"
    shutil.copytree(trained.bundle.path, path)
    calibrate(path, read_manifest(trained.labels))
    return path


@pytest.fixture
def fresh(trained: Trained, tmp_path: Path) -> Path:
    """The small bundle before calibration, to change."""
    return Path(shutil.copytree(trained.bundle.path, tmp_path / "fresh.cns"))


def labels_with(trained: Trained, path: Path, change) -> Path:
    """The labels with every row passed through a function; ``None`` leaves a row out."""
    with trained.labels.open() as file:
        rows = [{**row, "path": str(trained.labels.parent / row["path"])} for row in csv.DictReader(file)]
    kept = [row for row in map(change, rows) if row is not None]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(kept[0]))
        writer.writeheader()
        writer.writerows(kept)
    return path


def test_everything_is_fitted_on_the_patients_it_is_for(calibrated):
    bundle = read_bundle(calibrated)
    decision, record = bundle.contract.decision, json.loads(bundle.files[CALIBRATION])
    assert decision.calibrated
    limit = PATIENTS["calibrate"] + PATIENTS["stop"] + PATIENTS["gate"]
    assert record["patients"] == {
        "fit": PATIENTS["fit"],
        "calibrate": PATIENTS["calibrate"],
        "novelty_limit": limit,
        "unknown": 0,
    }
    assert record["frames"]["novelty_limit"] == 3 * limit
    assert record["temperature"] == decision.temperature
    assert record["rule"] == decision.exam.aggregation.rule
    assert decision.conformal.pooled == bundle.contract.class_names, "two patients a class are too few"
    assert any("fewer than 9 calibration patients of bars, coarse, fine" in text for text in record["warnings"])
    assert not any("novelty limit" in text for text in record["warnings"]), "39 patients are enough for it"
    assert decision.views is None, "the labels have no plane"
    assert decision.exam.negative is None, "no class is called normal"


def test_the_runtime_applies_it(calibrated, fresh):
    frame = draw_frame("bars", np.random.default_rng(1234))
    stripes = edge_cns.Frame(draw_stripes(4), region=edge_cns.Region(0, 0, 90, 90))
    with edge_cns.load(calibrated) as classifier:
        verdict = classifier.classify(frame)
        strange = classifier.classify(stripes)
        assert "uncalibrated" not in classifier.remarks
        limit = classifier.contract.decision.novelty.threshold
    assert verdict.calibrated
    assert 0 <= verdict.novelty < strange.novelty
    assert strange.novelty > limit
    assert strange.state is edge_cns.State.NOT_SUPPORTED_VIEW
    assert (strange.label, strange.probability, strange.heatmap, strange.view) == (None, None, None, None)
    assert strange.reason.startswith("not a supported view (novelty")
    assert sum(strange.probabilities.values()) == pytest.approx(1)
    with edge_cns.load(fresh) as classifier:
        assert classifier.classify(stripes).state is edge_cns.State.CLASS, "without calibration nothing abstains"
        assert "uncalibrated" in classifier.remarks


def test_rows_kept_for_testing_change_nothing(trained, calibrated, fresh, tmp_path):
    def other_test_rows(row):
        return row | ({"label": "fine"} if row["split"] == "test" else {})

    calibrate(fresh, read_manifest(labels_with(trained, tmp_path / "labels.csv", other_test_rows)))
    again = read_bundle(fresh)
    assert again.contract == read_bundle(calibrated).contract
    assert again.files[DECISION] == read_bundle(calibrated).files[DECISION]


@pytest.mark.parametrize("split", ["stop", "gate"])
def test_labels_of_patients_that_chose_something_change_nothing(trained, calibrated, fresh, tmp_path, split):
    def wrong(row):
        return row | ({"label": "fine"} if row["split"] == split else {})

    calibrate(fresh, read_manifest(labels_with(trained, tmp_path / "labels.csv", wrong)))
    assert read_bundle(fresh).contract == read_bundle(calibrated).contract


@pytest.mark.parametrize("split", ["stop", "gate"])
def test_their_frames_move_the_novelty_limit_and_no_other_fit(trained, calibrated, fresh, tmp_path, split):
    stripes = tmp_path / "stripes.png"
    stripes.write_bytes(cv2.imencode(".png", draw_stripes(4))[1].tobytes())

    def strange(row):
        return row | ({"path": str(stripes)} if row["split"] == split else {})

    calibrate(fresh, read_manifest(labels_with(trained, tmp_path / "labels.csv", strange)))
    theirs, ours = read_bundle(fresh), read_bundle(calibrated)
    assert theirs.contract.decision.novelty.threshold > ours.contract.decision.novelty.threshold
    assert theirs.files[DECISION] == ours.files[DECISION], "no direction was learned from them"
    assert theirs.contract.decision.temperature == ours.contract.decision.temperature
    assert theirs.contract.decision.conformal == ours.contract.decision.conformal


def test_few_patients_for_the_novelty_limit_are_said(trained, fresh, tmp_path):
    labels = labels_with(
        trained, tmp_path / "labels.csv", lambda row: row if row["split"] not in ("stop", "gate") else None
    )
    record = calibrate(fresh, read_manifest(labels))
    assert record["patients"]["novelty_limit"] == PATIENTS["calibrate"]
    assert any("fewer than 19 patients for the novelty limit" in text for text in record["warnings"])


def test_patients_whom_the_bundle_does_not_know_calibrate_too(trained, fresh, tmp_path):
    def renamed(row):
        new = row["split"] in ("stop", "gate")
        return row | ({"patient_id": f"new-{row['patient_id']}", "split": ""} if new else {})

    record = calibrate(fresh, read_manifest(labels_with(trained, tmp_path / "labels.csv", renamed)))
    unknown = PATIENTS["stop"] + PATIENTS["gate"]
    assert record["patients"]["unknown"] == unknown
    assert record["patients"]["calibrate"] == PATIENTS["calibrate"] + unknown
    assert record["warnings"] == []
    assert read_bundle(fresh).contract.decision.conformal.pooled == ()


def test_without_fit_rows_novelty_is_left_out_and_said(trained, calibrated, fresh, tmp_path):
    labels = labels_with(trained, tmp_path / "labels.csv", lambda row: row if row["split"] != "fit" else None)
    shutil.copytree(calibrated, tmp_path / "twice.cns")
    for path in (fresh, tmp_path / "twice.cns"):
        record = calibrate(path, read_manifest(labels))
        assert any("no rows of fit patients" in text for text in record["warnings"])
        assert record["patients"]["novelty_limit"] == 0
        bundle = read_bundle(path)
        assert bundle.contract.decision.novelty is None
        assert DECISION not in bundle.files, "arrays of an earlier calibration are gone"
        with edge_cns.load(path) as classifier:
            assert classifier.classify(draw_frame("bars", np.random.default_rng(3))).novelty is None


def test_planes_become_views_and_the_exams_checklist(trained, fresh, tmp_path):
    def with_plane(row):
        return row | {"plane": row["label"] + " plane"}

    labels = read_manifest(labels_with(trained, tmp_path / "labels.csv", with_plane))
    calibrate(fresh, labels, CalibrationSettings(negative="fine"))
    decision = read_bundle(fresh).contract.decision
    assert decision.views.names == ("bars plane", "coarse plane", "fine plane")
    assert decision.exam.required_views == decision.views.names
    assert decision.exam.negative == "fine"
    with edge_cns.load(fresh) as classifier:
        verdicts = [classifier.classify(draw_frame("bars", np.random.default_rng([9, i]))) for i in range(20)]
    assert sum(verdict.view == "bars plane" for verdict in verdicts) > 14
    calibrate(fresh, labels, CalibrationSettings(negative="fine", required_views=("bars plane",)))
    assert read_bundle(fresh).contract.decision.exam.required_views == ("bars plane",)
    with pytest.raises(BadInputError, match=r"--require-view 'spine' is no plane that .* can tell"):
        calibrate(fresh, labels, CalibrationSettings(negative="fine", required_views=("spine",)))


def test_frames_without_evidence_teach_exams_but_no_probability(trained, calibrated, fresh, tmp_path):
    blank = tmp_path / "blank.png"
    blank.write_bytes(cv2.imencode(".png", draw_frame("fine", np.random.default_rng(77)))[1].tobytes())
    first = {}

    def with_blank(row):
        is_first = row["split"] == "calibrate" and first.setdefault(row["patient_id"], row["path"]) == row["path"]
        return row | {"evidence": "false" if is_first else "", "path": str(blank) if is_first else row["path"]}

    record = calibrate(fresh, read_manifest(labels_with(trained, tmp_path / "labels.csv", with_blank)))
    assert record["frames"]["calibrate"] == 3 * PATIENTS["calibrate"]
    ours, theirs = read_bundle(fresh).contract.decision, read_bundle(calibrated).contract.decision
    assert ours.exam.thresholds != theirs.exam.thresholds


def test_a_signature_of_the_uncalibrated_bundle_is_dropped(trained, fresh):
    (fresh / "model.sig").write_bytes(b"a signature")
    calibrate(fresh, read_manifest(trained.labels))
    assert not (fresh / "model.sig").exists()
    strip(fresh)
    with edge_cns.load(fresh) as classifier:
        assert classifier.contract.decision.calibrated, "a device keeps what the decision needs"


def test_a_decision_of_another_networks_size(calibrated, tmp_path):
    from edge_cns.bundle import read_arrays, update_bundle, write_arrays

    path = Path(shutil.copytree(calibrated, tmp_path / "other.cns"))
    arrays = read_arrays(read_bundle(path).files[DECISION], DECISION)
    update_bundle(path, {DECISION: write_arrays({name: array[..., :-1] for name, array in arrays.items()})})
    with pytest.raises(BadInputError, match=r"decision\.npz does not fit the model"):
        edge_cns.load(path)


def test_bad_input_is_refused_before_anything_is_written(trained, fresh, tmp_path):
    before = {name: (fresh / name).read_bytes() for name in (p.name for p in fresh.iterdir())}
    no_bars = labels_with(trained, tmp_path / "a.csv", lambda row: row if row["label"] != "bars" else None)
    with pytest.raises(BadInputError, match=r"a\.csv has no calibration patient of class 'bars'"):
        calibrate(fresh, read_manifest(no_bars))
    other = labels_with(trained, tmp_path / "b.csv", lambda row: row | {"label": "liver"})
    with pytest.raises(BadInputError, match=r"b\.csv line 2: label 'liver' is not in the contract"):
        calibrate(fresh, read_manifest(other))
    with pytest.raises(BadInputError, match="--negative 'normal' is not a class"):
        calibrate(fresh, read_manifest(trained.labels), CalibrationSettings(negative="normal"))
    assert {name: (fresh / name).read_bytes() for name in (p.name for p in fresh.iterdir())} == before
