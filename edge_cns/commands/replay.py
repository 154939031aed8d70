"""``edge-cns replay``: a recorded session once more, compared with what was said then."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge_cns.commands._shared import PATH, as_json, progress_line, trusting

if TYPE_CHECKING:
    from edge_cns.runtime.recording.report import Report
    from edge_cns.signing.policy import Mode

__all__ = ["command"]


@click.command(name="replay")
@click.argument("folder", type=PATH, metavar="DIR")
@click.option("--bundle", type=PATH, metavar="NAME.cns", help="Bundle, if it lies neither beside DIR nor here.")
@click.option("--key", type=PATH, metavar="FILE", help="Key with which it was recorded.")
@click.option("--backend", metavar="NAME", help="Engine; the recorded one if none is given.")
@as_json
@trusting
def command(
    folder: Path,
    *,
    bundle: Path | None,
    key: Path | None,
    backend: str | None,
    as_json: bool,
    trust: Path | None,
    signature: Mode | None,
) -> int:
    """Run the frames of a recording again and compare outputs, verdicts and what was said of the session.

    On the same engine and machine everything is identical, to the bit. Exit status: 0 identical, or within the
    bundle's tolerance of another engine; 1 something differs that should not; 2 it cannot be replayed.

    \b
    Example:
      edge-cns replay recording --bundle brain.cns --key record.key
    """
    from edge_cns.runtime.recording.key import read_key
    from edge_cns.runtime.recording.replay import replay
    from edge_cns.runtime.recording.report import DIFFERENT
    from edge_cns.signing.policy import choose_policy

    secret = None if key is None else read_key(key)
    policy = choose_policy(trust, signature)
    report = replay(folder, bundle=bundle, key=secret, backend=backend, policy=policy, progress=progress_line())
    click.echo(json.dumps(report.to_json(), indent=2) if as_json else _text(report))
    return 1 if report.result == DIFFERENT else 0


def _text(report: Report) -> str:
    found, then, here = report.to_json(), report.recorded, report.here
    frames, verdicts, records = found["frames"], found["verdicts"], found["records"]
    beyond = {n: o["largest_steps"] for n, o in found["outputs"].items() if o["differing"]}
    steps = ", ".join(f"{name} by up to {n} steps" for name, n in beyond.items())
    fields = ", ".join(f"{name} {n}" for name, n in verdicts["fields"].items())
    lines = [
        f"recorded  {_clean(then.get('started_at'))}, {_clean(then['bundle'])} on {_engine(then['engine'])}",
        f"replayed  {_clean(here['bundle'])} on {_engine(here['engine'])}: "
        + ("the same engine and machine" if report.same_engine else "another engine or machine"),
        f"outputs   {frames['compared']} frames compared, {_differ(frames['differing'], steps)}",
        f"verdicts  {verdicts['compared']} compared, {_differ(verdicts['differing'], fields)}",
        f"records   {records['compared']} compared, {_differ(records['differing'], '')}",
        *(f"note      {_clean(note)}" for note in report.notes),
        *(f"{_word(place)} {place['where']}: {place['what']} {_clean(place['how'])}" for place in report.places),
        report.result,
    ]
    return "\n".join(lines)


def _word(place: Mapping[str, Any]) -> str:
    """Whether a difference is wrong, or to be expected: of another engine, or after outputs that differ."""
    return "expected " if place["expected"] else "differs  "


def _differ(count: int, how: str) -> str:
    return f"{count} differ{f' ({how})' if how else ''}" if count else "all identical"


def _engine(engine: Any) -> str:
    return f"{_clean(engine.get('name'))} {_clean(engine.get('version'))} ({_clean(engine.get('machine'))})"


def _clean(value: Any) -> str:
    """Text from a file, fit for one line of a terminal."""
    return "".join(c if c.isprintable() else "?" for c in str(value))[:300]
