"""What a machine says beside its images."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_cns.errors import BadInputError, UnsupportedError
from edge_cns.frames import EventKind
from firmware_bridge.igtl.events import parse_event

SPOKEN = set(EventKind) - {EventKind.CONNECTED, EventKind.DISCONNECTED}


@pytest.mark.parametrize("kind", sorted(kind.value for kind in SPOKEN))
def test_every_kind(kind):
    assert parse_event(json.dumps({"kind": kind, "value": "7f3a"})) == (EventKind(kind), "7f3a")
    assert parse_event(json.dumps({"kind": kind})) == (EventKind(kind), "")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is not {"),
        ("[1]", "is not {"),
        ('{"value": "x"}', "is not {"),
        ('{"kind": "exam", "value": 3}', "is not {"),
        ('{"kind": "exam", "value": {"name": "Jane Doe"}}', "is not {"),
        ('{"kind": "exam", "Jane Doe": "x"}', "is not {"),
        ('{"kind": "exam", "kind": "Jane Doe"}', "is not {"),
        (json.dumps({"kind": "exam", "value": "Jane Doe" * 9}), "72 characters"),
        (json.dumps({"kind": "exam", "value": "Jane\nDoe"}), "printable"),
        ("[" * 100_000, "is not {"),
    ],
)
def test_events_that_are_none_and_what_is_not_said_of_them(text, says):
    with pytest.raises(BadInputError) as caught:
        parse_event(text)
    assert says in str(caught.value)
    assert "Jane" not in str(caught.value)


@pytest.mark.parametrize("kind", ["connected", "disconnected", "Jane Doe", ""])
def test_kinds_that_a_machine_cannot_say(kind):
    with pytest.raises(UnsupportedError, match="send one of exam, exam_end") as caught:
        parse_event(json.dumps({"kind": kind}))
    assert "Jane" not in str(caught.value)


@given(st.text(max_size=99))
def test_any_text_is_read_or_refused(text):
    with pytest.raises(BadInputError):
        parse_event(text)
