from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks import heatmaps
from edge_cns.contract import ClassDefinition, Contract, InputSpec, IntendedUse
from edge_cns.data.phantom import CLASSES
from edge_cns.frames import Frame
from edge_cns.preprocess import image


class Bright:
    """A classifier for which brightness speaks for each class but the last."""

    contract = Contract(
        classes=tuple(ClassDefinition(name) for name in CLASSES),
        input=InputSpec(64, 64),
        intended_use=IntendedUse("test", phantom=True),
    )

    def __init__(self) -> None:
        self.backend = self
        self.image = np.zeros((64, 64), np.uint8)

    def preprocess(self, frame: Frame) -> None:
        self.image = image(frame, self.contract.input)

    def invoke(self) -> None:
        pass

    def output(self, name: str) -> np.ndarray:
        assert name == "cam"
        cells = cv2.resize(self.image, (4, 4), interpolation=cv2.INTER_AREA).astype(np.float32)
        return np.stack([cells, cells, cells, cells, np.zeros_like(cells)], axis=-1)


def test_all_questions_are_asked_of_patients_drawn_for_it(monkeypatch, tmp_path: Path, capsys) -> None:
    monkeypatch.setattr(heatmaps.edge_cns, "load", lambda _: nullcontext(Bright()))
    arguments = ["any.cns", "--patients", "5", "--seed", "3", "--figures", str(tmp_path)]
    assert heatmaps.main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {"lesions", "counterfactual", "offsets"} == set(found)
    assert found["lesions"]["n_patients"] == 4  # one of five is normal
    at = {row["cells"]: row for row in found["offsets"]}
    assert list(at) == list(heatmaps.OFFSETS)
    assert at[0.0]["pointing"] == found["lesions"]["pointing"]
    assert at[0.0]["mass"]["value"] == pytest.approx(found["lesions"]["mass"]["value"])
    assert {path.name for path in tmp_path.iterdir()} == {"heatmaps.jpg", "heatmaps_sanity.png"}
    text = heatmaps.table(found)
    assert text.startswith("PHANTOM DATA")
    assert "| int8 maps moved by +0.50 cell |" in text
    assert "Grad-CAM" not in text


def test_moving_is_moving() -> None:
    heatmap = np.zeros((10, 10), np.float32)
    heatmap[2, 3] = 1
    np.testing.assert_array_equal(heatmaps.moved(heatmap, 4), np.roll(heatmap, (4, 4), (0, 1)))
    np.testing.assert_array_equal(heatmaps.moved(np.ones((5, 6), np.float32), -2.5), np.ones((5, 6)))


def test_a_bundle_of_other_classes_is_refused(monkeypatch, capsys) -> None:
    class Other(Bright):
        contract = Contract((ClassDefinition("a"), ClassDefinition("b")), InputSpec(64, 64), IntendedUse("test"))

    monkeypatch.setattr(heatmaps.edge_cns, "load", lambda _: nullcontext(Other()))
    assert heatmaps.main(["any.cns"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: any.cns has other classes than the phantom")
