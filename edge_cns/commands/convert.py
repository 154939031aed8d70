"""``edge-cns convert``: a training in, a proven int8 bundle out."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import click

from edge_cns.commands._shared import PATH, progress_line

__all__ = ["command"]


@click.command(name="convert")
@click.argument("run", type=PATH, metavar="RUN")
@click.option("--out", type=PATH, required=True, help="The bundle, NAME.cns; must not exist.")
@click.option(
    "--quantize",
    type=click.Choice(["ptq", "qat"]),
    default="ptq",
    show_default=True,
    help="Post-training quantisation, or quantisation-aware training.",
)
@click.option(
    "--margin",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.02,
    show_default=True,
    help="Largest loss of a class's sensitivity that counts as none.",
)
@click.option("--allow-drift", is_flag=True, help="Write the bundle although the gate failed, and stamp that in.")
@click.option("--require-proof", is_flag=True, help="Write the bundle only if the gate passed.")
def command(
    run: Path,
    *,
    out: Path,
    quantize: Literal["ptq", "qat"],
    margin: float,
    allow_drift: bool,
    require_proof: bool,
) -> int:
    """Quantise to int8 and prove, on patients of their own, that nothing was lost.

    The gate's outcome is passed, undecided (too few patients to tell) or failed. A failed model is not written and
    the exit status is 1, unless --allow-drift.

    \b
    Example:
      edge-cns convert run --out brain.cns --margin 0.02
    """
    from converters.convert import convert, report_path

    report = convert(
        run,
        out,
        quantize=quantize,
        margin=margin,
        allow_drift=allow_drift,
        require_proof=require_proof,
        progress=progress_line(),
    )
    click.echo(_summary(report))
    if not report["written"]:
        why = "failed" if report["outcome"] == "failed" else "did not pass, and --require-proof asks for a proof"
        click.echo(f"error: the gate {why}; no bundle was written, the report is {report_path(out)}", err=True)
        return 1
    stamp = " although the gate failed (--allow-drift)" if report["drift_allowed"] else ""
    click.echo(f"{out}: written{stamp}")
    return 0


def _summary(report: dict[str, Any]) -> str:
    lines = [
        f"gate {report['outcome']}: {report['reason']}",
        f"  float accuracy {report['float_accuracy']:.4f}, int8 {report['int8_accuracy']:.4f}, agreement "
        f"{report['agreement']:.4f}, largest probability shift {report['largest_probability_shift']:.3f} "
        f"({report['n_frames']} frames, {report['n_patients']} patients)",
    ]
    for name, row in report["classes"].items():
        if row["difference"] is not None:
            bounds = f"{row['difference']:+.3f} ({row['lower']:+.3f} to {row['upper']:+.3f})"
            lines.append(f"  {name}: sensitivity {bounds}, {row['n_patients']} patients, {row['outcome']}")
    if report["outcome"] == "failed":
        lines += [
            f"  noise enters at layer {row['layer']} ({row['operator']}): signal to noise {row['own_db']:.1f} dB by "
            f"itself, {row['sqnr_db']:.1f} dB with all before it"
            for row in report["layers"][:3]
        ]
    return "\n".join(lines)
