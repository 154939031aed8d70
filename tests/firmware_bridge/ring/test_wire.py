"""The messages of the ring, as Python reads and writes them."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_cns.errors import BadInputError
from firmware_bridge.ring import wire

VECTORS = json.loads(Path(__file__).with_name("vectors.json").read_text())
KINDS = {
    kind.__name__: kind
    for kind in (
        wire.Hello,
        wire.Refused,
        wire.FrameMessage,
        wire.Event,
        wire.Release,
        wire.Welcome,
        wire.ResultMessage,
    )
}


def made(name: str, fields: dict):
    """A message of the fields that a vector has."""
    values = dict(fields)
    for key in ("region", "mm_per_pixel", "names"):
        if key in values:
            values[key] = tuple(values[key])
    if "model_sha256" in values:
        values["model_sha256"] = bytes.fromhex(values["model_sha256"])
    for key in ("probabilities", "heat"):
        if key in values:
            values[key] = np.array(values[key], np.float32)
    return KINDS[name](**values)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: v["name"])
def test_vectors(vector):
    message = made(vector["message"], vector["fields"])
    assert message.pack().hex() == vector["hex"]
    read = type(message).unpack(bytes.fromhex(vector["hex"]))
    assert read.pack() == message.pack()


numbers = {"u64": st.integers(0, 2**64 - 1), "i64": st.integers(-(2**63), 2**63 - 1), "u32": st.integers(0, 2**32 - 1)}
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=15)


@given(numbers["u64"], numbers["i64"], numbers["u32"], st.tuples(*[st.integers(-(2**31), 2**31 - 1)] * 4), texts)
def test_what_is_written_is_read(u64, i64, u32, region, text):
    frame = wire.FrameMessage(u64, i64, u32, u32, u32, u32, u32, u32, region, (0.25, math.pi), u64)
    assert wire.FrameMessage.unpack(frame.pack()) == frame
    event = wire.Event(i64, u32, 0, text)
    assert wire.Event.unpack(event.pack()) == event
    hello = wire.Hello(u64, u64, u64, u32, u32, text)
    assert wire.Hello.unpack(hello.pack()) == hello


@given(st.text(st.characters(exclude_characters="\0"), max_size=400))
def test_text_is_cut_at_the_end_of_a_character(text):
    read = wire.Refused.unpack(wire.Refused(text).pack()).text
    assert len(read.encode()) < 248
    assert text.encode(errors="replace").decode().startswith(read)


@given(st.sampled_from(VECTORS), st.data())
def test_no_damage_is_read_as_anything_but_a_refusal(vector, data):
    content = bytearray.fromhex(vector["hex"])
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content)))
    for message in (bytes(content), bytes(content[:cut])):
        for kind in KINDS.values():
            with suppress(BadInputError):
                kind.unpack(message)
