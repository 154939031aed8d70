"""``edge-cns predict``: classify image files."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click
import cv2

from edge_cns.atomic import write_bytes
from edge_cns.commands._shared import PATH, as_json, backend, require_proof, threads, trusting
from edge_cns.errors import BadInputError

if TYPE_CHECKING:
    from edge_cns.decision.verdict import Verdict
    from edge_cns.signing.policy import Mode

__all__ = ["command"]


@click.command(name="predict")
@click.argument("bundle", type=PATH, metavar="NAME.cns")
@click.argument("images", type=PATH, nargs=-1, required=True, metavar="IMAGE...")
@click.option("--heatmap", "heatmaps", type=PATH, metavar="DIR", help="Folder for overlays of the evidence (PNG).")
@as_json
@backend
@threads
@require_proof
@trusting
def command(
    bundle: Path,
    images: tuple[Path, ...],
    *,
    heatmaps: Path | None,
    as_json: bool,
    backend: str,
    threads: int,
    require_proof: bool,
    trust: Path | None,
    signature: Mode | None,
) -> int:
    """Print class, probability and milliseconds for each image. Research use only.

    An image that cannot be used gets one line on standard error; the others are classified, and the exit status is 2.

    \b
    Example:
      edge-cns predict brain.cns frame1.png frame2.png --heatmap overlays
    """
    from edge_cns.data.images import read_image
    from edge_cns.runtime.classifier import load
    from edge_cns.runtime.overlay import draw_overlay

    failures = 0
    opened = load(
        bundle, backend=backend, threads=threads, require_proof=require_proof, trust=trust, signature=signature
    )
    with opened as classifier:
        overlays = _overlay_paths(images, heatmaps)
        if not as_json:
            click.echo(f"research use only{', ' + classifier.remarks if classifier.remarks else ''}")
        for path, overlay in zip(images, overlays, strict=True):
            try:
                frame = read_image(path)
            except BadInputError as error:
                click.echo(f"error: {' '.join(str(error).split())}", err=True)
                failures += 1
                continue
            verdict = classifier.classify(frame)
            if overlay is not None:
                _write_png(overlay, draw_overlay(frame, verdict, classifier.contract.input))
            if as_json:
                click.echo(json.dumps({"path": str(path), **verdict.to_json()}))
            else:
                click.echo(f"{path}  {_words(verdict)}  {verdict.latency_ms:.2f} ms")
    return 2 if failures else 0


def _words(verdict: Verdict) -> str:
    """The class and its probability, or why there is none."""
    if verdict.label is None:
        return f"{verdict.state.value}  {verdict.reason}"
    return f"{verdict.label}  {verdict.probability:.4f}"


def _overlay_paths(images: Iterable[Path], folder: Path | None) -> list[Path | None]:
    """A name for each overlay; images of one name are told apart by a number, and no image is written over."""
    if folder is None:
        return [None for _ in images]
    folder.mkdir(parents=True, exist_ok=True)
    among_images = folder.resolve() in {image.resolve().parent for image in images}
    taken: set[str] = set()
    paths: list[Path | None] = []
    for image in images:
        stem = f"{image.stem}-heatmap" if among_images else image.stem
        name, number = stem, 2
        while name in taken:
            name, number = f"{stem}-{number}", number + 1
        taken.add(name)
        paths.append(folder / f"{name}.png")
    return paths


def _write_png(path: Path, picture: cv2.typing.MatLike) -> None:
    _, encoded = cv2.imencode(".png", picture)
    write_bytes(path, encoded.tobytes())
