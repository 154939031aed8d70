"""The command line: every command is loaded when it is called, every error is one line.

Exit status: 0 done, 1 the gate refused the model, 2 bad input or an unusable machine, 130 interrupted, 141 nobody
reads the output any more.
"""

from __future__ import annotations

import importlib
import io
import os
import signal
import sys
import threading
from typing import Any

import click

from edge_cns import __version__
from edge_cns.errors import EdgeCnsError

__all__ = ["COMMANDS", "main", "root"]

COMMANDS: dict[str, str] = {
    # name: module under edge_cns.commands, in the order of a project's life
    "demo": "demo",
    "data": "data",
    "train": "train",
    "convert": "convert",
    "convert-to": "convert_to",
    "calibrate": "calibrate",
    "evaluate": "evaluate",
    "cross-validate": "cross_validate",
    "compare": "compare",
    "predict": "predict",
    "run": "run",
    "replay": "replay",
    "bench": "bench",
    "bundle": "bundle",
    "doctor": "doctor",
}


class _OnDemand(click.Group):
    """A group whose commands are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"edge_cns.commands.{COMMANDS[cmd_name]}").command
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:  # of which click would make an empty line
            raise click.Abort from None


@click.group(cls=_OnDemand, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="edge-cns")
def root() -> None:
    """Put an ultrasound classifier inside the ultrasound machine.

    Research use only. Not a medical device.

    \b
    Start here:
      edge-cns demo --out demo
    """


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit the process."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) < 3:
        pass  # a standard stream was closed: its number must not become that of a socket or a file
    os.close(descriptor)
    try:
        status = run(arguments)
        _hear_nothing()
    except KeyboardInterrupt:  # while the end was being said
        status = 130
        _hear_nothing()
    if threading.active_count() > 1:  # a driver or a disk that hangs; unwinding its thread would abort the process
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        os._exit(status)
    sys.exit(status)


def _hear_nothing() -> None:
    """Asked once more while it ends: how it ended stays."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def run(arguments: list[str] | None = None) -> int:
    """Run the command line.

    Returns:
        The exit status.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file name need not be UTF-8, nor the terminal
    try:
        return _invoke(arguments)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return 130
    except (BrokenPipeError, SystemExit):  # the second is what click makes of the first
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the flush at exit shall not fail as well
        return 141
    except (click.ClickException, EdgeCnsError, OSError) as error:
        click.echo(f"error: {' '.join(_message(error).split())}", err=True)
        return 2


def _invoke(arguments: list[str] | None) -> int:
    try:
        status: Any = root.main(arguments, prog_name="edge-cns", standalone_mode=False)
    except getattr(click.exceptions, "NoArgsIsHelpError", ()) as error:  # click before 8.2 prints the help itself
        click.echo(error.format_message())
        status = 0
    if sys.stdout is not None:
        sys.stdout.flush()
    return status if isinstance(status, int) else 0


def _message(error: Exception) -> str:
    if isinstance(error, click.ClickException):
        context = getattr(error, "ctx", None)
        return error.format_message() + (f" (see: {context.command_path} --help)" if context else "")
    if isinstance(error, OSError):
        return (f"{error.filename}: " if error.filename else "") + (error.strerror or str(error))
    return str(error)
