"""A bundle for Arm's Ethos-U NPUs: compiled by Arm's Vela, with what Vela estimates of it."""

from __future__ import annotations

import csv
import hashlib
import importlib.util
import io
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from converters.compiled import output_places
from converters.tflite_graph import read_graph
from edge_cns.atomic import new_folder, write_bytes, write_json
from edge_cns.bundle import Bundle
from edge_cns.errors import BadInputError, MissingExtraError, OperationError, OperationTimeoutError, UnsupportedError

__all__ = ["SYSTEMS", "Estimate", "read_estimate", "to_ethos_u"]

_LIBRARY, _EXTRA, _DISTRIBUTION = "ethosu", "ethos-u", "ethos-u-vela"
_CONFIGURATION = "Arm/vela.ini"  # Vela's own; its systems and memory modes are named below
_OPERATOR = "ethos-u"
_TIMEOUT_SECONDS = 600

SYSTEMS: dict[str, tuple[str, str]] = {
    # NPU and its multipliers: (system, memory mode) of Vela's configuration file
    "ethos-u55-32": ("Ethos_U55_Deep_Embedded", "Shared_Sram"),
    "ethos-u55-64": ("Ethos_U55_Deep_Embedded", "Shared_Sram"),
    "ethos-u55-128": ("Ethos_U55_High_End_Embedded", "Shared_Sram"),
    "ethos-u55-256": ("Ethos_U55_High_End_Embedded", "Shared_Sram"),
    "ethos-u65-256": ("Ethos_U65_Embedded", "Shared_Sram"),
    "ethos-u65-512": ("Ethos_U65_High_End", "Dedicated_Sram"),
    "ethos-u85-128": ("Ethos_U85_SYS_Flash_Low", "Shared_Sram"),
    "ethos-u85-256": ("Ethos_U85_SYS_Flash_High", "Shared_Sram"),
    "ethos-u85-512": ("Ethos_U85_SYS_DRAM_Low", "Dedicated_Sram_384KB"),
    "ethos-u85-1024": ("Ethos_U85_SYS_DRAM_Mid", "Dedicated_Sram_384KB"),
    "ethos-u85-2048": ("Ethos_U85_SYS_DRAM_High", "Dedicated_Sram_512KB"),
}


@dataclass(frozen=True, slots=True)
class Estimate:
    """What Vela estimates for a system. Nothing of it was measured.

    Attributes:
        cycles: of the NPU for one image, at least 1.
        clock_hz: of the NPU, as the system has it.
        time_ms: for one image.
        sram_bytes, dram_bytes, flash_bytes: memory in use, where the system has such.
    """

    cycles: int
    clock_hz: float
    time_ms: float
    sram_bytes: int
    dram_bytes: int
    flash_bytes: int


@dataclass(frozen=True, slots=True)
class _Compiled:
    """A model for one system.

    Attributes:
        model: as Vela wrote it.
        outside: operators that stay on the processor.
        outputs: where the bundle's outputs are among the model's.
    """

    system: str
    model: bytes
    estimate: Estimate
    outside: tuple[str, ...]
    outputs: Mapping[str, int]


def to_ethos_u(bundle: Bundle, out: Path, *, systems: Sequence[str] = ("ethos-u55-256",)) -> list[str]:
    """Write the folder: a model a system, and what Vela estimates of each.

    Args:
        bundle: verified.
        out: the folder; must not exist.
        systems: names in `SYSTEMS`.

    Returns:
        Lines for a person.

    Raises:
        BadInputError: an unknown system, or ``out`` exists.
        MissingExtraError: Vela is not installed.
        OperationError, OperationTimeoutError: Vela failed, or took longer than ten minutes.
        UnsupportedError: nothing runs on the NPU, or Vela made a model of another form.
    """
    if unknown := [name for name in systems if name not in SYSTEMS]:
        raise BadInputError(f"there is no system {unknown[0]!r}; --system knows {', '.join(SYSTEMS)}")
    if importlib.util.find_spec(_LIBRARY) is None:
        raise MissingExtraError(_LIBRARY, _EXTRA)
    source = bundle.files["model.tflite"]
    made = [_compile(source, system) for system in dict.fromkeys(systems)]
    vela = version(_DISTRIBUTION)
    with new_folder(out) as folder:
        for one in made:
            write_bytes(folder / f"{one.system}.tflite", one.model)
        write_json(folder / "target.json", _target(source, made, vela))
    return _summary(out, made, vela)


