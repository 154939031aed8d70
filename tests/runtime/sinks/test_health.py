from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_cns.decision.verdict import State
from edge_cns.runtime.sinks.base import Record, RecordType
from edge_cns.runtime.sinks.health import Health
from tests.runtime.sinks.made import SECOND, event, json_values, no_signal, selftest, status, summary, verdict

NOW = 100 * SECOND


def health(*records: Record) -> Health:
    taken = Health()
    for record in records:
        taken.take(record, NOW)
    return taken


@pytest.mark.parametrize(
    "record",
    [
        verdict(at_ns=NOW),
        verdict(at_ns=NOW, state=State.INDETERMINATE, label=None, reason="could be normal or anencephaly"),
        verdict(at_ns=NOW, state=State.NOT_SUPPORTED_VIEW, label=None),
        verdict(at_ns=NOW, state=State.FROZEN, frozen="announced"),
    ],
)
def test_a_live_or_held_verdict_is_healthy(record):
    healthy, report = health(selftest(), record, status()).report(NOW + SECOND)
    assert healthy
    assert report["reason"] == ""
    assert report["state"] == record.value["state"]
    assert report["age_ms"] == 1008.0
    assert report["engine"] == {"backend": "litert", "state": "up", "restarts": 0}
    assert "anencephaly" not in json.dumps(report), "a health check is no place for a finding"


@pytest.mark.parametrize(
    ("records", "after_s", "reason"),
    [
        ((), 0, "no record yet"),
        ((selftest(), event()), 0, "no verdict yet"),
        ((no_signal(NOW, "the camera is gone"), status()), 0, "the camera is gone"),
        ((no_signal(NOW, ""),), 0, "no signal"),
        ((verdict(at_ns=NOW), status(engine={"state": "down"})), 0, "the engine is down"),
        ((verdict(at_ns=NOW),), 2.0, "no record for 2.0 s"),
        ((verdict(at_ns=NOW), status()), 3600, "no record for 3600.0 s"),
        ((verdict(at_ns=NOW), status(), summary(ended="stopped")), 0, "the session is over: stopped"),
    ],
)
def test_otherwise_it_says_why(records, after_s, reason):
    taken = health(*records)
    healthy, report = taken.report(NOW + int(after_s * SECOND))
    assert not healthy
    assert report["reason"] == reason
    assert report["state"] == "no_signal"


def test_it_recovers():
    taken = health(no_signal(NOW), status(engine={"state": "restarting"}))
    assert not taken.report(NOW)[0]
    taken.take(verdict(at_ns=NOW), NOW)
    assert taken.report(NOW)[0]


keys = ("state", "captured_ns", "engine", "drift", "rate", "source", "reason", "ended", "fallback")


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(RecordType), st.dictionaries(st.sampled_from(keys), json_values)), max_size=4)
)
def test_any_record(records):
    taken = health(*(Record(kind, value) for kind, value in records))
    healthy, report = taken.report(NOW)
    assert healthy in (True, False)
    assert isinstance(report["state"], str)
