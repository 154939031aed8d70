from __future__ import annotations

import errno
import os
import subprocess
import sys

import click
import pytest

from edge_cns import __version__
from edge_cns.cli import COMMANDS, root
from edge_cns.commands import doctor
from edge_cns.errors import OperationError


def every_command() -> list[list[str]]:
    """The words of each command and subcommand that does something."""
    found = []
    for name in COMMANDS:
        command = root.get_command(click.Context(root), name)
        if isinstance(command, click.Group):
            found += [[name, sub] for sub in command.commands]
        else:
            found.append([name])
    return found


def edge_cns(*arguments: object, **options: object) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "edge_cns", *map(str, arguments)]
    return subprocess.run(command, check=False, **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options})


def test_the_fixed_names():
    assert " ".join(COMMANDS) == (
        "demo data train convert convert-to calibrate evaluate cross-validate compare predict run replay bench bundle "
        "doctor"
    )
    subcommands = [words for words in every_command() if len(words) == 2]
    assert sorted((w for w in subcommands if w[0] == "data"), reverse=True) == [
        *(["data", name] for name in ("phantom", "import", "check"))
    ]
    assert sorted(w[1] for w in subcommands if w[0] == "bundle") == [
        *("inspect", "keygen", "reseal", "sign", "strip", "verify")
    ]


@pytest.mark.parametrize("words", every_command(), ids=" ".join)
def test_every_command_has_help_with_an_example(cli, words):
    for option in ("--help", "-h"):
        status, out, err = cli(*words, option)
        assert (status, err) == (0, "")
        assert "Example" in out
        assert f"  edge-cns {' '.join(words)}" in out


def test_help_and_version(cli):
    status, out, _ = cli("--help")
    assert status == 0
    assert all(f"\n  {name} " in out for name in COMMANDS)
    assert "Research use only" in out
    assert cli("--version") == (0, f"edge-cns, version {__version__}\n", "")


@pytest.mark.parametrize("words", [[], ["data"], ["bundle"]], ids=str)
def test_a_group_by_itself_tells_what_it_has(cli, words):
    status, out, err = cli(*words)
    assert (status, err) == (0, "")
    assert out.startswith("Usage: edge-cns")
    assert "Commands:\n" in out


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["prdict"], "No such command 'prdict'"),
        (["bundle", "open"], "No such command 'open'"),
        (["--frames"], "No such option"),
        (["predict", "b.cns", "a.png", "--jsn"], "--jsn"),
        (["predict", "b.cns"], "Missing argument 'IMAGE...'. (see: edge-cns predict --help)"),
        (["predict", "b.cns", "a.png", "--threads", "many"], "'many' is not a valid integer"),
        (["bench"], "Missing argument 'NAME.cns'"),
        (["bench", "b.cns", "more"], "unexpected extra argument"),
        (["predict", "nowhere.cns", "a.png"], "nowhere.cns does not exist; a bundle is a folder NAME.cns"),
        (["bench", "nowhere.cns"], "nowhere.cns does not exist"),
    ],
    ids=lambda part: part if isinstance(part, str) else " ".join(part),
)
def test_a_wrong_call_is_one_line(cli, tmp_path, monkeypatch, arguments, text):
    monkeypatch.chdir(tmp_path)
    status, out, err = cli(*arguments)
    assert (status, out) == (2, "")
    assert err.startswith("error: ")
    assert text in err
    assert len(err.splitlines()) == 1
    assert os.listdir() == []


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (KeyboardInterrupt(), 130, "interrupted"),
        (OSError(errno.ENOSPC, "No space left on device", "out/x"), 2, "error: out/x: No space left on device"),
        (OSError(errno.EROFS, "Read-only file system", "out"), 2, "error: out: Read-only file system"),
        (PermissionError(errno.EACCES, "Permission denied", "out"), 2, "error: out: Permission denied"),
        (OSError("said by a library"), 2, "error: said by a library"),
        (OperationError("it\nbroke  twice"), 2, "error: it broke twice"),
        (click.ClickException("no"), 2, "error: no"),
        (click.Abort(), 130, "interrupted"),
    ],
    ids=repr,
)
def test_what_goes_wrong_is_one_line(cli, monkeypatch, error, status, text):
    def fails() -> None:
        raise error

    monkeypatch.setattr(doctor, "examine", fails)
    outcome = cli("doctor")
    assert (outcome.status, outcome.out, outcome.err.strip()) == (status, "", text)


def test_a_mistake_of_ours_is_not_hidden(cli, monkeypatch):
    monkeypatch.setattr(doctor, "examine", lambda: {}["missing"])
    with pytest.raises(KeyError):
        cli("doctor")


@pytest.mark.parametrize("arguments", [["doctor"], ["--help"], ["bundle", "inspect"]], ids=" ".join)
def test_a_reader_that_goes_away_hears_no_complaint(tiny_bundle, arguments):
    if arguments[0] == "bundle":
        arguments = [*arguments, tiny_bundle]
    reading, writing = os.pipe()
    os.close(reading)
    done = edge_cns(*arguments, stdout=writing)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_full_disk_behind_standard_output(tiny_bundle):
    with open("/dev/full", "wb") as full:
        done = edge_cns("bundle", "inspect", tiny_bundle, stdout=full)
    assert (done.returncode, done.stderr) == (2, b"error: No space left on device\n")


@pytest.mark.parametrize("closed", [1, 2])
def test_without_a_standard_stream(tiny_bundle, frame_file, closed):
    command = [sys.executable, "-m", "edge_cns", "predict", str(tiny_bundle), str(frame_file)]
    shell = ["sh", "-c", f'exec "$@" {closed}>&-', "sh", *command]
    done = subprocess.run(shell, capture_output=True, check=False)
    assert done.returncode == 0
    assert done.stderr == b""
    assert (b"head.png" in done.stdout) == (closed == 2)


def test_the_installed_script_is_the_module():
    from importlib.metadata import entry_points

    (script,) = (e for e in entry_points(group="console_scripts") if e.name == "edge-cns")
    assert script.value == "edge_cns.cli:main"
    done = edge_cns("--version")
    assert (done.returncode, done.stdout) == (0, f"edge-cns, version {__version__}\n".encode())
