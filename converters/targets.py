"""What a bundle can be converted to: a visible table, each row imported when it is asked for.

A converter is a function ``(bundle, out, **options) -> list[str]``: it writes ``out``, whole or not at all, and
returns lines for a person. Its options are declared beside the command, in `edge_cns.commands.convert_to`.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, Protocol

from edge_cns.bundle import read_bundle
from edge_cns.errors import BadInputError

__all__ = ["CHECKS", "TARGETS", "Report", "check_target", "convert_to"]

TARGETS: dict[str, tuple[str, str]] = {
    # target: (module, function)
    "c-array": ("converters.c_array", "to_c_array"),
    "onnx": ("converters.onnx", "to_onnx"),
    "openvino": ("converters.openvino", "to_openvino"),
    "edgetpu": ("converters.edgetpu", "to_edgetpu"),
    "ethos-u": ("converters.ethos_u", "to_ethos_u"),
}

CHECKS: dict[str, tuple[str, str]] = {
    # target: (module, function) that tells what would run where, and converts nothing
    "edgetpu": ("converters.edgetpu_check", "check_file"),
}


class Report(Protocol):
    """What a check has found."""

    def lines(self) -> list[str]:
        """For a person."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""


def convert_to(target: str, path: Path, out: Path, **options: Any) -> list[str]:
    """Convert a bundle.

    Args:
        target: name in `TARGETS`.
        path: the bundle, ``NAME.cns``.
        out: what is written; must not exist.
        options: the target's own.

    Returns:
        Lines for a person.

    Raises:
        BadInputError, TamperedError, UnsupportedError: the bundle cannot be read, ``out`` exists, or an option does
            not fit; see the converter.
    """
    if target not in TARGETS:
        raise BadInputError(f"there is no target {target!r}; targets are {', '.join(TARGETS)}")
    if out.exists() or out.is_symlink():
        raise BadInputError(f"{out} exists already; remove it or choose another --out")
    module, function = TARGETS[target]
    lines: list[str] = getattr(importlib.import_module(module), function)(read_bundle(path), out, **options)
    return lines


def check_target(target: str, path: Path) -> Report:
    """Tell what of a model would run on a target, without converting it.

    Args:
        target: name in `CHECKS`.
        path: a ``.tflite`` file, or a bundle.

    Raises:
        BadInputError, TamperedError: the file cannot be read as a model.
    """
    if target not in CHECKS:
        raise BadInputError(f"there is no check for target {target!r}; there is one for {', '.join(CHECKS)}")
    module, function = CHECKS[target]
    found: Report = getattr(importlib.import_module(module), function)(path)
    return found
