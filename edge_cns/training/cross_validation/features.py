"""Embeddings of a frozen backbone, computed once for each content: a cache that only pixels and network decide.

A part of the cache is named by the image files it was computed from, by the network and its weights, and by the
version of this package. Labels, patients and file names are not part of it, so a corrected label costs nothing. A run
that was killed finds the parts it had finished.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_cns import __version__
from edge_cns.atomic import write_bytes
from edge_cns.contract import InputSpec
from edge_cns.data.images import frame_number, read_bytes, read_image
from edge_cns.errors import BadInputError
from edge_cns.preprocess import image
from edge_cns.progress import Progress, silent
from edge_cns.training.run import Settings
from edge_cns.training.weights import ResolvedWeights, resolve_weights

__all__ = ["Features", "cache_folder", "frozen_features"]

_PART = 256  # frames
_TASK = "computing features of the frozen network"


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """Embeddings ``(N, C)`` float32, and the digest of all that they depend on."""

    values: NDArray[np.float32]
    sha256: str


def cache_folder() -> Path:
    """``edge-cns/features`` under ``$XDG_CACHE_HOME``, which is ``~/.cache`` unless it is set."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The specification has a relative path ignored.
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "edge-cns" / "features"


def frozen_features(paths: Sequence[Path], settings: Settings, progress: Progress = silent) -> Features:
    """Embed frames with the network a training would start from.

    Args:
        paths: image files, or frames of DICOM files.
        settings: backbone, width, weights, image size and region; the seed where there are no weights.
        progress: told after each part.

    Raises:
        BadInputError: an image or weights that cannot be used, or features that are not finite.
        InitialisationError: the weights cannot be fetched.
        MissingExtraError: TensorFlow is needed and not installed.
        OSError: the cache cannot be written.
    """
    weights = resolve_weights(settings.backbone, settings.alpha, settings.image_size, settings.weights)
    spec = InputSpec(settings.image_size, settings.image_size, settings.region)
    network = [__version__, settings.backbone, settings.alpha, asdict(spec)]
    network.append(f"seed {settings.seed}" if weights is None else weights.sha256)
    keys = _keys(paths, json.dumps(network))
    folder = cache_folder()
    model: Any = None
    parts = []
    for i, key in enumerate(keys):
        file = folder / f"{key}.npy"
        part = _read(file)
        if part is None:
            model = model or _network(settings, weights)
            part = _embed(model, paths[i * _PART : (i + 1) * _PART], spec)
            _write(file, part)
        parts.append(part)
        progress(_TASK, min((i + 1) * _PART, len(paths)), len(paths))
    return Features(np.concatenate(parts), hashlib.sha256("".join(keys).encode()).hexdigest())


def _keys(paths: Sequence[Path], network: str) -> list[str]:
    """Name of each part, 64 hex digits."""
    digests: dict[Path, bytes] = {}
    keys = []
    for start in range(0, len(paths), _PART):
        part = hashlib.sha256(network.encode())
        for path in paths[start : start + _PART]:
            file, number = frame_number(path)
            if file not in digests:
                digests[file] = hashlib.sha256(read_bytes(file)).digest()
            part.update(digests[file] + f"#{number}".encode())
        keys.append(part.hexdigest())
    return keys


def _network(settings: Settings, weights: ResolvedWeights | None) -> Any:
    from edge_cns.training.backbones.build import build
    from edge_cns.training.keras import keras
    from edge_cns.training.model import make_classifier

    keras.utils.set_random_seed(settings.seed)
    backbone = build(settings.backbone, alpha=settings.alpha, image_size=settings.image_size, weights=weights)
    return make_classifier(backbone, 2)  # its head is not used


def _embed(model: Any, paths: Sequence[Path], spec: InputSpec) -> NDArray[np.float32]:
    from edge_cns.training.model import embeddings

    images = np.empty((len(paths), spec.height, spec.width), np.uint8)
    for i, path in enumerate(paths):
        image(read_image(path), spec, images[i])
    features = embeddings(model, images)
    wrong = np.flatnonzero(~np.isfinite(features).all(axis=1))
    if wrong.size:
        raise BadInputError(f"{paths[wrong[0]]}: its features are not finite numbers; the weights file may be damaged")
    return features


def _read(file: Path) -> NDArray[np.float32] | None:
    """A part, or ``None`` where there is none or it is damaged."""
    try:
        part: NDArray[np.float32] = np.load(io.BytesIO(file.read_bytes()), allow_pickle=False)
    except (FileNotFoundError, ValueError, EOFError):
        return None
    return part if part.ndim == 2 and part.dtype == np.float32 and np.isfinite(part).all() else None


def _write(file: Path, part: NDArray[np.float32]) -> None:
    buffer = io.BytesIO()
    np.save(buffer, part, allow_pickle=False)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(file, buffer.getvalue())
