"""``edge-cns cross-validate``: every patient is tested once, by a model that never met them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import click

from edge_cns.commands._shared import PATH, as_json, progress_line
from edge_cns.training.cross_validation.folds import SCHEMES, Scheme
from edge_cns.training.cross_validation.settings import CrossValidationSettings

__all__ = ["command"]

_DEFAULT = CrossValidationSettings()
_INTERRUPTED = 130


@click.command(name="cross-validate")
@click.argument("labels", type=PATH, metavar="LABELS.csv")
@click.option("--out", type=PATH, required=True, help="Folder for the results. An interrupted one goes on.")
@click.option("--scheme", type=click.Choice(SCHEMES), default=_DEFAULT.scheme, show_default=True)
@click.option("--folds", type=int, default=_DEFAULT.folds, show_default=True, help="Of grouped-k-fold.")
@click.option(
    "--nested/--no-nested",
    default=_DEFAULT.nested,
    show_default=True,
    help="Choose penalty, temperature, aggregation rule and thresholds within each fold's training patients.",
)
@click.option("--finetune", is_flag=True, help="Train the whole network in each fold, as train does.")
@click.option("--jobs", type=int, help="Processes on this machine.  [default: all cores]")
@click.option("--dask", metavar="tcp://HOST:PORT", help="Scheduler of a Dask cluster to use instead.")
@click.option("--backbone", default=_DEFAULT.backbone, show_default=True, help="As in train.")
@click.option("--alpha", type=float, default=_DEFAULT.alpha, show_default=True, help="Width of the network.")
@click.option(
    "--weights", default=_DEFAULT.weights, show_default=True, metavar="imagenet|none|PATH", help="As in train."
)
@click.option("--image-size", type=int, default=_DEFAULT.image_size, show_default=True, help="Side of the input, px.")
@click.option(
    "--region", type=click.Choice(["auto", "whole"]), default=_DEFAULT.region, show_default=True, help="As in train."
)
@click.option("--epochs", type=int, default=_DEFAULT.epochs, show_default=True, help="Of --finetune, at most.")
@click.option(
    "--target-sensitivity",
    type=float,
    default=_DEFAULT.target_sensitivity,
    show_default=True,
    help="Share of each class's cases that a fold's thresholds are fitted to find.",
)
@click.option("--negative", metavar="CLASS", help="Class that means none of the findings.  [default: normal, if there]")
@click.option("--seed", type=int, default=_DEFAULT.seed, show_default=True, help="Of all that is drawn.")
@as_json
def command(
    labels: Path,
    *,
    out: Path,
    scheme: Scheme,
    folds: int,
    nested: bool,
    finetune: bool,
    jobs: int | None,
    dask: str | None,
    backbone: str,
    alpha: float,
    weights: str,
    image_size: int,
    region: Literal["auto", "whole"],
    epochs: int,
    target_sensitivity: float,
    negative: str | None,
    seed: int,
    as_json: bool,
) -> int | None:
    """Cross-validate by patient: each is tested once, by a model that never met them.

    Features of the frozen network are computed once, and the head is refitted exactly for each fold. The column
    "split" is not looked at. A killed run goes on when the same command is given again.

    \b
    Example:
      edge-cns cross-validate scans/labels.csv --out crossed
    """
    from edge_cns.data.manifest import read_manifest
    from edge_cns.training.cross_validation.pool import cores, open_pool
    from edge_cns.training.cross_validation.run import cross_validate

    settings = CrossValidationSettings(
        scheme=scheme,
        folds=folds,
        nested=nested,
        finetune=finetune,
        backbone=backbone,
        alpha=alpha,
        weights=weights,
        image_size=image_size,
        region=region,
        epochs=epochs,
        target_sensitivity=target_sensitivity,
        negative=negative,
        seed=seed,
    )
    manifest = read_manifest(labels)
    processes = cores() if jobs is None else jobs
    try:
        # A network in training takes all cores by itself.
        with open_pool(1 if finetune and processes > 0 else processes, dask) as pool:
            metrics = cross_validate(manifest, out, settings, pool, progress_line())
    except KeyboardInterrupt:
        click.echo(f"interrupted; the same command goes on from what {out} has", err=True)
        return _INTERRUPTED
    click.echo(json.dumps(metrics) if as_json else _text(metrics, out))
    return None


def _text(metrics: dict[str, Any], out: Path) -> str:
    frame, patient, block = metrics["frame"], metrics["patient"], metrics["cross_validation"]
    asked = block["settings"]
    lines = [
        *(["PHANTOM DATA: no figure here is a clinical one"] if metrics["phantom"] else []),
        f"{asked['scheme']}, {block['folds']} folds: {metrics['n_frames']} frames of {metrics['n_patients']} patients, "
        f"{'nested, ' if asked['nested'] else ''}{block['seconds']:.0f} s",
        f"  by frame    {_figures(frame)}",
        f"  by patient  {_figures(patient)} ({patient['unit']})",
    ]
    if "chosen" in block:
        rules = ", ".join(f"{rule} {count}" for rule, count in block["chosen"]["rule"].items() if count)
        lines.append(f"  chosen      {rules}; temperature {block['chosen']['temperature']['median']:.2f} (median)")
    lines += [f"  SHORTCUT    {text}" for text in metrics["shortcut_warnings"]]
    return "\n".join([*lines, f"{out / 'report.html'}"])


def _figures(figures: dict[str, Any]) -> str:
    named = {"accuracy": "accuracy", "balanced": "balanced_accuracy", "macro AUROC": "auroc_macro"}
    return ", ".join(f"{name} {_with_interval(figures, key)}" for name, key in named.items())


def _with_interval(figures: dict[str, Any], key: str) -> str:
    value, interval = figures[key], figures[f"{key}_interval"]
    if value is None:
        return "not defined"
    return f"{value:.4f}" + (f" ({interval[0]:.4f} to {interval[1]:.4f})" if interval else "")
