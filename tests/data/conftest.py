"""Small data sets, written to a temporary folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_cns.data.manifest import Manifest, read_manifest

WriteSet = Callable[..., Manifest]


@pytest.fixture
def write_set(tmp_path: Path) -> WriteSet:
    """A function that writes one distinct speckle image for each row, and a labels.csv with the rows' columns.

    A row may bring its pixels as ``pixels`` and its file name as ``path``.
    """

    def write(rows: Sequence[dict[str, Any]]) -> Manifest:
        columns = ["path", "label", "patient_id"]
        columns += [name for name in rows[0] if name not in (*columns, "pixels")]
        lines = [",".join(columns)]
        for number, row in enumerate(rows):
            values = {"path": f"{number}.png", **row}
            pixels = values.get("pixels")
            if pixels is None:
                speckle = np.random.default_rng(number).integers(20, 90, (72, 80), dtype=np.uint8)
                pixels = cv2.GaussianBlur(speckle, (0, 0), 1.0)
            if not (tmp_path / values["path"]).exists():
                (tmp_path / values["path"]).write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
            lines.append(",".join(str(values[name]) for name in columns))
        (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        return read_manifest(tmp_path / "labels.csv")

    return write
