from __future__ import annotations

import cv2
import pytest

import edge_cns
from edge_cns.data.images import read_image
from edge_cns.data.manifest import Row
from edge_cns.errors import BadInputError
from edge_cns.runtime.rows import classify_rows


@pytest.fixture
def classifier(tiny_bundle):
    with edge_cns.load(tiny_bundle) as loaded:
        yield loaded


def rows(tmp_path, frame_file, *, damaged: bool = True, **fields: object) -> list[Row]:
    """A head, a damaged file, and the head mirrored."""
    mirrored = tmp_path / "mirrored.png"
    mirrored.write_bytes(cv2.imencode(".png", read_image(frame_file).pixels[:, ::-1])[1].tobytes())
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG")
    paths = [frame_file, *([broken] if damaged else []), mirrored]
    return [Row(i + 2, path, "normal", f"p{i}", **fields) for i, path in enumerate(paths)]


def test_outputs_are_those_of_the_frames_that_can_be_read(classifier, tmp_path, frame_file):
    seen = []
    told = classify_rows(classifier, rows(tmp_path, frame_file), "classifying", lambda *a: seen.append(a))
    assert told.patients == ["p0", "p2"]
    assert seen == [("classifying", 1, 3), ("classifying", 2, 3), ("classifying", 3, 3)]
    assert len(told.unreadable) == 1
    assert "broken.png" in told.unreadable[0]
    for i, row in enumerate(told.rows):
        verdict = classifier.classify(read_image(row.path))
        assert dict(told.verdicts[i].probabilities) == verdict.probabilities
        assert told.probabilities[i].tolist() == list(verdict.probabilities.values())
        assert told.logits[i].tolist() == classifier.output("logits").tolist()
        assert told.embeddings[i].tolist() == classifier.output("embedding").tolist()
    assert told.labels(classifier.contract.class_names).tolist() == [2, 2]
    assert all(verdict.heatmap is None for verdict in told.verdicts), "thousands of maps would fill the memory"


def test_times_are_those_of_a_clip_or_none(classifier, tmp_path, frame_file):
    stills = rows(tmp_path, frame_file, damaged=False)
    assert classify_rows(classifier, stills, "x").seconds is None
    film = rows(tmp_path, frame_file, damaged=False, seconds=1.5)
    assert classify_rows(classifier, film, "x").seconds.tolist() == [1.5, 1.5]
    assert classify_rows(classifier, [film[0], stills[1]], "x").seconds is None, "a time for some is a time for none"


def test_what_cannot_be_classified(classifier, tmp_path, frame_file):
    _, broken, _ = rows(tmp_path, frame_file)
    with pytest.raises(BadInputError, match=r"none of its 1 images can be read \(.*broken.png"):
        classify_rows(classifier, [broken], "x")
    with pytest.raises(BadInputError, match="it has no rows"):
        classify_rows(classifier, [], "x")
