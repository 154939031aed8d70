"""The device's own limit: fewer frames a second while it is hot, or its battery is nearly empty."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

__all__ = ["Battery", "PowerPolicy", "Rate"]

_EVERY_SECONDS = 2.0
_COOLER, _FULLER = 5.0, 5.0  # degrees C and percent by which it must recover
_LOWEST, _HIGHEST = -50.0, 150.0  # degrees C; a sensor that says anything else is broken
_PROCESSOR = (
    "cpu",
    "x86_pkg",
    "soc",
    "package",
    "core",
    "cluster",
    "k10temp",
    "coretemp",
    "acpitz",
)  # in the type of a zone
_LONGEST = 64  # bytes of a file that are read


@dataclass(frozen=True, slots=True)
class Battery:
    """All batteries of the device together: the fullest decides.

    Attributes:
        percent: 0 to 100.
        charging: whether it is not being emptied.
    """

    percent: float
    charging: bool

    def to_json(self) -> dict[str, float | bool]:
        """JSON-ready."""
        return {"percent": self.percent, "charging": self.charging}


@dataclass(frozen=True, slots=True)
class Rate:
    """What the device allows now.

    Attributes:
        state: ``full`` or ``reduced``.
        reason: why it is reduced, one line; empty otherwise.
        fps: most frames a second that should be classified; ``None`` is no limit.
        temperature_c: of the hottest part of the processor, or ``None`` where the system has no sensor.
        battery: ``{"percent": 0..100, "charging": bool}``, or ``None`` where there is none.
    """

    state: Literal["full", "reduced"]
    reason: str
    fps: float | None
    temperature_c: float | None
    battery: dict[str, float | bool] | None


class PowerPolicy:
    """Reads the system's sensors, at most every two seconds, and not in the thread that asks.

    Most sensors answer at once, but a battery's controller may take its time, and frames do not wait for it: what is
    told is what the last reading found. The first one is waited for.

    The rate is reduced from ``hot_celsius`` on until it is 5 degrees cooler, and while a battery that is not charging
    has at most ``low_percent``, until it has 5 % more or charges. Sensors that are missing, odd or unreadable are as
    none: a device without any always runs at full rate.

    Args:
        reduced_fps: frames a second while reduced.
        hot_celsius: degrees C.
        low_percent: 0 to 100.
        root: of the file system, for tests.
        clock: seconds that never run backwards.
    """

    def __init__(
        self,
        reduced_fps: float = 10.0,
        hot_celsius: float = 85.0,
        low_percent: float = 20.0,
        *,
        root: Path = Path("/"),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fps, self._hot_celsius, self._low_percent = reduced_fps, hot_celsius, low_percent
        self._root, self._clock = root, clock
        self._hot = self._low = False
        self._read_at: float | None = None
        self._reader: threading.Thread | None = None
        self._rate = Rate("full", "", None, None, None)

    def decide(self) -> Rate:
        """The rate now; cheap enough to be asked for every frame. Never raises."""
        now = self._clock()
        if self._read_at is None:
            self._read_at = now
            self._read()
        elif now - self._read_at >= _EVERY_SECONDS and not (self._reader and self._reader.is_alive()):
            self._read_at = now
            self._reader = threading.Thread(target=self._read, name="sensors", daemon=True)
            self._reader.start()
        return self._rate

    def _read(self) -> None:
        self._rate = self._decide(_temperature(self._root), _battery(self._root))

    def _decide(self, celsius: float | None, battery: Battery | None) -> Rate:
        self._hot = celsius is not None and celsius >= self._hot_celsius - (_COOLER if self._hot else 0)
        limit = self._low_percent + (_FULLER if self._low else 0)
        self._low = battery is not None and not battery.charging and battery.percent <= limit
        reasons = []
        if self._hot:
            reasons.append(f"{celsius:.0f} C, limit {self._hot_celsius:.0f} C")
        if self._low and battery is not None:
            reasons.append(f"battery at {battery.percent:.0f} %, limit {self._low_percent:.0f} %")
        shown = None if battery is None else battery.to_json()
        if reasons:
            return Rate("reduced", ", ".join(reasons), self._fps, celsius, shown)
        return Rate("full", "", None, celsius, shown)


def _temperature(root: Path) -> float | None:
    """Degrees C of the hottest zone of the processor; of the hottest zone of any kind where none is the processor's."""
    processor: list[float] = []
    others: list[float] = []
    for zone in _folders(root / "sys/class/thermal", "thermal_zone"):
        value = _number(zone / "temp")
        if value is None or not _LOWEST <= value / 1000 <= _HIGHEST:
            continue
        kind = _text(zone / "type").lower()
        (processor if any(name in kind for name in _PROCESSOR) else others).append(value / 1000)
    return max(processor or others, default=None)


def _battery(root: Path) -> Battery | None:
    """The fullest battery that powers the device; those of mice and probes have another scope."""
    found = []
    for supply in _folders(root / "sys/class/power_supply", ""):
        percent = _number(supply / "capacity")
        is_battery = _text(supply / "type").lower() == "battery" and _text(supply / "scope").lower() != "device"
        if is_battery and percent is not None and 0 <= percent <= 100:
            found.append(Battery(percent, _text(supply / "status").lower() != "discharging"))
    if not found:
        return None
    fullest = max(found, key=lambda battery: battery.percent)
    return Battery(fullest.percent, all(battery.charging for battery in found))


def _folders(parent: Path, prefix: str) -> list[Path]:
    try:
        return sorted(path for path in parent.iterdir() if path.name.startswith(prefix))
    except OSError:
        return []


def _text(path: Path) -> str:
    """The first line of a small file; empty if it cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read(_LONGEST).decode("ascii", "replace").partition("\n")[0].strip()
    except (OSError, ValueError):
        return ""


def _number(path: Path) -> float | None:
    try:
        return float(int(_text(path)))
    except ValueError:
        return None
