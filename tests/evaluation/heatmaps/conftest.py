"""A data set with outlined lesions, and models that know or do not know where they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_cns.contract import ClassDefinition, Contract, InputSpec, IntendedUse
from edge_cns.data.manifest import Manifest, read_manifest

SIZE = 128  # px of a frame
SIDE = 32  # px of a lesion: two cells of a map


def write_png(path: Path, pixels: np.ndarray) -> None:
    path.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())


@pytest.fixture
def contract() -> Contract:
    return Contract(
        classes=(ClassDefinition("lesion"), ClassDefinition("none")),
        input=InputSpec(64, 64, region="whole"),
        intended_use=IntendedUse("test"),
    )


@pytest.fixture
def outlined(tmp_path: Path) -> Callable[..., Manifest]:
    """Write frames: grey, with a bright square where the lesion is, its mask, and the twin without it."""

    def write(patients: int = 6, frames: int = 2, *, twins: bool = True) -> Manifest:
        rng = np.random.default_rng(0)
        labels, pairs = ["path,label,patient_id"], ["path,mask,counterfactual"]
        for patient in range(patients):
            for frame in range(frames):
                name = f"p{patient}-{frame}.png"
                pixels = rng.integers(10, 20, (SIZE, SIZE), np.uint8)
                write_png(tmp_path / f"twin-{name}", pixels)
                labels.append(f"{name},{'lesion' if patient % 3 else 'none'},p{patient}")
                if patient % 3:
                    mask = np.zeros((SIZE, SIZE), np.uint8)
                    y, x = rng.integers(0, (SIZE - SIDE) // 16, 2) * 16
                    mask[y : y + SIDE, x : x + SIDE] = 255
                    pixels = np.where(mask > 0, np.uint8(220), pixels)
                    write_png(tmp_path / f"mask-{name}", mask)
                    pairs.append(f"{name},mask-{name},{f'twin-{name}' if twins else ''}")
                write_png(tmp_path / name, pixels)
        (tmp_path / "labels.csv").write_text("\n".join(labels) + "\n")
        (tmp_path / "pairs.csv").write_text("\n".join(pairs) + "\n")
        return read_manifest(tmp_path / "labels.csv")

    return write
