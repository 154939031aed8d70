"""``predictions.csv``: what the model said of every frame, so that others can recompute and compare."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge_cns.atomic import write_bytes
from edge_cns.errors import BadInputError
from edge_cns.evaluation.predictions import Predictions

__all__ = ["read_predictions", "write_predictions"]

_NEEDED = ("path", "patient_id", "label", "set")
_PROBABILITY = "p:"
_FORMULA = ("=", "+", "-", "@", "'")
"""A cell that begins so may be run by a spreadsheet; the apostrophe is what makes it text, and so needs one itself."""

_MAX_BYTES = 512 * 1024 * 1024


def write_predictions(
    path: Path, predictions: Predictions, *, columns: Mapping[str, Sequence[str]] | None = None
) -> dict[str, str]:
    """Write a table with a row for each frame, whole or not at all.

    Its columns are ``path``, ``patient_id``, ``label``, ``set``, ``seconds`` where they are known, ``columns``, and
    ``p:CLASS`` for each class in the contract's order. Text that a spreadsheet could take for a formula has an
    apostrophe before it.

    Args:
        path: the csv.
        predictions: N frames.
        columns: other columns, N values each, such as the fold; `read_predictions` does not look at them.

    Returns:
        ``file`` and ``sha256``, to be kept as ``predictions`` in the ``metrics.json`` beside it.

    Raises:
        OSError: full disk or read-only folder.
    """
    more = dict(columns or {})
    if predictions.seconds is not None:
        more = {"seconds": [repr(float(second)) for second in predictions.seconds]} | more
    names = [predictions.classes[label] for label in predictions.labels]
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*_NEEDED, *map(_safe, more), *(f"{_PROBABILITY}{name}" for name in predictions.classes)])
    cells = zip(predictions.paths, predictions.patient_ids, names, predictions.sets, *more.values(), strict=True)
    for row, probabilities in zip(cells, predictions.probabilities, strict=True):
        writer.writerow([*map(_safe, row), *(repr(float(p)) for p in probabilities)])
    content = text.getvalue().encode("utf-8", "backslashreplace")  # a file name need not be UTF-8
    write_bytes(path, content)
    return {"file": path.name, "sha256": hashlib.sha256(content).hexdigest()}


def read_predictions(path: Path, *, sha256: str | None = None) -> Predictions:
    """Read what `write_predictions` wrote.

    Args:
        path: the csv.
        sha256: digest that the file must have, if it is known.

    Returns:
        Without subgroups, and without word of phantoms or of a negative class: those stand in ``metrics.json``.

    Raises:
        BadInputError: not there, not such a table, or another file than the digest's; the text names the line.
    """
    content = _content(path)
    if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
        raise BadInputError(f"{path} is not the file that the metrics beside it were computed from; evaluate again")
    try:
        reader = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
        header, *rows = [(reader.line_num, [_plain(cell) for cell in cells]) for cells in reader if cells]
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadInputError(f"{path} is not CSV in UTF-8 ({error}); evaluate again") from None
    except ValueError:
        raise BadInputError(f"{path} is empty; evaluate again") from None
    return _predictions(path, header[1], rows)


def _content(path: Path) -> bytes:
    if not path.is_file():
        raise BadInputError(f"{path} does not exist; it is written beside metrics.json by evaluate and cross-validate")
    if path.stat().st_size > _MAX_BYTES:
        raise BadInputError(f"{path} is larger than {_MAX_BYTES >> 20} MiB; give what evaluate wrote")
    return path.read_bytes()


def _predictions(path: Path, header: list[str], rows: list[tuple[int, list[str]]]) -> Predictions:
    missing = [name for name in _NEEDED if name not in header]
    classes = tuple(name.removeprefix(_PROBABILITY) for name in header if name.startswith(_PROBABILITY))
    if missing or not classes:
        raise BadInputError(f"{path} has no column {', '.join(missing) or _PROBABILITY + 'CLASS'}; evaluate again")
    place = {name: i for i, name in enumerate(header)}
    for line, cells in rows:
        if len(cells) != len(header):
            raise BadInputError(f"{path} line {line} has {len(cells)} cells, the header {len(header)}; evaluate again")
        if cells[place["label"]] not in classes:
            raise BadInputError(f"{path} line {line} has label {cells[place['label']]!r}, which has no probability")

    def text(name: str) -> tuple[str, ...]:
        return tuple(cells[place[name]] for _, cells in rows)

    def numbers(name: str) -> list[float]:
        return [_number(path, line, name, cells[place[name]]) for line, cells in rows]

    index = {name: c for c, name in enumerate(classes)}
    return Predictions(
        classes=classes,
        paths=text("path"),
        labels=np.array([index[name] for name in text("label")], np.int64),
        probabilities=np.array([numbers(f"{_PROBABILITY}{name}") for name in classes]).T,
        patient_ids=text("patient_id"),
        sets=text("set"),
        seconds=np.array(numbers("seconds")) if "seconds" in place else None,
    )


def _number(path: Path, line: int, name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise BadInputError(f"{path} line {line} has {name} {text!r}, which is no number; evaluate again") from None


def _safe(value: Any) -> str:
    text = str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _plain(text: str) -> str:
    return text[1:] if text.startswith("'") and text[1:].startswith(_FORMULA) else text
