"""The folder of a cross-validation: what was asked for, what is done, and last the figures.

DIR/settings.json   what was asked for; another request on an unfinished folder is refused
DIR/journal/        results of finished tasks; gone when all is done
DIR/metrics.json    the figures; its presence says that the cross-validation is finished
"""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_cns.atomic import write_bytes, write_json
from edge_cns.bundle import read_arrays
from edge_cns.data.manifest import Manifest
from edge_cns.errors import BadInputError, brief
from edge_cns.strict_json import load_json
from edge_cns.training.cross_validation.settings import CrossValidationSettings

__all__ = ["METRICS", "Journal", "check_out", "open_journal", "request_of"]

METRICS = "metrics.json"
_SETTINGS, _JOURNAL = "settings.json", "journal"


class Journal:
    """Results of finished tasks by name.

    Args:
        path: folder of the cross-validation.
        resumed: some of it was there already.
    """

    def __init__(self, path: Path, *, resumed: bool) -> None:
        self._folder = path / _JOURNAL
        self.resumed = resumed

    def has(self, name: str) -> bool:
        """Whether a task has finished."""
        return self._file(name).exists()

    def write(self, name: str, array: NDArray[Any]) -> None:
        """Keep one array."""
        buffer = io.BytesIO()
        np.save(buffer, array, allow_pickle=False)
        write_bytes(self._file(name), buffer.getvalue())

    def read(self, name: str, part: Any = ...) -> NDArray[Any]:
        """An array, or a part of it that is then all that is read.

        Raises:
            BadInputError: it is damaged.
        """
        try:
            return np.array(np.load(self._file(name), mmap_mode="r", allow_pickle=False)[part])
        except (ValueError, IndexError, EOFError) as error:
            reason = brief(error)
            raise BadInputError(f"{self._file(name)} is damaged ({reason}); remove it and repeat the command") from None

    def write_arrays(self, name: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Keep several small arrays."""
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)  # type: ignore[arg-type]
        write_bytes(self._folder / f"{name}.npz", buffer.getvalue())

    def arrays(self, name: str) -> dict[str, NDArray[Any]] | None:
        """Several small arrays, or ``None`` while their task has not finished."""
        file = self._folder / f"{name}.npz"
        return read_arrays(file.read_bytes(), str(file)) if file.exists() else None

    def folder(self, name: str) -> Path:
        """A place for the files of a task that goes on where it was interrupted."""
        return self._folder / name

    def note(self, name: str, value: Mapping[str, Any]) -> None:
        """Keep a small record."""
        write_json(self._folder / f"{name}.json", value)

    def notes(self, name: str) -> dict[str, Any] | None:
        """A small record, or ``None``."""
        file = self._folder / f"{name}.json"
        return dict(load_json(file.read_bytes(), str(file))) if file.exists() else None

    def close(self) -> None:
        """Drop all of it: the figures are written."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.npy"


def request_of(settings: CrossValidationSettings, manifest: Manifest) -> dict[str, Any]:
    """What ``settings.json`` says, as it reads back."""
    request = {
        "settings": asdict(settings),
        "labels": str(manifest.path.resolve()),
        "labels_sha256": manifest.sha256,
    }
    return dict(json.loads(json.dumps(request)))


def check_out(path: Path, request: Mapping[str, Any]) -> None:
    """Find out whether a folder can take this cross-validation, touching nothing.

    Raises:
        BadInputError: it is finished, belongs to another request, or is something else.
    """
    if (path / METRICS).exists():
        raise BadInputError(f"{path} holds a finished evaluation; choose another --out")
    if (path / _SETTINGS).exists():
        found = load_json((path / _SETTINGS).read_bytes(), str(path / _SETTINGS))
        if not isinstance(found, dict) or {key: found.get(key) for key in request} != dict(request):
            raise BadInputError(
                f"{path} holds an unfinished cross-validation of another request ({_difference(found, request)}); "
                "repeat the same command to go on, or choose another --out"
            )
    elif path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise BadInputError(f"{path} exists and is no cross-validation; choose another --out")


def open_journal(path: Path, request: Mapping[str, Any], content_sha256: str) -> Journal:
    """Make or re-enter the folder.

    Args:
        path: the folder.
        request: from `request_of`.
        content_sha256: of the pixels and weights that everything is computed from.

    Raises:
        BadInputError: what `check_out` raises, or results that were computed from other pixels or weights.
    """
    check_out(path, request)
    resumed = (path / _SETTINGS).exists()
    (path / _JOURNAL).mkdir(parents=True, exist_ok=True)
    journal = Journal(path, resumed=resumed)
    started = journal.notes("content")
    if started is not None and started != {"sha256": content_sha256}:
        raise BadInputError(
            f"{path} holds an unfinished cross-validation of other images or weights; choose another --out"
        )
    write_json(path / _SETTINGS, dict(request))
    journal.note("content", {"sha256": content_sha256})
    return journal


def _difference(found: Any, wanted: Mapping[str, Any]) -> str:
    if not isinstance(found, dict) or not isinstance(found.get("settings"), dict):
        return "damaged settings.json"
    old, new = found["settings"] | {"labels": found.get("labels")}, wanted["settings"] | {"labels": wanted["labels"]}
    changed = [f"{k} {old.get(k)} there, {new[k]} now" for k in new if old.get(k) != new[k]]
    return "; ".join(changed) or "labels.csv has changed"
