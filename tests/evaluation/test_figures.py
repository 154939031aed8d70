from __future__ import annotations

import sys

import cv2
import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from edge_cns.errors import MissingExtraError
from edge_cns.evaluation.figures import (
    confusion_png,
    draw,
    draw_heatmaps,
    precision_recall_png,
    reliability_png,
    roc_png,
    subgroups_png,
    write_figures,
)
from edge_cns.evaluation.heatmaps import HeatmapStudy, Panel
from edge_cns.evaluation.metrics import evaluate

NAMES = [
    "confusion",
    "confusion_patients",
    "roc",
    "precision_recall",
    "sensitivity",
    "reliability",
    "risk_coverage",
    "subgroups",
]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are saved, in order."""
    figures: list[Figure] = []
    save = Figure.savefig

    def savefig(figure: Figure, *args, **kwargs) -> None:
        save(figure, *args, **kwargs)
        figures.append(figure)

    monkeypatch.setattr(Figure, "savefig", savefig)
    return figures


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text) if text.get_text()]


def pixels(png: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)


def test_draws_the_unseen_patients_and_leaves_matplotlib_as_it_was(make_predictions, drawn) -> None:
    predictions = make_predictions()
    metrics = evaluate(predictions, resamples=50)
    before = dict(matplotlib.rcParams)
    figures = draw(predictions, metrics)
    assert dict(matplotlib.rcParams) == before
    assert list(figures) == NAMES
    for png in figures.values():
        image = pixels(png)
        assert 850 <= image.shape[1] <= 1000
        assert image.std() > 5
    assert max(map(len, figures.values())) < 70_000
    titles = [figure.get_suptitle() for figure in drawn]
    of_frames = "Frames of unseen patients"
    assert titles == [of_frames, "Unseen patients", *[of_frames] * 5, "Accuracy by frame, unseen patients"]
    counts = metrics["by_set"]["unseen"]["frame"]["confusion"]
    cells = [text.split("\n")[0] for text in texts(drawn[0])]
    assert [str(count) for row in counts for count in row] == cells[:9]
    head = metrics["by_set"]["unseen"]["frame"]["per_class"]["head"]
    assert f"head  {head['auroc']['value']:.3f}" in texts(drawn[2])
    assert f"head  {head['average_precision']['value']:.3f}" in texts(drawn[3])


def test_every_title_says_phantom(make_predictions, drawn) -> None:
    predictions = make_predictions(patients=9, phantom=True)
    draw(predictions, evaluate(predictions, resamples=20))
    assert [figure.get_suptitle().startswith("PHANTOM DATA\n") for figure in drawn] == [True] * len(NAMES)


def test_class_names_are_data(make_predictions, drawn) -> None:
    classes = ("_hidden", "a $\\frac$ b", "脊柱", "n" * 80)
    predictions = make_predictions(classes)
    roc_png(predictions.labels, predictions.probabilities, classes, "t")
    confusion_png(np.eye(4, dtype=int).tolist(), classes, "t")
    legend = texts(drawn[0])
    for name in classes[:3]:
        assert any(text.startswith(name) for text in legend)
    assert not any("n" * 40 in text for figure in drawn for text in texts(figure))


def test_one_class_and_absent_classes_can_be_drawn(make_predictions, drawn) -> None:
    predictions = make_predictions()
    predictions = predictions.select(predictions.labels == 1)
    assert set(NAMES[:-1]) <= set(draw(predictions, evaluate(predictions, resamples=20)))
    assert any("one class only" in text for text in texts(drawn[2]))
    assert "-" in texts(drawn[0])


def test_many_classes_make_a_larger_matrix() -> None:
    few, many = (pixels(confusion_png(np.eye(k, dtype=int).tolist(), "abcdefghijkl"[:k], "t")) for k in (4, 12))
    assert many.shape[1] > 1.4 * few.shape[1]


def test_precision_recall_has_no_point_where_nothing_is_called(drawn) -> None:
    labels = np.array([0, 0, 1, 1])
    probabilities = np.array([[0.1, 0.9], [0.8, 0.2], [0.6, 0.4], [0.3, 0.7]])
    precision_recall_png(labels, probabilities, ("a", "b"), "t")
    line = drawn[0].axes[0].get_lines()[1]  # of b: the surest call is wrong
    sensitivity, precision = line.get_xdata(), line.get_ydata()
    assert (sensitivity[0], precision[0]) == (0, 0)
    assert (sensitivity[-1], precision[-1]) == (1, 0.5)  # all are called, and half of them are b


def test_reliability_before_and_after(make_predictions, drawn) -> None:
    after = evaluate(make_predictions(), resamples=20)["frame"]["calibration"]
    before = after | {"ece": 0.25}
    reliability_png(after, "t", before=before)
    assert "before calibration, ECE 0.250" in texts(drawn[0])
    assert f"after calibration, ECE {after['ece']:.3f}" in texts(drawn[0])
    reliability_png(after, "t")
    assert f"as the model says, ECE {after['ece']:.3f}" in texts(drawn[1])
    points = drawn[1].axes[0].get_lines()[-1]
    assert list(points.get_xdata()) == [part["confidence"] for part in after["bins"]]
    assert list(points.get_ydata()) == [part["accuracy"] for part in after["bins"]]


def test_exams_have_a_curve_of_their_own_where_they_were_measured(make_predictions, drawn) -> None:
    predictions = make_predictions()
    metrics = evaluate(predictions, resamples=20)
    selective = metrics["by_set"]["unseen"]["patient"]["selective"]
    figures = draw(predictions, metrics | {"exams": {"selective": selective}})
    assert list(figures) == [*NAMES[:-1], "risk_coverage_exams", "subgroups"]
    assert drawn[-2].get_suptitle() == "Exams of unseen patients"
    assert "share of exams answered, the surest first" in texts(drawn[-2])


def test_subgroups_mark_what_is_flagged(make_predictions, drawn) -> None:
    predictions = make_predictions()
    block = evaluate(predictions, resamples=50)["subgroups"]
    groups = block["columns"]["site"]["groups"]
    groups[0]["flags"], groups[1]["accuracy_interval"] = ["accuracy"], None
    assert subgroups_png(block) is not None
    markers = [line.get_marker() for line in drawn[0].axes[0].get_lines() if line.get_marker() in ("o", "D")]
    assert markers[:2] == ["D", "o"]
    widths = {line.get_linewidth() for line in drawn[0].axes[0].get_lines()}
    assert 0.8 in widths  # Wilson's interval is thin
    assert subgroups_png(block | {"columns": {}}) is None


class TestHeatmaps:
    @pytest.fixture
    def study(self) -> HeatmapStudy:
        picture = np.full((60, 80), 60, np.uint8)
        ramp = np.tile(np.linspace(-1, 1, 80, dtype=np.float32), (60, 1))
        mask = np.zeros((60, 80), bool)
        mask[20:40, 50:70] = True
        cells = (("frame", picture, None, 0.0), ("int8 map", picture, ramp, 1.0), ("without", picture, -ramp - 2, 1.0))
        mean = {"value": 0.5, "interval": [0.4, 0.6], "n": 4, "n_patients": 2}
        keys = ("pointing", "mass", "pointing_swapped", "mass_swapped", "pointing_area", "mass_area")
        lesions = {"n_frames": 4, "n_patients": 2, **dict.fromkeys(keys, mean)}
        lesions["mass"] = mean | {"value": None, "interval": None}
        stages = [
            {"name": "trained", "share": None, "pointing": mean, "mass": mean},
            {"name": "head", "share": 0.0, "pointing": mean, "mass": mean},
        ]
        histogram = {"edges": np.linspace(-1, 1, 11).tolist(), "counts": [0] * 9 + [4]}
        agreement = {
            "n_frames": 4,
            "places": 25,
            "signed": mean,
            "quantiles": {"0.5": 0.9},
            "histogram": histogram,
        }
        block = {"agreement": agreement, "lesions": lesions, "randomisation": {"n_frames": 3, "stages": stages}}
        return HeatmapStudy(block, (Panel("head\nmedian", cells, mask), Panel("$spine", cells[:2])))

    def test_a_row_a_frame_and_a_column_a_map(self, study: HeatmapStudy, drawn) -> None:
        figures = draw_heatmaps(study, phantom=True)
        assert list(figures) == ["heatmaps", "heatmaps_agreement", "heatmaps_sanity"]
        assert figures["heatmaps"].startswith(b"\xff\xd8\xff")
        assert all(figure.get_suptitle().startswith("PHANTOM DATA\n") for figure in drawn)
        assert {"frame", "int8 map", "without", "head\nmedian", "$spine"} <= set(texts(drawn[0]))
        images = [axes.get_images()[0].get_array() if axes.get_images() else None for axes in drawn[0].axes]
        assert [image is None for image in images] == [False] * 5 + [True]
        spread = images[1].astype(int).max(axis=2) - images[1].astype(int).min(axis=2)
        assert spread[:, :40].max() == 0  # nothing is coloured where the map is below zero
        assert spread[:, 60:].min() > 20
        assert (images[2] == 60).all()
        assert {"int8 maps", "others' maps (chance)", "float maps (3 frames)", "shuffled: head"} <= set(texts(drawn[2]))

    def test_what_was_not_measured_is_not_drawn(self, study: HeatmapStudy) -> None:
        lesions = {"lesions": study.block["lesions"]}
        assert list(draw_heatmaps(HeatmapStudy(lesions, ()))) == ["heatmaps_sanity"]
        undefined = study.block["agreement"] | {"signed": {"value": None, "interval": None}}
        assert draw_heatmaps(HeatmapStudy({"agreement": undefined}, ())) == {}


def test_write(tmp_path) -> None:
    paths = write_figures(tmp_path, {"roc": b"1", "confusion": b"2", "heatmaps": b"\xff\xd8\xff3"})
    assert [path.name for path in paths] == ["roc.png", "confusion.png", "heatmaps.jpg"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["confusion.png", "heatmaps.jpg", "roc.png"]
    assert paths[0].read_bytes() == b"1"


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"edge-cns\[evaluate\]"):
        confusion_png([[1, 0], [0, 1]], ("a", "b"), "t")
