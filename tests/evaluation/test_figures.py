from __future__ import annotations

import sys

import cv2
import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from edge_cns.errors import MissingExtraError
from edge_cns.evaluation.figures import confusion_png, draw, roc_png, sensitivity_png, write_figures
from edge_cns.evaluation.metrics import evaluate


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
    assert list(figures) == ["confusion", "confusion_patients", "roc", "sensitivity"]
    for png in figures.values():
        image = pixels(png)
        assert 850 <= image.shape[1] <= 1000
        assert image.std() > 5
    titles = [figure.get_suptitle() for figure in drawn]
    assert titles == ["Frames of unseen patients", "Unseen patients", *["Frames of unseen patients"] * 2]
    counts = metrics["by_set"]["unseen"]["frame"]["confusion"]
    cells = [text.split("\n")[0] for text in texts(drawn[0])]
    assert [str(count) for row in counts for count in row] == cells[:9]
    area = metrics["by_set"]["unseen"]["frame"]["per_class"]["head"]["auroc"]["value"]
    assert f"head  {area:.3f}" in texts(drawn[2])


def test_every_title_says_phantom(make_predictions, drawn) -> None:
    predictions = make_predictions(patients=9, phantom=True)
    draw(predictions, evaluate(predictions, resamples=20))
    assert [figure.get_suptitle().startswith("PHANTOM DATA\n") for figure in drawn] == [True] * 4


def test_class_names_are_data(make_predictions, drawn) -> None:
    classes = ("_hidden", "a $\\frac$ b", "脊柱", "n" * 80)
    predictions = make_predictions(classes)
    draw(predictions, evaluate(predictions, resamples=20))
    legend = texts(drawn[2])
    for name in classes[:3]:
        assert any(text.startswith(name) for text in legend)
    assert not any("n" * 40 in text for text in legend)


def test_one_class_and_absent_classes_can_be_drawn(make_predictions, drawn) -> None:
    predictions = make_predictions()
    predictions = predictions.select(predictions.labels == 1)
    assert len(draw(predictions, evaluate(predictions, resamples=20))) == 4
    assert any("one class only" in text for text in texts(drawn[2]))
    assert "-" in texts(drawn[0])


def test_one_figure_at_a_time(make_predictions) -> None:
    predictions = make_predictions(tuple("abcdefghi"))
    frame = evaluate(predictions, resamples=20)["frame"]
    for png in (
        confusion_png(frame["confusion"], predictions.classes, "t"),
        roc_png(predictions.labels, predictions.probabilities, predictions.classes, "t"),
        sensitivity_png(frame["per_class"], "t"),
    ):
        assert png.startswith(b"\x89PNG")


def test_write(tmp_path) -> None:
    paths = write_figures(tmp_path, {"roc": b"1", "confusion": b"2"})
    assert [path.name for path in paths] == ["roc.png", "confusion.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["confusion.png", "roc.png"]
    assert paths[0].read_bytes() == b"1"


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"edge-cns\[evaluate\]"):
        confusion_png([[1, 0], [0, 1]], ("a", "b"), "t")
