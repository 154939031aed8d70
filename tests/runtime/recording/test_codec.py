from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edge_cns.decision.verdict import State, Verdict
from edge_cns.errors import BadInputError
from edge_cns.frames import EventKind, Frame, Region
from edge_cns.runtime.live.observations import (
    Arrived,
    Control,
    EngineChanged,
    Machine,
    Pictured,
    Result,
    SourceEnded,
    Tick,
    Unusable,
    Verified,
)
from edge_cns.runtime.recording.codec import Entry, KeptResult, decode, encode, pack, unpack

OUTPUTS = {
    "logits": np.array([1, -2, 127], np.int8),
    "cam": np.arange(12, dtype=np.int8).reshape(2, 2, 3)[:, ::-1],
    "embedding": np.array([-128, 5], np.int8),
}
VERDICT = Verdict(
    State.CLASS,
    "normal",
    0.1 + 0.2,
    {"normal": 0.1 + 0.2, "other": 1e-300},
    "",
    7,
    10,
    20,
    30,
    2.5,
    None,
    True,
    "passed",
)
RESULT = Result(25, 20, VERDICT, Region(1, 2, 3, 4), {"invoke": 1.5})


def there_and_back(entry):
    payload = encode(entry)
    return decode(*unpack(payload, "here"), "here")


@pytest.mark.parametrize(
    "seen",
    [
        Arrived(1, -1, 2),
        Pictured(2, 2**32 - 1, "the image is black"),
        Verified(3),
        EngineChanged(4, True, "litert", 99, "", "on the CPU: why"),
        Machine(5, EventKind.EXAM, "né \ud800\n"),
        Unusable(6, "frame is 3x3 px"),
        SourceEnded(7, "the source ended"),
        Control(8, "reject", "a note"),
        Tick(9),
    ],
)
def test_an_observation_comes_back(seen):
    back, records = there_and_back(Entry(seen, records=(("event", {"at_ns": 1, "detail": "é"}),)))
    assert back == seen
    assert type(back) is type(seen)
    assert records == [["event", {"at_ns": 1, "detail": "é"}]]


@pytest.mark.parametrize("kept", [True, False])
def test_a_result_comes_back(kept):
    frame = Frame(np.random.default_rng(0).integers(0, 256, (70, 80), np.uint8), 10, 7)
    back, _ = there_and_back(Entry(RESULT, frame if kept else None, OUTPUTS))
    assert isinstance(back, KeptResult)
    assert (back.now_ns, back.arrived_ns) == (25, 20)
    assert back.stages_ms == {"invoke": 1.5}
    assert back.verdict == VERDICT.to_json() | {"region": [1, 2, 3, 4]}
    for name, values in OUTPUTS.items():
        np.testing.assert_array_equal(back.outputs[name], values)
    assert (back.frame is not None) is kept
    if kept:
        np.testing.assert_array_equal(back.frame.pixels, frame.pixels)


def test_what_is_no_json_is_refused():
    with pytest.raises(ValueError, match="JSON"):
        encode(Entry(replace(RESULT, verdict=replace(VERDICT, probability=float("nan"))), None, OUTPUTS))


def changed(*path, to):
    value = dict(unpack(encode(Entry(RESULT, None, OUTPUTS)), "here")[0])
    inner = value
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = to
    return value


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"seen": "Tick"},
        {"seen": "Tick", "values": [], "records": []},
        {"seen": "Tick", "values": {"now_ns": "1"}, "records": []},
        {"seen": "Tick", "values": {"now_ns": 10**30}, "records": []},
        {"seen": "Tick", "values": {"now_ns": 1}, "records": {}},
        {"seen": "Tick", "values": {"now_ns": 1, "more": 2}, "records": []},
        {"seen": "Machine", "values": {"now_ns": 1, "kind": "other", "value": ""}, "records": []},
        {"seen": "Control", "values": {"now_ns": 1, "action": "erase", "note": ""}, "records": []},
        {"seen": "os.system", "values": {}, "records": []},
        {"seen": ["Tick"], "values": {}, "records": []},
        changed("now_ns", to=1.0),
        changed("verdict", to=[]),
        changed("verdict", "emitted_ns", to=2**64),
        changed("verdict", "latency_ms", to="fast"),
        changed("verdict", "reason", to=None),
        changed("verdict", "region", to=[0, 0, -1, 4]),
        changed("verdict", "region", to=[0, 0, 4]),
        changed("outputs", "logits", to=[2**40]),
        changed("outputs", "logits", to=[-3]),
        changed("outputs", "cam", to=[10**9, 10**9, 10**9]),
        changed("outputs", "cam", to="223"),
        changed("stages_ms", to=[1.0]),
        changed("stages_ms", to={"invoke": "fast"}),
        changed("frame", to={}),
        changed("frame", to=7),
    ],
)
def test_a_hostile_observation_is_one_line(value):
    with pytest.raises(BadInputError, match=r"^here: it holds no observation") as caught:
        decode(value, memoryview(bytes(17)), "here")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\0\0\0",
        b"\xff\xff\xff\xff{}",
        b"\0\0\0\x02[]",
        b"\0\0\0\x02{]",
        b"\0\0\0\x03NaN",
        b"\0\x10\0\0" + b"[" * 2**20,
    ],
)
def test_a_hostile_payload_is_one_line(payload):
    with pytest.raises(BadInputError, match=r"^here") as caught:
        unpack(payload, "here")
    assert "\n" not in str(caught.value)


def test_text_and_attachment_are_told_apart():
    value, attached = unpack(pack({"a": 1}, b"two", b"three"), "here")
    assert (value, bytes(attached)) == ({"a": 1}, b"twothree")