def read_estimate(report: str) -> Estimate:
    """Read Vela's summary.

    Args:
        report: content of ``*_summary_*.csv``: names, and one row; memory in KiB, time in s.

    Raises:
        OperationError: a column is missing or is not a number.
    """
    try:
        row = next(csv.DictReader(io.StringIO(report)))
        flash = float(row["off_chip_flash_memory_used"]) + float(row["on_chip_flash_memory_used"])
        return Estimate(
            cycles=int(float(row["cycles_total"])),
            clock_hz=float(row["core_clock"]),
            time_ms=round(1e3 * float(row["inference_time"]), 6),
            sram_bytes=int(1024 * float(row["sram_memory_used"])),
            dram_bytes=int(1024 * float(row["dram_memory_used"])),
            flash_bytes=int(1024 * flash),
        )
    except (StopIteration, KeyError, TypeError, ValueError, OverflowError) as error:
        raise OperationError(
            f"Vela's summary cannot be read ({error!r}); install the version that the extra names"
        ) from None


def _compile(model: bytes, system: str) -> _Compiled:
    configuration, mode = SYSTEMS[system]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "model.tflite").write_bytes(model)
        command = [sys.executable, "-m", "ethosu.vela", str(folder / "model.tflite"), "--output-dir", str(folder)]
        command += ["--accelerator-config", system, "--config", _CONFIGURATION]
        command += ["--system-config", configuration, "--memory-mode", mode]
        try:
            done = subprocess.run(  # noqa: S603 this interpreter, and names of the table above
                command, cwd=folder, capture_output=True, timeout=_TIMEOUT_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            raise OperationTimeoutError(f"Vela took longer than {_TIMEOUT_SECONDS} s; use a smaller network") from None
        result, reports = folder / "model_vela.tflite", sorted(folder.glob("model_summary_*.csv"))
        if done.returncode != 0 or not result.is_file() or not reports:
            said = (done.stdout + b"\n" + done.stderr).decode(errors="replace")
            last = next((line.strip() for line in reversed(said.splitlines()) if line.strip()), "it said nothing")
            raise OperationError(f"Vela failed for {system} ({last[:200]}); try another --system, or convert again")
        compiled, estimate = result.read_bytes(), read_estimate(reports[0].read_text(encoding="utf-8"))
    names = [operator.name for operator in read_graph(compiled, "the compiled model").operators]
    if _OPERATOR not in names:
        raise UnsupportedError(f"no operator runs on {system}; Vela left all on the processor: use c-array instead")
    outside = tuple(name for name in names if name != _OPERATOR)
    return _Compiled(system, compiled, estimate, outside, output_places(model, compiled, "Vela"))


def _target(source: bytes, made: Sequence[_Compiled], vela: str) -> dict[str, Any]:
    return {
        "target": "ethos-u",
        "source": {"file": "model.tflite", "sha256": hashlib.sha256(source).hexdigest()},
        "compiler": {"name": _DISTRIBUTION, "version": vela},
        "systems": {
            one.system: {
                "file": f"{one.system}.tflite",
                "sha256": hashlib.sha256(one.model).hexdigest(),
                "system_config": SYSTEMS[one.system][0],
                "memory_mode": SYSTEMS[one.system][1],
                "estimate": asdict(one.estimate),
                "on_processor": list(one.outside),
                "outputs": dict(one.outputs),
            }
            for one in made
        },
    }


def _summary(out: Path, made: Sequence[_Compiled], vela: str) -> list[str]:
    table = [("system", "cycles", "MHz", "ms", "SRAM KiB", "DRAM KiB", "flash KiB", "on the processor")]
    for one in made:
        told = one.estimate
        sram, dram, flash = (f"{size / 1024:.0f}" for size in (told.sram_bytes, told.dram_bytes, told.flash_bytes))
        outside = ", ".join(sorted(set(one.outside))) or "nothing"
        clock, time = f"{told.clock_hz / 1e6:.0f}", f"{told.time_ms:.2f}"
        table.append((one.system, str(told.cycles), clock, time, sram, dram, flash, outside))
    rows = [
        f"  {system:14} {cycles:>9} {clock:>5} {time:>8} {sram:>9} {dram:>9} {flash:>10}  {outside}"
        for system, cycles, clock, time, sram, dram, flash, outside in table
    ]
    return [f"{out}: written", f"  estimates of Vela {vela}, not measured:", *rows]
