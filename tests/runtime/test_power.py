from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_cns.runtime import power
from edge_cns.runtime.power import PowerPolicy, Rate


class Machine:
    """A file system with sensors, and a clock."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.now = 0.0
        self.policy = PowerPolicy(root=root, clock=lambda: self.now)

    def zone(self, number: int, temp: object, kind: str = "x86_pkg_temp") -> None:
        self._write(f"sys/class/thermal/thermal_zone{number}", temp=temp, type=kind)

    def supply(self, name: str = "BAT0", **files: object) -> None:
        self._write(f"sys/class/power_supply/{name}", **({"type": "Battery"} | files))

    def battery(self, percent: object, status: str = "Discharging") -> None:
        self.supply(capacity=percent, status=status)

    def decide(self) -> Rate:
        self.now += 2
        return self.read()

    def read(self) -> Rate:
        """What is said once the reading that this may start is done."""
        self.policy.decide()
        if self.policy._reader is not None:
            self.policy._reader.join(10)
        return self.policy.decide()

    def _write(self, folder: str, **files: object) -> None:
        (self.root / folder).mkdir(parents=True, exist_ok=True)
        for name, value in files.items():
            (self.root / folder / name).write_bytes(value if isinstance(value, bytes) else f"{value}\n".encode())


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def test_without_sensors_everything_is_allowed(machine):
    assert machine.decide() == Rate("full", "", None, None, None)


def test_heat_reduces_the_rate_until_it_is_cooler(machine):
    seen = []
    for celsius in (84.9, 85, 84, 80, 79.9, 84.9, 90, 70):
        machine.zone(0, int(celsius * 1000))
        rate = machine.decide()
        assert rate.temperature_c == celsius
        seen.append(rate.state)
    assert seen == ["full", "reduced", "reduced", "reduced", "full", "full", "reduced", "full"]


def test_a_low_battery_reduces_the_rate_until_it_is_charged(machine):
    seen = []
    for percent, status in (
        (21, "Discharging"),
        (20, "Discharging"),
        (24, "Discharging"),
        (26, "Discharging"),
        (10, "Charging"),
        (10, "Discharging"),
        (10, "Not charging"),
        (25, "Discharging"),
        (100, "Full"),
    ):
        machine.battery(percent, status)
        seen.append(machine.decide().state)
    assert seen == ["full", "reduced", "reduced", "full", "full", "reduced", "full", "full", "full"]


def test_what_it_says(machine):
    machine.zone(0, 91000)
    machine.battery(7)
    rate = machine.decide()
    assert (rate.state, rate.fps) == ("reduced", 10.0)
    assert rate.reason == "91 C, limit 85 C, battery at 7 %, limit 20 %"
    assert json.loads(json.dumps(rate.battery)) == {"percent": 7, "charging": False}
    with pytest.raises(AttributeError):
        rate.fps = 30


def test_limits_can_be_given(tmp_path):
    machine = Machine(tmp_path)
    machine.policy = PowerPolicy(5, 60, 50, root=tmp_path, clock=lambda: machine.now)
    machine.zone(0, 61000)
    assert machine.decide().fps == 5
    machine.zone(0, 30000)
    machine.battery(40)
    assert machine.decide().reason == "battery at 40 %, limit 50 %"


def test_the_hottest_zone_of_the_processor_counts(machine):
    machine.zone(0, 99000, "iwlwifi_1")
    assert machine.decide().temperature_c == 99
    machine.zone(1, 50000, "cpu-thermal")
    machine.zone(2, 60000, "SoC")
    machine.zone(10, 40000, "x86_pkg_temp")
    assert machine.decide().temperature_c == 60


def test_sensors_are_read_every_two_seconds(machine):
    machine.zone(0, 40000)
    assert machine.decide().temperature_c == 40
    machine.zone(0, 90000)
    machine.now += 1.9
    assert machine.read().temperature_c == 40
    machine.now += 0.1
    assert machine.read().temperature_c == 90


def test_a_sensor_that_hangs_holds_up_nobody(machine, monkeypatch):
    machine.zone(0, 40000)
    machine.decide()
    answered = threading.Event()
    monkeypatch.setattr(power, "_battery", lambda root: answered.wait(20) and None)
    for _ in range(5):
        machine.now += 2
        assert machine.policy.decide().temperature_c == 40
    assert sum(thread.name == "sensors" for thread in threading.enumerate()) == 1
    answered.set()
    machine.zone(0, 50000)
    machine.policy._reader.join(10)
    assert machine.decide().temperature_c == 50


def test_other_supplies_and_batteries_of_other_things_do_not_count(machine):
    machine.supply("AC", type="Mains", online=1)
    machine.supply("mouse", capacity=1, status="Discharging", scope="Device")
    assert machine.decide().battery is None
    machine.battery(50)
    machine.supply("BAT1", capacity=3, status="Discharging")
    assert machine.decide().battery == {"percent": 50, "charging": False}


@pytest.mark.parametrize("temp", ["", "hot", "nan", "1e5", "999999999", "-60000", b"\xff\xfe", b"9" * 10000, "0x10"])
def test_a_broken_sensor_is_as_none(machine, temp):
    machine.zone(0, temp)
    machine.battery(temp)
    assert machine.decide() == Rate("full", "", None, None, None)


def test_files_that_cannot_be_read(machine):
    thermal = machine.root / "sys/class/thermal"
    (thermal / "thermal_zone0/temp").mkdir(parents=True)
    (thermal / "thermal_zone1").symlink_to("nowhere")
    (thermal / "thermal_zone2").write_text("no folder")
    power = machine.root / "sys/class/power_supply"
    power.write_text("no folder")
    assert machine.decide() == Rate("full", "", None, None, None)


def test_the_machine_at_hand():
    rate = PowerPolicy().decide()
    assert rate.state in ("full", "reduced")
    assert rate.temperature_c is None or -50 <= rate.temperature_c <= 150


@settings(deadline=None)
@given(st.binary(max_size=40), st.binary(max_size=20), st.binary(max_size=20))
def test_any_content(tmp_path_factory, number, kind, status):
    machine = Machine(tmp_path_factory.getbasetemp() / f"machine{os.getpid()}")
    machine._write("sys/class/thermal/thermal_zone0", temp=number, type=kind)
    machine.supply(capacity=number, status=status)
    assert machine.decide().state in ("full", "reduced")
