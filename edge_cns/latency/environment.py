"""What a measurement was made on: no host name, no user name."""

from __future__ import annotations

import os
import platform
import resource
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

__all__ = ["cpu_model", "environment", "governor", "library_versions", "memory"]

_LIBRARIES = ("edge-cns", "ai-edge-litert", "numpy", "opencv-python")


def environment() -> dict[str, Any]:
    """Processor, cores, governor, kernel and versions, JSON-ready."""
    return {
        "cpu": cpu_model(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "cores_usable": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "governor": governor(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": library_versions(),
    }


def cpu_model() -> str:
    """The processor's name, or its architecture where the system does not say."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() in ("model name", "Model") and value.strip():
                return value.strip()
    return platform.processor() or platform.machine()


def governor() -> str | None:
    """The frequency governor of the first core, or ``None`` where the system does not tell."""
    path = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    return path.read_text().strip() if path.exists() else None


def library_versions() -> dict[str, str | None]:
    """Installed version by distribution, ``None`` for one that is missing."""
    found: dict[str, str | None] = {}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def memory() -> dict[str, float | None]:
    """Resident memory of this process now and at its peak, MiB."""
    status = Path("/proc/self/status")
    if not status.exists():  # getrusage alone: on Linux a child inherits its parent's peak there
        return {"rss_mib": None, "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10}
    fields = dict(line.split(":", 1) for line in status.read_text().splitlines() if line.startswith("Vm"))
    resident, peak = (int(fields[name].split()[0]) / 2**10 for name in ("VmRSS", "VmHWM"))
    return {"rss_mib": resident, "peak_rss_mib": peak}
