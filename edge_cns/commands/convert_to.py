"""``edge-cns convert-to``: a bundle for another engine or device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click

from edge_cns.atomic import json_bytes
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
    "onnx": _About(
        """Quantise the float model for ONNX Runtime, for run, predict and bench with --backend onnxruntime.

        Needs the extras 'onnx' and 'train'. Nothing is written unless the result agrees with the float model. It is
        found where it lies beside the bundle as NAME.onnxruntime.

        \b
        Example:
          edge-cns convert-to onnx brain.cns --out brain.onnxruntime
        """,
        (
            click.Option(
                ["--reduce-range"],
                is_flag=True,
                help="Weights of 7 bits, for x86 processors without VNNI: sums of 8-bit products saturate there.",
            ),
        ),
    ),
    "openvino": _About(
        """Quantise the float model for OpenVINO by NNCF, for run, predict and bench with --backend openvino.

        Needs the extra 'openvino'. Nothing is written unless the result agrees with the float model. It is found
        where it lies beside the bundle as NAME.openvino.

        \b
        Example:
          edge-cns convert-to openvino brain.cns --out brain.openvino
        """,
    ),
    "edgetpu": _About(
        """Compile for Google's Edge TPU (Coral), or tell with --check what would run on it.

        Compiling needs Google's edgetpu_compiler on PATH; --check needs nothing, and takes a .tflite file too. What is
        compiled is found where it lies beside the bundle as NAME.edgetpu.

        \b
        Examples:
          edge-cns convert-to edgetpu brain.cns --check
          edge-cns convert-to edgetpu brain.cns --out brain.edgetpu
        """,
    ),
    "ethos-u": _About(
        """Compile for Arm's Ethos-U with Arm's compiler Vela, and print what it estimates.

        Needs the extra 'ethos-u'. Cycles, memory and time are Vela's estimates, not measurements.

        \b
        Example:
          edge-cns convert-to ethos-u brain.cns --system ethos-u55-256 --system ethos-u65-512 --out brain_ethos
        """,
        (
            click.Option(
                ["--system", "systems"],
                multiple=True,
                default=("ethos-u55-256",),
                show_default=True,
                metavar="NAME",
                help="NPU and its number of multipliers; may be given several times.",
            ),
        ),
    ),
}


class _Targets(click.Group):
    """A command a row of the table of targets."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        from converters.targets import TARGETS

        return list(TARGETS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        from converters.targets import CHECKS

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
        if cmd_name in CHECKS:
            return _with_check(cmd_name, about, run)
        return click.Command(cmd_name, params=[*given, *about.options], callback=run, help=about.text)


def _with_check(target: str, about: _About, convert: Callable[..., None]) -> click.Command:
    """The command of a target that can also tell, with ``--check``, what it would do."""

    def run(path: Path, out: Path | None, check: bool, as_json: bool, **options: Any) -> None:
        from converters.targets import check_target

        if check == (out is not None):
            raise click.UsageError("give --out to convert, or --check to be told what would run where")
        if as_json and not check:
            raise click.UsageError("--json is for --check; leave it out")
        if out is not None:
            convert(path, out, **options)
            return
        report = check_target(target, path)
        click.echo(json_bytes(report.as_dict()).decode() if as_json else "\n".join(report.lines()), nl=not as_json)

    given: list[click.Parameter] = [
        click.Argument(["path"], type=PATH, metavar="NAME.cns|MODEL.tflite"),
        click.Option(["--out"], type=PATH, help="What is written; must not exist."),
        click.Option(["--check"], is_flag=True, help="Convert nothing; tell which operators would run where, and why."),
        click.Option(["--json", "as_json"], is_flag=True, help="With --check: print JSON for programs."),
    ]
    return click.Command(target, params=[*given, *about.options], callback=run, help=about.text)


@click.group(name="convert-to", cls=_Targets)
def command() -> None:
    """Convert a bundle for another engine or device."""
