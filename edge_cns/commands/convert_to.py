"""``edge-cns convert-to``: a bundle for another engine or device."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click

from edge_cns.commands._shared import PATH
from edge_cns.frames import Region

__all__ = ["command"]


def _size(_: click.Context, parameter: click.Parameter, text: str | None) -> tuple[int, int] | None:
    """``640x480``: width and height."""
    if text is None:
        return None
    width, height = _numbers(text, "x", parameter, 2)
    return width, height


def _region(_: click.Context, parameter: click.Parameter, text: str | None) -> Region | None:
    """``X,Y,W,H``."""
    return None if text is None else Region(*_numbers(text, ",", parameter, 4))


def _numbers(text: str, separator: str, parameter: click.Parameter, count: int) -> list[int]:
    words = text.split(separator)
    if len(words) != count or not all(word.isascii() and word.isdigit() and len(word) < 6 for word in words):
        raise click.BadParameter(f"{text!r} is not {parameter.metavar}", param=parameter)
    return [int(word) for word in words]


class _About(NamedTuple):
    """What a target says of itself, and the options that it alone has."""

    text: str
    options: Sequence[click.Parameter] = ()


_ABOUT: dict[str, _About] = {
    "c-array": _About(
        """Write C for a microcontroller: the network as an array, its header, and preprocessing in integers.

        Needs the extra 'micro'. The frames' size is fixed here, and only sizes are taken that integers prepare as
        Python does.

        \b
        Example:
          edge-cns convert-to c-array brain.cns --frame 640x480 --out brain_c
        """,
        (
            click.Option(
                ["--frame"],
                callback=_size,
                metavar="WIDTHxHEIGHT",
                help="Size of the camera's grey frames, px; without it that of the network's image.",
            ),
            click.Option(
                ["--region"],
                callback=_region,
                metavar="X,Y,W,H",
                help="The part of each frame that the network sees, px; without it the whole.",
            ),
            click.Option(["--part"], help="Warn where flash or memory of this microcontroller do not suffice."),
        ),
    ),
}


class _Targets(click.Group):
    """A command a row of the table of targets."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        from converters.targets import TARGETS

        return list(TARGETS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        about = _ABOUT.get(cmd_name, _About(f"Convert a bundle to {cmd_name}."))

        def run(path: Path, out: Path, **options: Any) -> None:
            from converters.targets import convert_to

            for line in convert_to(cmd_name, path, out, **options):
                click.echo(line, err=line.startswith("warning:"))

        given: list[click.Parameter] = [
            click.Argument(["path"], type=PATH, metavar="NAME.cns"),
            click.Option(["--out"], type=PATH, required=True, help="What is written; must not exist."),
        ]
        return click.Command(cmd_name, params=[*given, *about.options], callback=run, help=about.text)


@click.group(name="convert-to", cls=_Targets)
def command() -> None:
    """Convert a bundle for another engine or device."""
