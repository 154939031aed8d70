"""Find the weights that a backbone starts from. Imports no TensorFlow.

``imagenet`` is looked for in ``EDGE_CNS_WEIGHTS_DIR``, then in Keras's cache, then at the address that Keras
downloads from; EfficientNet-Lite0's comes from a package on the package index instead of the last two. Nothing
here ever takes another backbone's weights: whoever calls may, and then says so.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from edge_cns.atomic import write_bytes
from edge_cns.errors import BadInputError, InitialisationError, MissingExtraError
from edge_cns.training import keras_checkpoint
from edge_cns.training.backbones.table import Backbone, PinnedPackage, find
from edge_cns.training.download import download

__all__ = ["DOWNLOAD_SECONDS", "WEIGHTS_DIR_VARIABLE", "ResolvedWeights", "available", "resolve_weights"]

WEIGHTS_DIR_VARIABLE = "EDGE_CNS_WEIGHTS_DIR"
DOWNLOAD_SECONDS = 10.0
"""Time for a whole download: a machine without internet should say so soon."""
_MAX_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class ResolvedWeights:
    """A weights file that exists.

    Attributes:
        path: where it is.
        origin: where it came from, for a person to read, such as ``ImageNet, Keras's cache``.
        sha256: hexadecimal digest of its content.
        imagenet: whether it was asked for as ``imagenet`` rather than by its path.
    """

    path: Path
    origin: str
    sha256: str
    imagenet: bool


def resolve_weights(backbone: str, alpha: float, image_size: int, weights: str) -> ResolvedWeights | None:
    """Find a weights file.

    Args:
        backbone: a key of `BACKBONES`.
        alpha: width multiplier.
        image_size: side of the input in pixels. Weights trained at another size serve as well.
        weights: ``imagenet``, ``none``, or the path of a file: Keras's HDF5 weights for the MobileNets, the
            PyTorch checkpoint for EfficientNet-Lite0, both of the network for RGB.

    Returns:
        The file, or ``None`` for ``none``.

    Raises:
        BadInputError: unknown backbone, width or size; a path that is no file; a file with another digest.
        MissingExtraError: the package that carries the weights is not installed.
        InitialisationError: the weights are not on this machine and could not be downloaded.
    """
    entry = find(backbone)
    entry.check(alpha, image_size)
    if weights == "none":
        return None
    if weights != "imagenet":
        return _described(Path(weights), f"file {Path(weights).name}", imagenet=False)
    for path, origin in _local_files(entry, alpha, image_size):
        if path.is_file():
            return _imagenet(entry, path, origin)
    if entry.package is not None:
        return _imagenet(entry, _packaged_file(entry, entry.package), f"package {entry.package.distribution}")
    return _imagenet(entry, _downloaded_file(entry, alpha, image_size), "Keras's download")


def available(backbone: str, alpha: float, image_size: int) -> bool:
    """Say whether ``imagenet`` weights can be had here, fetching them into Keras's cache if they must be.

    Takes up to `DOWNLOAD_SECONDS`.

    Raises:
        BadInputError: unknown backbone, width or size, or a weights file that cannot be used.
    """
    try:
        resolve_weights(backbone, alpha, image_size, "imagenet")
    except InitialisationError:
        return False
    return True


def _local_files(entry: Backbone, alpha: float, image_size: int) -> Iterator[tuple[Path, str]]:
    names = entry.file_names(alpha, image_size)
    folder = os.environ.get(WEIGHTS_DIR_VARIABLE)
    if folder:
        yield from ((Path(folder) / name, WEIGHTS_DIR_VARIABLE) for name in names)
    if entry.url is not None:
        yield from ((_keras_cache() / name, "Keras's cache") for name in names)


def _keras_cache() -> Path:
    return Path.home() / ".keras" / "models"


def _imagenet(entry: Backbone, path: Path, origin: str) -> ResolvedWeights:
    found = _described(path, f"ImageNet, {origin}", imagenet=True)
    if entry.package is not None and found.sha256 != entry.package.sha256:
        raise BadInputError(
            f"{path} has sha256 {found.sha256[:12]}..., not {entry.package.sha256[:12]}...; install "
            f"{entry.package.distribution} again"
        )
    return found


def _described(path: Path, origin: str, *, imagenet: bool) -> ResolvedWeights:
    try:
        if not path.is_file():
            what = "is a folder" if path.is_dir() else "does not exist"
            raise BadInputError(f"weights {path}: {what}; give imagenet, none or the path of a weights file")
        if path.stat().st_size > _MAX_BYTES:
            raise BadInputError(f"weights {path}: larger than {_MAX_BYTES >> 20} MiB; give a weights file")
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise BadInputError(f"weights {path}: {error.strerror or error}; make it readable") from error
    return ResolvedWeights(path, origin, digest, imagenet)


def _packaged_file(entry: Backbone, package: PinnedPackage) -> Path:
    try:
        files = metadata.files(package.distribution) or []
    except metadata.PackageNotFoundError as error:
        raise MissingExtraError(package.library, package.extra) from error
    for file in files:
        if file.name == entry.weights_file:
            return Path(str(file.locate()))
    raise MissingExtraError(package.library, package.extra)


def _downloaded_file(entry: Backbone, alpha: float, image_size: int) -> Path:
    """Download into Keras's cache, where Keras itself would put and find it."""
    assert entry.url is not None
    name = entry.file_names(alpha, image_size)[0]
    try:
        content = download(entry.url + name, seconds=DOWNLOAD_SECONDS, max_bytes=_MAX_BYTES)
        if not content.startswith(keras_checkpoint.SIGNATURE):
            raise OSError("the answer is no HDF5 file")
        folder = _keras_cache()
        folder.mkdir(parents=True, exist_ok=True)
        write_bytes(folder / name, content)
    except OSError as error:
        reason = " ".join(str(getattr(error, "reason", None) or error).split())
        raise InitialisationError(
            f"ImageNet weights of {entry.name} could not be fetched from {entry.url}{name} ({reason}); put that file "
            f"in the folder {WEIGHTS_DIR_VARIABLE}, or give --weights PATH, or use --backbone efficientnet_lite0 "
            "(pip install 'edge-cns[lite0]')"
        ) from error
    return folder / name
