"""``edge-cns bench``: how long a verdict takes here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge_cns.commands._shared import PATH, as_json, backend, require_proof, threads, trusting

if TYPE_CHECKING:
    from edge_cns.signing.policy import Mode

__all__ = ["command", "describe"]


@click.command(name="bench")
@click.argument("bundle", type=PATH, metavar="NAME.cns")
@click.option("--frames", type=click.IntRange(10, 1_000_000), default=500, show_default=True, help="Frames to time.")
@click.option("--source", metavar="URI", help="Frames to classify; by default 1080p grey screens with a phantom fan.")
@backend
@threads
@as_json
@require_proof
@trusting
def command(
    bundle: Path,
    *,
    frames: int,
    source: str | None,
    backend: str,
    threads: int,
    as_json: bool,
    require_proof: bool,
    trust: Path | None,
    signature: Mode | None,
) -> None:
    """Time every stage from frame to verdict, interleaved with a bare invoke() of the same model.

    \b
    Example:
      edge-cns bench brain.cns --frames 500 --threads 1
    """
    from edge_cns.latency.stages import measure

    result = measure(
        bundle,
        frames=frames,
        backend=backend,
        threads=threads,
        source=source,
        require_proof=require_proof,
        trust=trust,
        signature=signature,
    )
    click.echo(json.dumps(result, indent=2) if as_json else describe(result))


def describe(result: dict[str, Any]) -> str:
    """The measurement as a table for a person."""
    width, height = result["frame_size"]
    plural = "" if result["threads"] == 1 else "s"
    lines = [
        f"{result['bundle']}: {result['frames']} frames of {width}x{height} px, {result['threads']} thread{plural}, "
        f"{result['backend']}, {result['environment']['cpu']}",
        f"{'stage':<14}{'p50':>9}{'p90':>9}{'p99':>9}   ms",
        *(
            f"{name:<14}{s['p50_ms']:>9.3f}{s['p90_ms']:>9.3f}{s['p99_ms']:>9.3f}"
            for name, s in result["stages"].items()
        ),
        f"total is {result['total_over_bare_invoke']:.2f} of a bare invoke (medians, interleaved)",
        f"cold start to first verdict {result['cold_start_ms']['first_verdict']:.0f} ms, "
        f"peak memory {result['memory']['peak_rss_mib']:.0f} MiB",
    ]
    return "\n".join(lines)
