"""``edge-cns calibrate``: fit what lets a bundle's verdicts abstain."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from edge_cns.commands._shared import PATH, as_json, progress_line, threads

__all__ = ["command"]

_SHARE = click.FloatRange(0, 1, min_open=True, max_open=True)


@click.command(name="calibrate")
@click.argument("bundle", type=PATH, metavar="NAME.cns")
@click.argument("labels", type=PATH, metavar="LABELS.csv")
@click.option(
    "--target-sensitivity",
    type=_SHARE,
    default=0.95,
    show_default=True,
    help="Share of each class's calibration patients that the exam's thresholds find.",
)
@click.option(
    "--false-alarm",
    type=_SHARE,
    default=0.05,
    show_default=True,
    help="Share of supported frames that may be called no supported view.",
)
@click.option(
    "--coverage",
    type=_SHARE,
    default=0.90,
    show_default=True,
    help="Share of frames whose conformal set shall hold the true class.",
)
@click.option("--negative", metavar="CLASS", help="Class that means none of the findings.  [default: normal, if there]")
@click.option(
    "--require-view",
    "required_views",
    multiple=True,
    metavar="PLANE",
    help="Plane an exam must show before anything is called absent; repeatable.  [default: all that can be told]",
)
@threads
@as_json
def command(
    bundle: Path,
    labels: Path,
    *,
    target_sensitivity: float,
    false_alarm: float,
    coverage: float,
    negative: str | None,
    required_views: tuple[str, ...],
    threads: int,
    as_json: bool,
) -> None:
    """Fit temperature, conformal sets, novelty, views and the exam's rule, and write them into the bundle.

    LABELS.csv is the one of the training; rows of new patients may be added. Rows of split "test" are not used.

    \b
    Example:
      edge-cns calibrate brain.cns scans/labels.csv --target-sensitivity 0.95 --false-alarm 0.05
    """
    from converters.model_card import model_card
    from edge_cns.bundle import read_bundle
    from edge_cns.calibrate import CalibrationSettings, calibrate
    from edge_cns.data.manifest import read_manifest

    settings = CalibrationSettings(
        target_sensitivity=target_sensitivity,
        false_alarm=false_alarm,
        coverage=coverage,
        negative=negative,
        required_views=required_views or None,
    )
    manifest, gate = read_manifest(labels), read_bundle(bundle).quantisation
    of_training = manifest if gate["training"].get("labels_sha256") == manifest.sha256 else None
    record = calibrate(
        bundle,
        manifest,
        settings,
        card=lambda contract: model_card(contract, gate, of_training),
        threads=threads,
        progress=progress_line(),
    )
    for line in record["unreadable"]:
        click.echo(f"left out: {line}", err=True)
    click.echo(json.dumps(record) if as_json else _text(bundle, record))


def _text(bundle: Path, record: dict[str, Any]) -> str:
    patients, frames = record["patients"], record["frames"]
    lines = [
        f"{bundle}: calibrated on {frames['calibrate']} frames of {patients['calibrate']} patients"
        + (f", {patients['unknown']} of them unknown to the bundle" if patients["unknown"] else ""),
        f"  temperature  {record['temperature']:.3f}",
        f"  novelty      fitted on {patients['fit']} patients, limit set by {patients['novelty_limit']}"
        if patients["fit"]
        else "  novelty      not fitted",
    ]
    rules = ", ".join(f"{name} {value:.3f}" for name, value in record["rules"].items())
    lines.append(f"  exam rule    {record['rule']} (balanced accuracy on calibration exams: {rules})")
    lines += [f"  WARNING      {text}" for text in record["warnings"]]
    return "\n".join(lines)
