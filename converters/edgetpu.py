"""A bundle for Google's Edge TPU: compiled by Google's compiler, which is not part of this project, and looked at."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converters.compiled import output_places
from converters.edgetpu_check import Check, check_model, left_outside
from converters.tflite_graph import read_graph
from edge_cns.atomic import json_bytes, new_folder, write_bytes, write_json
from edge_cns.bundle import Bundle
from edge_cns.errors import InitialisationError, OperationError, OperationTimeoutError, UnsupportedError
from edge_cns.runtime.backends.edgetpu import MODEL, OPERATOR, PLACES
from edge_cns.runtime.target import FORMAT, GOLDEN, RECORD, target_path

__all__ = ["to_edgetpu"]

_COMPILER = "edgetpu_compiler"
_TIMEOUT_SECONDS = 600
_VERSION = re.compile(r"Edge TPU Compiler version (\S+)")


@dataclass(frozen=True, slots=True)
class _Compiled:
    """What the compiler has made: the model, and the version that the compiler states."""

    model: bytes
    version: str


def to_edgetpu(bundle: Bundle, out: Path) -> list[str]:
    """Write the folder that ``--backend edgetpu`` reads: the compiled model, and what is known of it.

    The golden vectors are the bundle's own, with its tolerance: the Edge TPU computes the same int8 network.

    Args:
        bundle: verified.
        out: the folder; must not exist.

    Returns:
        Lines for a person; warnings begin with ``warning:``.

    Raises:
        InitialisationError: the compiler is not installed.
        OperationError, OperationTimeoutError: it failed, or took longer than ten minutes.
        UnsupportedError: it has mapped nothing, or made a model of other inputs and outputs.
        BadInputError: ``out`` exists.
    """
    program = shutil.which(_COMPILER)
    if program is None:
        raise InitialisationError(
            f"{_COMPILER} is not on PATH; install Google's, for Debian on x86-64: "
            "https://coral.ai/docs/edgetpu/compiler/ (without it, --check tells what it would map)"
        )
    source = bundle.files["model.tflite"]
    check = check_model(source, f"{bundle.path.name}/model.tflite")
    compiled = _compile(program, source)
    outside = _unmapped(compiled, check)
    files = {
        MODEL: compiled.model,
        PLACES: json_bytes(output_places(source, compiled.model, _COMPILER)),
        GOLDEN: bundle.files["golden.npz"],
    }
    with new_folder(out) as folder:
        for name, content in files.items():
            write_bytes(folder / name, content)
        write_json(folder / RECORD, _record(bundle, check, compiled, outside, files))
    return _summary(bundle, out, check, compiled, outside)


def _compile(program: str, model: bytes) -> _Compiled:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "model.tflite").write_bytes(model)
        command = [program, "-s", "-o", str(folder), str(folder / "model.tflite")]
        try:
            done = subprocess.run(  # noqa: S603 the program that the user has installed
                command, cwd=folder, capture_output=True, timeout=_TIMEOUT_SECONDS, check=False
            )
        except OSError as error:
            raise InitialisationError(f"{program} cannot be started ({error.strerror}); install it again") from None
        except subprocess.TimeoutExpired:
            raise OperationTimeoutError(
                f"{_COMPILER} took longer than {_TIMEOUT_SECONDS} s; use a smaller network"
            ) from None
        said = (done.stdout + b"\n" + done.stderr).decode(errors="replace")
        version = _VERSION.search(said)
        result = folder / MODEL
        if done.returncode != 0 or not result.is_file():
            last = next((line.strip() for line in reversed(said.splitlines()) if line.strip()), "it said nothing")
            raise OperationError(f"{_COMPILER} failed with status {done.returncode} ({last[:200]}); see --check")
        return _Compiled(result.read_bytes(), version[1] if version else "unknown")


def _unmapped(compiled: _Compiled, check: Check) -> int:
    """How many of the model's operators the compiler has left on the processor.

    Raises:
        UnsupportedError: all of them.
    """
    graph = read_graph(compiled.model, "the compiled model")
    if not any(operator.name == OPERATOR for operator in graph.operators):
        reason = next((row.reason for row in check.rows if not row.mapped), "the compiler does not say why")
        raise UnsupportedError(f"{_COMPILER} mapped no operator to the Edge TPU ({reason}); see --check, or run litert")
    return len(left_outside(compiled.model, "the compiled model"))


def _record(
    bundle: Bundle, check: Check, compiled: _Compiled, outside: int, files: Mapping[str, bytes]
) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "backend": "edgetpu",
        "model_sha256": check.sha256,
        "versions": {_COMPILER: compiled.version},
        "options": {},
        "operators": {"mapped": len(check.rows) - outside, "unmapped": outside},
        "predicted": check.as_dict()["operators"],
        "golden": bundle.quantisation.get("golden"),
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    }


def _summary(bundle: Bundle, out: Path, check: Check, compiled: _Compiled, outside: int) -> list[str]:
    total = len(check.rows)
    lines = [
        f"{out}: written",
        f"  operators  {total - outside} of {total} run on the Edge TPU, {outside} on the processor",
        f"  compiler   {_COMPILER} {compiled.version}",
        f"  size       {len(compiled.model)} bytes",
    ]
    if total - outside != check.mapped:
        lines.append(f"warning: {check.mapped} operators were predicted to run on the Edge TPU; --check tells which")
    wanted = target_path(bundle.path, "edgetpu")
    if out.resolve() == wanted:
        return [*lines, "used by --backend edgetpu"]
    return [*lines, f"note: --backend edgetpu looks for it at {wanted.name} beside {bundle.path.name}"]
