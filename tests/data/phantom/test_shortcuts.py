from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import phantom_shortcuts
from edge_cns.data import phantom


def test_a_classifier_that_sees_the_lesion_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phantom, "CLASSES", ("anencephaly", "normal"))

    def oracle(shown: phantom.Rendering) -> str:
        return shown.patient.label if shown.evidence else "normal"

    report = phantom_shortcuts.bundle_report(oracle, patients=1, size=64)
    assert all(right == count for right, count in report["accuracy"].values())
    assert set(report["accuracy"]) == set(phantom.PLANES)
    changed, normal, count = report["lesion_removed"]
    assert changed == normal == count == 4
    assert report["flips"]["gain"][0] == report["flips"]["text"][0] == 0
    assert set(report["flips"]) == {"gain", "flip", "text", "machine", "everything"}


def test_a_class_that_one_site_has_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phantom_shortcuts, "_TREES", 20)
    lines = ["path,label,patient_id,plane,site,device,gestational_age_weeks,mm_per_pixel,reference_standard"]
    rng = np.random.default_rng(0)
    for i in range(30):
        label = phantom.CLASSES[i % 5]
        pixels = rng.integers(0, 256, (64, 64)).astype(np.uint8)
        (tmp_path / f"{i}.png").write_bytes(phantom.encode_png(pixels))
        lines.append(f"{i}.png,{label},P{i},transthalamic,site-{label},d,{12 + i % 7},0.4,phantom")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    found = {(r["shortcut"], r["plane"]): r for r in phantom_shortcuts.baselines(tmp_path / "labels.csv")}
    assert found["metadata", "all"]["accuracy"] > 0.9
    assert found["metadata", "all"]["low"] > found["metadata", "all"]["chance"]
    assert found["plane", "all"]["accuracy"] <= 0.4


def test_other_data_sets_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "labels.csv").write_text("path,label,patient_id\na.png,normal,1\n")
    assert phantom_shortcuts.main([str(tmp_path / "labels.csv")]) == 2
    assert "not a phantom data set" in capsys.readouterr().err
