"""What a verdict looks like at the other end, and what happens when there is none."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edge_cns.decision.verdict import State
from edge_cns.errors import OperationError
from edge_cns.runtime.sinks.base import Record, RecordType, Session
from edge_cns.runtime.sinks.table import open_sink
from edge_cns.runtime.sources.table import open_source
from firmware_bridge.igtl import letters
from firmware_bridge.igtl.content import DeviceStatus, decode_array, decode_status, decode_string
from firmware_bridge.igtl.wire import encode
from tests.firmware_bridge.igtl.client import Client, until
from tests.firmware_bridge.igtl.material import grey, image_message, read_all
from tests.firmware_bridge.igtl.test_connector import Machine
from tests.runtime.sinks.made import Controls, event, status, verdict

NAMES = ("anencephaly", "normal")
HEATMAP = np.arange(6, dtype=np.float32).reshape(2, 3)


def session() -> Session:
    bundle: Any = SimpleNamespace(contract=SimpleNamespace(class_names=NAMES))
    return Session(bundle, "igtl://", Controls())


def said(sequence: int = 7, **changes) -> Record:
    record = verdict(sequence, at_ns=time.monotonic_ns(), **changes)
    return replace(record, verdict=replace(record.verdict, heatmap=HEATMAP))


@pytest.fixture
def served():
    sink = open_sink("igtl://127.0.0.1:0")
    sink.start(session())
    with Client(sink.endpoint.port) as client:
        until(lambda: sink.endpoint.peers)
        yield sink, client
    sink.close()


def test_a_verdict_is_four_messages(served):
    sink, client = served
    assert not sink.lossless
    sink.write(said())
    found = {}
    for kind, device, content, version in (client.receive() for _ in range(4)):
        found[device] = kind, content, version
    assert {device: kind for device, (kind, _, _) in found.items()} == {
        "EDGE_CNS_VERDICT": "STRING",
        "EDGE_CNS_STATE": "STATUS",
        "EDGE_CNS_PROBS": "NDARRAY",
        "EDGE_CNS_HEATMAP": "NDARRAY",
    }
    assert {version for _, _, version in found.values()} == {1}
    told = json.loads(decode_string(found["EDGE_CNS_VERDICT"][1]))
    assert (told["type"], told["state"], told["label"], told["sequence"]) == ("verdict", "class", "anencephaly", 7)
    assert told["expires_in_ms"] == pytest.approx(500 - told["age_ms"], abs=1e-6)
    assert 8 <= told["age_ms"] < 500
    assert decode_status(found["EDGE_CNS_STATE"][1]) == DeviceStatus(1, "class", "")
    probabilities = decode_array(found["EDGE_CNS_PROBS"][1])
    np.testing.assert_array_equal(probabilities, np.array([0.9, 0.1], np.float32))
    np.testing.assert_array_equal(decode_array(found["EDGE_CNS_HEATMAP"][1]), HEATMAP)


def test_the_messages_of_a_verdict_belong_together():
    data = letters.verdict(said(2**32 + 5), NAMES).encoded(2)
    messages = read_all(data)
    assert len({message.header.time_stamp for message in messages}) == 1
    assert messages[0].header.time_stamp >> 32 == pytest.approx(time.time(), abs=5)
    assert data[58 + 8 : 58 + 12] == (5).to_bytes(4, "big"), "the message id"


def test_no_signal_is_not_ready(served):
    sink, client = served
    record = said(state=State.NO_SIGNAL, label=None, reason="the source is gone")
    sink.write(replace(record, verdict=replace(record.verdict, probabilities={}, heatmap=None)))
    assert client.receive()[:2] == ("STRING", "EDGE_CNS_VERDICT")
    _, _, content, _ = client.receive()
    assert decode_status(content) == DeviceStatus(13, "no_signal", "the source is gone")
    client.send(encode("GET_STATUS", "", b""))
    assert client.receive()[2] == content, "no array came in between, and asking gives the same"


def test_an_expired_verdict_is_not_sent(served):
    sink, client = served
    sink.write(verdict(1, at_ns=time.monotonic_ns() - 10**9))
    sink.write(said(2))
    assert json.loads(decode_string(client.receive()[2]))["sequence"] == 2


def test_asking_for_the_state_gives_no_stale_one(served):
    sink, client = served
    for age_ns, name in ((0, "class"), (10**9, "no_signal")):
        sink.endpoint.show(DeviceStatus(1, "class", ""), time.monotonic_ns() + 10**9 // 2 - age_ns)
        client.send(encode("GET_STATUS", "", b""))
        assert decode_status(client.receive()[2]).name == name


def test_exam_statements_are_sent_and_nothing_else(served):
    sink, client = served
    sink.write(event())
    sink.write(status())
    sink.write(Record(RecordType.EXAM, {"exam": "7f", "outcome": "finding", "label": "anencephaly"}))
    kind, device, content, _ = client.receive()
    assert (kind, device) == ("STRING", "EDGE_CNS_EXAM")
    assert json.loads(decode_string(content)) == {
        "type": "exam",
        "exam": "7f",
        "outcome": "finding",
        "label": "anencephaly",
    }


def test_every_client_is_told_in_its_own_version(served):
    sink, client = served
    with Client(sink.endpoint.port) as newer:
        newer.send(encode("STATUS", "Slicer", b"", version=2))
        until(lambda: sink.endpoint.counts["messages"] == 1)
        sink.write(said())
        assert newer.receive()[3] == 2
        assert client.receive()[3] == 1


def test_a_sink_takes_no_images(served):
    sink, client = served
    client.send(image_message(grey()), encode("GET_STATUS", "", b""))
    assert client.receive()[0] == "STATUS"
    assert sink.endpoint.counts["images"] == 0


def test_the_reply_of_a_source_goes_to_whoever_sends():
    source = open_source("igtl://127.0.0.1:0", live=True)
    source.reply.start(session())
    with Client(source.endpoint.port) as client:
        client.send(image_message(grey()))
        until(lambda: source.endpoint.peers)
        source.reply.write(said())
        assert client.receive()[1] == "EDGE_CNS_VERDICT"
    source.reply.write(said())  # nobody is there: no fault
    source.reply.close()
    source.close()


def test_a_receiver_that_is_lost_is_said_and_connected_again():
    machine = Machine()
    sink = open_sink(machine.uri)
    sink.start(session())
    with machine.accept() as client:
        sink.write(said())
        assert client.receive()[1] == "EDGE_CNS_VERDICT"
    until(lambda: not sink.endpoint.peers)
    with pytest.raises(OperationError, match="nobody is connected"):
        sink.write(said())
    with machine.accept() as client:
        until(lambda: sink.endpoint.peers)
        sink.write(said())
        assert client.receive()[1] == "EDGE_CNS_VERDICT"
        sink.close()
        assert client.ended()
    machine.close()


def test_a_slow_reader_loses_the_oldest(served):
    sink, client = served
    for i in range(20_000):
        sink.write(Record(RecordType.EXAM, {"n": i, "filling": "x" * 200}))
    sink.write(Record(RecordType.EXAM, {"n": "last"}))
    numbers = []
    while "last" not in numbers:
        numbers.append(json.loads(decode_string(client.receive()[2]))["n"])
    assert numbers[:-1] == sorted(numbers[:-1])
    (connection,) = sink.endpoint._connections
    assert connection.dropped == 20_001 - len(numbers) > 0
