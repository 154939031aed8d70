"""``edge-cns run`` with a machine that speaks OpenIGTLink."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time

import pytest

from edge_cns.data import phantom
from firmware_bridge.igtl.content import decode_status, decode_string
from tests.firmware_bridge.igtl.client import Client, event
from tests.firmware_bridge.igtl.material import image_message


def start(*arguments: object) -> subprocess.Popen:
    command = [sys.executable, "-m", "edge_cns", "run", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def connected(port: int) -> Client:
    for _ in range(400):
        try:
            return Client(port)
        except ConnectionRefusedError:
            time.sleep(0.05)
    raise AssertionError("it does not listen")


def test_a_machine_sends_images_and_is_answered(tiny_bundle, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        uri = f"igtl://127.0.0.1:{probe.getsockname()[1]}"
    log = tmp_path / "log.jsonl"
    session = start(tiny_bundle, "--source", uri, "--sink", uri, "--sink", f"jsonl://{log}", "--policy", "every")
    shown = phantom.frames("normal", size=96)
    heard: list[dict] = []
    with connected(int(uri.rpartition(":")[2])) as client:
        client.send(event("exam", "A"), event("mode", "B"))
        while len(heard) < 12:  # a program that is not ready yet lets images go
            client.send(image_message(next(shown).pixels))
            heard += verdicts(client, wait=0.05)
        session.send_signal(signal.SIGTERM)
        rest = []
        while not rest or rest[-1][0] != "STATUS" or decode_status(rest[-1][2]).name != "leaving":
            rest.append(client.receive())
        assert client.ended()
    out, err = session.communicate(timeout=10)
    assert (session.returncode, out) == (0, "")
    assert "no client sends images yet" in err
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    logged = {line["sequence"]: line for line in lines if line["type"] == "verdict" and line["probabilities"]}
    for told in heard:
        assert told["probabilities"] == logged[told["sequence"]]["probabilities"]
        assert told["exam"] == "A"
        assert 0 < told["expires_in_ms"] <= 500


@pytest.mark.parametrize("scheme", ["igtl", "igtl-client"])
def test_what_cannot_be_opened_is_one_line(tiny_bundle, scheme):
    uri = "igtl://0.0.0.0:18944" if scheme == "igtl" else "igtl-client://127.0.0.1:9"
    session = start(tiny_bundle, "--source", uri)
    out, err = session.communicate(timeout=60)
    assert (session.returncode, out, err.count("\n")) == (2, "", 1)
    assert uri in err


def verdicts(client: Client, wait: float) -> list[dict]:
    """Those on classified frames that come within a while."""
    found, until = [], time.monotonic() + wait
    client.socket.settimeout(wait)
    while time.monotonic() < until:
        try:
            _, device, content, _ = client.receive()
        except TimeoutError:
            break
        if device == "EDGE_CNS_VERDICT":
            told = json.loads(decode_string(content))
            found += [told] if told["probabilities"] else []
    client.socket.settimeout(10)
    return found
