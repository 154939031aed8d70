"""``edge-cns train``: labelled frames in, a trained classifier out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import click

from edge_cns.commands._shared import PATH, progress_line
from edge_cns.training.run import Settings, kept_epoch

__all__ = ["command"]

_DEFAULT = Settings()


@click.command(name="train")
@click.argument("labels", type=PATH, metavar="LABELS.csv")
@click.option("--out", type=PATH, required=True, help="Folder of the training. An interrupted one goes on.")
@click.option(
    "--backbone",
    default=_DEFAULT.backbone,
    show_default=True,
    help="mobilenet_v2, mobilenet_v1, mobilenet_v3_small or efficientnet_lite0.",
)
@click.option("--alpha", type=float, default=_DEFAULT.alpha, show_default=True, help="Width of the network.")
@click.option(
    "--weights",
    default=_DEFAULT.weights,
    show_default=True,
    metavar="imagenet|none|PATH",
    help="Start from ImageNet (EDGE_CNS_WEIGHTS_DIR, Keras's cache, Keras's download), from nothing, or from a file.",
)
@click.option("--image-size", type=int, default=_DEFAULT.image_size, show_default=True, help="Side of the input, px.")
@click.option(
    "--region",
    type=click.Choice(["auto", "whole"]),
    default=_DEFAULT.region,
    show_default=True,
    help="Find the ultrasound image in each frame, or take the whole frame (CT, MR, frames that are cropped already).",
)
@click.option("--epochs", type=int, default=_DEFAULT.epochs, show_default=True, help="Of fine-tuning, at most.")
@click.option("--seed", type=int, default=_DEFAULT.seed, show_default=True, help="Of all that is drawn.")
@click.option(
    "--distribute",
    is_flag=True,
    help="Train with the other workers that TF_CONFIG names; start each with this command.",
)
@click.option(
    "--wait",
    type=click.IntRange(1, 86_400),
    default=120,
    show_default=True,
    help="Seconds until all of them must have come (--distribute).",
)
def command(
    labels: Path,
    *,
    out: Path,
    backbone: str,
    alpha: float,
    weights: str,
    image_size: int,
    region: Literal["auto", "whole"],
    epochs: int,
    seed: int,
    distribute: bool,
    wait: int,
) -> int | None:
    """Train a classifier by transfer learning.

    Patients are drawn into four disjoint sets (fit, stop, calibrate, gate); rows of split "test" teach nothing.
    A killed training goes on from its last whole epoch when the same command is given again.

    \b
    Example:
      edge-cns train scans/labels.csv --out run --epochs 14
    """
    from edge_cns.data.manifest import read_manifest
    from edge_cns.training.meeting import VARIABLE, read_cluster
    from edge_cns.training.train import train

    settings = Settings(
        backbone=backbone,
        alpha=alpha,
        weights=weights,
        image_size=image_size,
        region=region,
        epochs=epochs,
        seed=seed,
    )
    cluster = read_cluster(os.environ.get(VARIABLE)) if distribute else None
    try:
        record = train(read_manifest(labels), out, settings, progress_line(), cluster=cluster, wait_seconds=wait)
    except KeyboardInterrupt:
        click.echo(f"interrupted; the same command goes on from the last whole epoch in {out}", err=True)
        return 130
    if cluster is not None and cluster.index > 0:
        click.echo(f"worker {cluster.index} is done; the chief writes the training")
        return None
    best = kept_epoch(record["history"])
    for warning in record["shortcut_warnings"]:
        click.echo(f"SHORTCUT {warning}")
    origin = record["weights"]["origin"] if record["weights"] else "random numbers"
    click.echo(
        f"{out}: {backbone} from {origin}, kept epoch {best['epoch']} of {len(record['history'])}, "
        f"accuracy on stop patients {best['stop_accuracy']:.3f}"
    )
    return None
