from __future__ import annotations

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_cns.data.check import check
from edge_cns.data.manifest import read_manifest
from edge_cns.data.splits import draw_sets


def rows(count=48, labels=("ill", "well"), **columns):
    """Rows of distinct patients with the labels in turn; a column is a function of number and label."""
    made = []
    for i in range(count):
        label = labels[i % len(labels)]
        made.append({"label": label, "patient_id": f"p{i}", **{name: f(i, label) for name, f in columns.items()}})
    return made


def kinds(findings, level=None):
    return [f.kind for f in findings.findings if level in (None, f.level)]


def text_of(findings, kind):
    (text,) = [f.text for f in findings.findings if f.kind == kind]
    assert "\n" not in text
    return text


def test_a_good_set_has_no_findings(write_set):
    seen = []
    manifest = write_set(rows(site=lambda i, _: "AB"[i // 2 % 2], evidence=lambda i, _: i % 3 > 0))
    findings = check(manifest, progress=lambda task, done, total, note="": seen.append((task, done, total)))
    assert findings.findings == ()
    assert findings.refusal is None
    assert findings.shortcut_warnings == ()
    assert (findings.frames, findings.patients, findings.several_labels) == (48, 48, 0)
    assert [(n, c.frames, c.patients, c.without_evidence) for n, c in findings.classes.items()] == [
        ("ill", 24, 24, 8),
        ("well", 24, 24, 8),
    ]
    assert [a.column for a in findings.associations] == ["site"]
    assert seen[-1] == ("reading frames", 48, 48)
    assert json.loads(json.dumps(findings.as_dict()))["refusal"] is None


def test_bad_images_are_a_refusal_that_names_the_first(write_set, tmp_path):
    manifest = write_set(rows())
    (tmp_path / "3.png").write_bytes(b"")
    (tmp_path / "5.png").write_bytes(cv2.imencode(".png", np.zeros((1, 3), np.uint8))[1].tobytes())
    (tmp_path / "9.png").unlink()
    findings = check(manifest)
    assert len(findings.unreadable) == 3
    assert findings.refusal == (
        f"3 of 48 images cannot be used; the first (line 5): {tmp_path / '3.png'} is empty (0 bytes); "
        "copy it again from its source"
    )
    assert "3x1 px" in findings.unreadable[1]


@pytest.mark.parametrize("column", ["site", "device", "plane", "operator"])
def test_a_column_that_separates_the_classes_is_a_shortcut(write_set, column):
    findings = check(write_set(rows(**{column: lambda _, label: f"only {label}"})))
    assert findings.refusal is None
    (warning,) = findings.shortcut_warnings
    assert warning.startswith(f"{column} separates all classes perfectly")


def test_one_class_of_three_at_its_own_site(write_set):
    findings = check(
        write_set(rows(60, ("ill", "well", "odd"), site=lambda i, label: "X" if label == "ill" else "AB"[i // 3 % 2]))
    )
    (warning,) = findings.shortcut_warnings
    assert warning.startswith("site separates class 'ill' perfectly: all of it has 'X', nothing else has; ")


def test_a_class_from_one_of_the_shared_sites_is_a_shortcut(write_set):
    findings = check(write_set(rows(80, site=lambda i, label: "A" if label == "ill" or i % 8 < 3 else "B")))
    (warning,) = findings.shortcut_warnings
    assert warning.startswith("class 'ill' (40 patients) has only site 'A', which 25% of the other patients have; ")
    mostly = check(write_set(rows(80, site=lambda i, label: "A" if label == "ill" or i % 8 < 7 else "B")))
    assert mostly.shortcut_warnings == ()
    assert kinds(mostly) == ["confined"]


def test_a_strong_association_that_is_not_perfect_is_a_warning(write_set):
    findings = check(write_set(rows(60, site=lambda i, label: "A" if (label == "ill") == (i % 20 > 1) else "B")))
    assert kinds(findings, "shortcut") == []
    assert "Cramér's V 0." in text_of(findings, "association")


def test_gestational_age_is_compared_in_bands(write_set):
    findings = check(write_set(rows(gestational_age_weeks=lambda i, label: (12 if label == "ill" else 22) + i / 48)))
    assert findings.shortcut_warnings[0].startswith("gestational age separates all classes")


def test_what_follows_the_label_inside_patients_is_no_shortcut(write_set):
    both = [{"label": v, "patient_id": f"p{i}", "view": f"{v} view"} for i in range(24) for v in ("head", "femur")]
    findings = check(write_set(both))
    assert findings.several_labels == 24
    assert findings.shortcut_warnings == ()
    assert text_of(findings, "restates-label").startswith("view changes with the label inside patients")


def test_burned_in_text_and_image_size_of_one_class_are_shortcuts(write_set):
    table = rows()
    for i, row in enumerate(table):
        pixels = np.random.default_rng(i).integers(0, 20, (120, 160 if row["label"] == "ill" else 170), dtype=np.uint8)
        if row["label"] == "ill":
            cv2.putText(pixels, "BPD 51", (5, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.4, 220, 1, cv2.LINE_AA)
        row["pixels"] = pixels
    findings = check(write_set(table))
    assert [w.split(" separates")[0] for w in sorted(findings.shortcut_warnings)] == ["burned-in text", "image size"]


def test_duplicates_within_and_across_patients(write_set):
    table = rows()
    table += [{**table[0], "path": "0.png"}, {**table[2], "path": "4.png"}]  # p0 twice; p4's image as p2's, too
    findings = check(write_set(table))
    assert findings.refusal is None
    assert text_of(findings, "duplicate-frames").startswith(
        "images repeated within a patient: 1, the first on line 2 (p0, ill), line 50 (p0, ill)"
    )
    assert "same pixels under two patients: 1, the first on line 6 (p4, ill), line 51 (p2, ill)" in text_of(
        findings, "duplicate-patients"
    )
    assert findings.linked_patients == (("p2", "p4"),)
    sets = draw_sets(read_manifest(findings.path).rows, seed=1, together=findings.linked_patients)
    assert sets["p2"] == sets["p4"]


def test_the_same_pixels_in_another_file_format_are_found(write_set, tmp_path):
    manifest = write_set([*rows(), {"label": "ill", "patient_id": "new", "path": "copy.bmp"}])
    grey = cv2.imread(str(tmp_path / "0.png"), cv2.IMREAD_UNCHANGED)
    (tmp_path / "copy.bmp").write_bytes(cv2.imencode(".bmp", cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR))[1].tobytes())
    assert check(manifest).linked_patients == (("new", "p0"),)


def test_the_same_pixels_with_two_labels_are_a_refusal(write_set):
    table = rows()
    findings = check(write_set([*table, {**table[1], "path": "0.png"}]))
    assert findings.refusal.startswith(
        "images with the same pixels and different labels: 1, the first on line 2 (p0, ill)"
    )


def test_the_same_pixels_without_evidence_may_have_two_labels(write_set):
    table = rows(evidence=lambda *_: "")
    findings = check(write_set([*table, {**table[0], "path": "1.png", "patient_id": "p1b", "evidence": "false"}]))
    assert findings.refusal is None


def test_the_same_pixels_in_two_splits_are_a_refusal(write_set):
    table = rows(split=lambda i, _: "test" if i < 2 else "")
    findings = check(write_set([*table, {**table[2], "path": "0.png"}]))
    assert findings.refusal.startswith("images with the same pixels in two splits: 1")


def test_too_few_patients_are_a_refusal_and_few_are_a_warning(write_set):
    table = rows(30)
    findings = check(write_set(table))
    assert kinds(findings) == ["few-patients"]
    assert text_of(findings, "few-patients").startswith("classes with fewer than 20 patients: 'ill' 15, 'well' 15; ")
    findings = check(write_set([*table, {"label": "rare", "patient_id": "r"}]))
    assert findings.refusal.startswith("class 'rare' has 1 patient to train on")
    assert check(write_set(rows(9, ("one",)))).refusal.startswith("there is only 'one' to train on")


def test_class_names_that_differ_in_case(write_set):
    findings = check(write_set(rows(80, ("Normal", "normal"))))
    assert text_of(findings, "class-names").startswith("classes 'Normal' and 'normal' differ only in case")


def test_phantom_and_mixture(write_set):
    findings = check(write_set(rows(reference_standard=lambda *_: "phantom")))
    assert findings.phantom
    assert text_of(findings, "phantom") == "48 frames are a phantom (simulated)"
    mixed = check(write_set(rows(reference_standard=lambda i, _: "phantom" if i > 40 else "birth")))
    assert "7 frames are a phantom (simulated) and 41 are not" in text_of(mixed, "phantom")


def test_twelve_bits_in_sixteen_and_blank_frames(write_set):
    table = rows()
    for i, row in enumerate(table):
        row["pixels"] = np.random.default_rng(i).integers(0, 4096, (64, 64)).astype(np.uint16)
    table[7]["pixels"] = np.full((64, 64), 900, np.uint16)
    findings = check(write_set(table))
    assert "all 48 16-bit images stay below 4096" in text_of(findings, "twelve-bits")
    assert "multiply the pixels by 16" in text_of(findings, "twelve-bits")
    assert text_of(findings, "blank").startswith("1 images are blank (one grey level), first line 9")


def test_full_sixteen_bits_are_no_finding(write_set):
    table = rows()
    for i, row in enumerate(table):
        row["pixels"] = np.random.default_rng(i).integers(0, 65536, (64, 64)).astype(np.uint16)
    assert check(write_set(table)).findings == ()


def test_real_planes_can_be_trained_on():
    root = os.environ.get("EDGE_CNS_DATA_DIR")
    if not root:
        pytest.skip("EDGE_CNS_DATA_DIR is not set")
    findings = check(read_manifest(Path(root) / "fetal_planes" / "labels.csv"))
    assert findings.refusal is None
    assert findings.shortcut_warnings == ()
    assert (findings.frames, findings.patients, findings.several_labels) == (1232, 495, 277)
    assert kinds(findings) == ["restates-label"]
