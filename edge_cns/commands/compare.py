"""``edge-cns compare``: two evaluations of the same frames, patient by patient."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge_cns.commands._shared import PATH, as_json
from edge_cns.errors import BadInputError

if TYPE_CHECKING:
    from edge_cns.evaluation.predictions import Predictions

__all__ = ["command"]

_ROWS = (("accuracy", "accuracy"), ("balanced accuracy", "balanced_accuracy"), ("macro AUROC", "auroc_macro"))


@click.command(name="compare")
@click.argument("a", type=PATH, metavar="A.json")
@click.argument("b", type=PATH, metavar="B.json")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the resampling of patients.")
@click.option("--resamples", type=click.IntRange(100, 100_000), default=2000, show_default=True)
@as_json
def command(a: Path, b: Path, *, seed: int, resamples: int, as_json: bool) -> None:
    """Compare two models that were measured on the same frames: B minus A.

    Give the metrics.json of each, with its predictions.csv still beside it. Patients are resampled, the same ones for
    both models.

    \b
    Example:
      edge-cns compare small/metrics.json large/metrics.json
    """
    from edge_cns.evaluation.paired import compare_models

    read = _read(a), _read(b)
    result = {"a": str(a), "b": str(b), "phantom": read[0].phantom or read[1].phantom}
    result |= compare_models(*read, seed=seed, resamples=resamples)
    click.echo(json.dumps(result) if as_json else _text(result))


def _read(path: Path) -> Predictions:
    """The predictions behind a ``metrics.json``."""
    from edge_cns.evaluation.prediction_file import read_predictions
    from edge_cns.strict_json import load_json

    if path.is_dir():
        raise BadInputError(f"{path} is a folder; give the metrics.json in it")
    if not path.is_file():
        raise BadInputError(f"{path} does not exist; give a metrics.json of evaluate or cross-validate")
    metrics = load_json(path.read_bytes(), str(path))
    record = metrics.get("predictions") if isinstance(metrics, dict) else None
    if not isinstance(record, dict) or not {"file", "sha256"} <= set(record) or not isinstance(record["file"], str):
        raise BadInputError(f"{path} names no predictions; give a metrics.json of evaluate or cross-validate")
    file = path.parent / Path(record["file"]).name
    return replace(read_predictions(file, sha256=record["sha256"]), phantom=bool(metrics.get("phantom")))


def _text(result: dict[str, Any]) -> str:
    lines = [
        *(["PHANTOM DATA: no figure here is a clinical one"] if result["phantom"] else []),
        f"A {result['a']}",
        f"B {result['b']}",
        f"{result['whose']}: {result['n_frames']} frames, {result['n_patients']} patients"
        + (f" ({result['n_left_out']} frames of others left out)" if result["n_left_out"] else ""),
    ]
    titles = ("by frame", f"by {result['patient']['unit']}")
    names = [*(name for name, _ in _ROWS), *(f"sensitivity {name}" for name in result["classes"])]
    width = max(map(len, (*titles, *names))) + 2
    for title, part in zip(titles, (result["frame"], result["patient"]), strict=True):
        lines.append(f"{title:<{width}}{'A':>9}{'B':>9}   B - A")
        figures = {name: part[key] for name, key in _ROWS}
        figures |= {f"sensitivity {name}": entry["sensitivity"] for name, entry in part["per_class"].items()}
        lines += [f"  {name:<{width - 2}}{_figure(figure)}" for name, figure in figures.items()]
        test = part["mcnemar"]
        lines.append(
            f"  only A right {test['only_a']}, only B right {test['only_b']}: p = {test['p_value']:.3g} (McNemar)"
        )
    lines.append("Intervals: 95 %, patients resampled. McNemar by frame takes frames of a patient as independent.")
    return "\n".join(lines)


def _figure(figure: dict[str, Any] | None) -> str:
    if figure is None:
        return "  not defined"
    limits = figure["interval"]
    interval = "no interval" if limits is None else f"{limits[0]:+.4f} to {limits[1]:+.4f}"
    return f"{figure['a']:>9.4f}{figure['b']:>9.4f}   {figure['difference']:+.4f} ({interval})"
