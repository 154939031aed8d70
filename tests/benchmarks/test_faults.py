"""The script that injects faults finds what it looks for."""

from __future__ import annotations

import pytest

from benchmarks.faults import FAULTS, run_trial
from edge_cns.bundle import read_bundle


@pytest.mark.parametrize(
    ("name", "state"),
    [("source black", "no_signal"), ("engine killed", "no_signal"), ("source frozen, announced", "frozen")],
)
def test_a_fault_is_said_and_nothing_stale_is_shown(tiny_bundle, name, state):
    trial = run_trial(read_bundle(tiny_bundle), FAULTS[name])
    assert trial["said"] == state
    assert 0 < trial["blind_ms"] < 1500
    assert trial["stale"] == 0
    assert trial["adds_up"]
    assert trial["restarts"] == (name == "engine killed")


def test_every_fault_that_must_be_said_has_its_word():
    words = {"no_signal", "frozen", "not_supported_view"}
    assert all(set(fault.expected) <= words for fault in FAULTS.values())
    assert sum(bool(fault.expected) for fault in FAULTS.values()) >= 14
