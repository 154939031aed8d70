"""What several commands share: options defined once, and progress on a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from edge_cns.progress import Progress

__all__ = ["PATH", "as_json", "backend", "progress_line", "require_proof", "threads", "trusting"]


PATH = click.Path(path_type=Path)

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs in place of text.")
require_proof = click.option(
    "--require-proof", is_flag=True, help="Refuse a bundle whose quantisation gate did not pass."
)
backend = click.option(
    "--backend",
    default="litert",
    show_default=True,
    metavar="NAME",
    help="Engine; some need edge-cns convert-to first.",
)
threads = click.option("--threads", type=click.IntRange(1, 64), default=1, show_default=True, help="CPU threads.")

_trust = click.option(
    "--trust",
    type=PATH,
    metavar="DIR",
    help="Folder of public keys and root certificates to trust.  [default: EDGE_CNS_TRUST_DIR of the environment]",
)
_signature = click.option(
    "--signature",
    type=click.Choice(["require", "warn", "off"]),
    help="A bundle that nobody trusted has signed is refused, remarked on, or taken.  "
    "[default: require where there is a trust folder, else off]",
)

_REDRAW_SECONDS = 0.1
_WORTH_A_LINE_SECONDS = 5.0


def trusting(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options ``trust`` and ``signature`` of a command that loads a bundle."""
    return _trust(_signature(command))


def progress_line() -> Progress:
    """Progress on standard error: a line that is written over, with the time left; in a file, a line a long task."""
    interactive = sys.stderr.isatty()
    state: dict[str, Any] = {"task": None, "started": 0.0, "drawn": 0.0}

    def show(task: str, done: int, total: int, note: str = "") -> None:
        now = time.monotonic()
        if task != state["task"]:
            state.update(task=task, started=now, drawn=0.0)
        finished, elapsed = done >= total, now - state["started"]
        if interactive and not finished and now - state["drawn"] < _REDRAW_SECONDS:
            return
        if not interactive and not (finished and elapsed > _WORTH_A_LINE_SECONDS):
            return
        state["drawn"] = now
        if finished:
            state["task"] = None
        left = f", {elapsed / done * (total - done):.0f} s left" if 0 < done < total else ""
        text = f"{task}: {done}/{total}, {elapsed:.0f} s{left}{' ' + note if note else ''}"
        click.echo(
            f"\r\x1b[K{text}" + ("\n" if finished else "") if interactive else text, nl=not interactive, err=True
        )

    return show
