from __future__ import annotations

import http.client
import json
import math
import re
import socket
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

pytest.importorskip("aiohttp")
pytest.importorskip("prometheus_client")

from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from edge_cns import __version__
from edge_cns.decision.verdict import State
from edge_cns.errors import BadInputError
from edge_cns.runtime.sinks.base import Record, RecordType
from edge_cns.runtime.sinks.health import Health
from edge_cns.runtime.sinks.meters import Meters
from edge_cns.runtime.sinks.runner import SinkRunner
from edge_cns.runtime.sinks.table import open_sink
from tests.runtime.sinks.made import event, json_values, no_signal, selftest, session, status, summary, verdict

SECRET = "0123456789abcdef0123"


class Answer(NamedTuple):
    status: int
    body: str
    headers: http.client.HTTPMessage


def ask(port: int, path: str = "/metrics", method: str = "GET", **headers: str) -> Answer:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request(method, path, headers=headers)
        with connection.getresponse() as answer:
            return Answer(answer.status, answer.read().decode(), answer.headers)


def parsed(text: str) -> dict[str, float]:
    """``name{label="value"}`` to its value."""
    return {
        sample.name + "".join(f"{{{key}={value}}}" for key, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def measured(*records: Record) -> dict[str, float]:
    health = Health()
    meters = Meters(health)
    for record in records:
        health.take(record, time.monotonic_ns())
        meters.take(record)
    return parsed(meters.text().decode())


@pytest.fixture
def serve():
    running = []

    def start(uri: str = "metrics://:0"):
        sink = open_sink(uri)
        running.append(sink)
        sink.start(session())
        return sink

    yield start
    for sink in running:
        sink.close()


def now() -> int:
    return time.monotonic_ns()


def test_what_is_served(serve):
    sink = serve()
    for record in (selftest(), event("engine_started"), verdict(at_ns=now()), status()):
        sink.write(record)
    answer = ask(sink.port)
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    found = parsed(answer.body)
    assert found["edge_cns_healthy"] == 1
    assert found["edge_cns_frames_seen_total"] == 100
    assert all(name.startswith("edge_cns_") for name in found)
    for family in text_string_to_metric_families(answer.body):
        assert family.documentation
        assert not family.name.endswith(("_ms", "_percent", "_mib")), "base units"
    health = ask(sink.port, "/healthz")
    assert (health.status, json.loads(health.body)["state"]) == (200, "class")
    assert "anencephaly" not in answer.body + health.body, "no finding of any patient"


def test_health_over_http(serve):
    sink = serve()
    assert ask(sink.port, "/healthz").status == 503
    sink.write(verdict(at_ns=now()))
    assert ask(sink.port, "/healthz").status == 200
    sink.write(no_signal(now(), "the camera is gone"))
    answer = ask(sink.port, "/healthz")
    assert (answer.status, json.loads(answer.body)["reason"]) == (503, "the camera is gone")
    assert parsed(ask(sink.port).body)["edge_cns_healthy"] == 0


def test_every_value_of_a_status():
    found = measured(selftest(), status())
    expected = {
        "edge_cns_frames_total{outcome=classified}": 90,
        "edge_cns_frames_total{outcome=superseded}": 7,
        "edge_cns_frames_total{outcome=repeated}": 2,
        "edge_cns_frames_pending": 1,
        "edge_cns_frames_per_second{direction=in}": 30,
        "edge_cns_frames_per_second{direction=out}": 29,
        "edge_cns_engine_up": 1,
        "edge_cns_engine_restarts_total": 0,
        "edge_cns_engine_fallback": 0,
        "edge_cns_source_connected": 1,
        "edge_cns_drift_flag": 0,
        "edge_cns_drift_psi{of=novelty}": 0.02,
        "edge_cns_drift_psi{of=confidence}": 0.03,
        "edge_cns_drift_samples": 120,
        "edge_cns_rate_reduced": 0,
        "edge_cns_temperature_celsius": 51.5,
        "edge_cns_battery_ratio": 0.8,
        "edge_cns_battery_charging": 0,
        "edge_cns_recording_bytes": 123456,
        "edge_cns_resident_memory_bytes": 120 * 2**20,
        "edge_cns_sink_dropped_total{sink=jsonl}": 0,
        "edge_cns_sink_failed_total{sink=jsonl}": 1,
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    changed = measured(
        status(
            engine={"state": "fallback", "restarts": 3},
            rate={"state": "reduced"},
            drift={"flag": True, "psi_novelty": None, "psi_confidence": 0.3, "n": 300},
            temperature_c=None,
            battery=None,
            recording=None,
        )
    )
    assert changed["edge_cns_engine_fallback"] == changed["edge_cns_engine_up"] == 1
    assert changed["edge_cns_engine_restarts_total"] == 3
    assert changed["edge_cns_rate_reduced"] == changed["edge_cns_drift_flag"] == 1
    for absent in ("temperature_celsius", "battery_ratio", "recording_bytes", "drift_psi{of=novelty}"):
        assert f"edge_cns_{absent}" not in changed, "what is not known is not said"


def test_what_runs_here():
    (name,) = (name for name in measured(selftest(bundle='a"b\\c\n.cns')) if name.startswith("edge_cns_build_info"))
    assert f"{{model_sha256={'ab' * 32}}}" in name
    assert f"{{version={__version__}}}" in name
    assert "{proof=passed}" in name
    assert "{signature=not verified}" in name
    assert '{bundle=a"b\\c\n.cns}' in name


def test_latencies_are_in_buckets_of_seconds():
    records = [
        verdict(i, latency_ms=ms, age_ms=ms + 10, stages_ms={"preprocess": 0.4, "invoke": ms, "postprocess": 0.2})
        for i, ms in enumerate((0.5, 4.0, 40.0, 5000.0))
    ]
    found = measured(*records)

    def bucket(stage: str, le: str) -> float:
        return found[f"edge_cns_stage_duration_seconds_bucket{{le={le}}}{{stage={stage}}}"]

    assert [bucket("total", le) for le in ("0.0005", "0.005", "0.05", "2.0", "+Inf")] == [1, 2, 3, 3, 4]
    assert [bucket("capture_to_verdict", le) for le in ("0.01", "0.02", "0.05", "+Inf")] == [0, 2, 3, 4]
    assert bucket("preprocess", "0.0005") == bucket("postprocess", "0.0005") == 4
    assert found["edge_cns_stage_duration_seconds_sum{stage=invoke}"] == pytest.approx(5.0445)
    assert found["edge_cns_stage_duration_seconds_count{stage=invoke}"] == 4


def test_a_frame_is_counted_once():
    again = verdict(1)
    records = [verdict(0), again, again, verdict(1, state=State.FROZEN, frozen="announced"), no_signal()]
    records += [
        verdict(2, state=State.NOT_SUPPORTED_VIEW, label=None),
        verdict(3, state=State.INDETERMINATE, label=None),
    ]
    found = measured(*records)
    counted = {s.value: found.get(f"edge_cns_classified_frames_total{{state={s.value}}}") for s in State}
    assert counted == {"class": 2, "indeterminate": 1, "not_supported_view": 1, "frozen": None, "no_signal": None}
    assert found["edge_cns_novelty_ratio"] == 0.25
    assert found["edge_cns_stage_duration_seconds_count{stage=total}"] == 4


def test_the_novelty_ratio_is_of_late():
    strange = [verdict(i, state=State.NOT_SUPPORTED_VIEW, label=None) for i in range(100)]
    usual = [verdict(100 + i) for i in range(300)]
    assert measured(*strange)["edge_cns_novelty_ratio"] == 1
    assert measured(*strange, *usual)["edge_cns_novelty_ratio"] == 0


@pytest.mark.parametrize(
    ("record", "state"),
    [
        (verdict(), "class"),
        (verdict(state=State.FROZEN), "frozen"),
        (no_signal(), "no_signal"),
        (summary(), "no_signal"),
    ],
)
def test_one_state_is_1(record, state):
    found = measured(verdict(), record)
    assert {s.value: found[f"edge_cns_verdict_state{{state={s.value}}}"] for s in State} == {
        s.value: float(s.value == state) for s in State
    }


def test_the_verdict_has_an_age():
    assert measured(verdict(at_ns=now() - 3 * 10**9))["edge_cns_verdict_age_seconds"] == pytest.approx(3.0, abs=0.5)
    assert "edge_cns_verdict_age_seconds" not in measured(selftest())


def test_events_are_counted_and_bounded():
    found = measured(*[event("engine_died")] * 3, *(event(f"e{i}") for i in range(500)))
    assert found["edge_cns_events_total{event=engine_died}"] == 3
    assert sum(name.startswith("edge_cns_events_total") for name in found) == 101
    assert found["edge_cns_events_total{event=other}"] == 401


def test_before_the_first_record_there_is_an_answer():
    found = measured()
    assert found["edge_cns_healthy"] == 0
    assert found["edge_cns_verdict_state{state=no_signal}"] == 1


status_keys = ("frames", "fps_in", "engine", "source", "rate", "drift", "battery", "recording", "sinks", "rss_mib")
verdict_keys = ("state", "sequence", "captured_ns", "probabilities", "latency_ms", "age_ms", "stages_ms", "fallback")


@settings(max_examples=50, deadline=None)
@given(
    st.dictionaries(st.sampled_from(status_keys), json_values),
    st.dictionaries(st.sampled_from(verdict_keys), json_values),
)
def test_any_record(status_value, verdict_value):
    found = measured(Record(RecordType.STATUS, status_value), Record(RecordType.VERDICT, verdict_value))
    assert all(math.isfinite(value) for value in found.values())


@pytest.mark.parametrize(
    ("path", "method", "expected"),
    [
        ("/", "GET", 404),
        ("/metrics/", "GET", 404),
        ("/../etc/passwd", "GET", 404),
        ("/metrics", "POST", 405),
        ("/metrics", "DELETE", 405),
        ("/healthz", "PUT", 405),
        ("/metrics?x=1", "GET", 200),
        ("/metrics", "HEAD", 200),
    ],
)
def test_nothing_else_is_served(serve, path, method, expected):
    assert ask(serve().port, path, method).status == expected


def test_a_token_guards_both(serve, tmp_path):
    path = tmp_path / "token"
    path.write_text(SECRET)
    path.chmod(0o600)
    sink = serve(f"metrics://0.0.0.0:0?token_file={path}")
    for where in ("/metrics", "/healthz"):
        assert ask(sink.port, where).status == 401
        assert ask(sink.port, where, Authorization=f"Bearer {SECRET}").status in (200, 503)


@pytest.mark.parametrize(
    ("uri", "text"),
    [
        ("metrics://0.0.0.0:9090", "needs ?token_file=FILE"),
        ("metrics://[::]:9090", "needs ?token_file=FILE"),
        ("metrics://:9090/metrics", "followed by a path"),
        ("metrics://:99999", "no host and port"),
    ],
)
def test_what_cannot_be_opened(uri, text):
    with pytest.raises(BadInputError) as caught:
        open_sink(uri)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("library", ["aiohttp", "prometheus_client"])
def test_without_its_libraries_it_says_what_to_install(library):
    program = (
        f"import sys\nsys.modules[{library!r}] = None\n"
        "from edge_cns.errors import MissingExtraError\n"
        "from edge_cns.runtime.sinks.table import open_sink\n"
        "try: open_sink('metrics://:0')\n"
        "except MissingExtraError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == f"{library} is not installed; run: pip install 'edge-cns[live]'\n"


def test_a_port_in_use_is_said_at_open():
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(BadInputError, match="address already in use"):
        open_sink(f"metrics://:{taken.getsockname()[1]}")


def test_in_its_runner_with_silent_callers(serve):
    """Whoever connects and says nothing keeps nobody else from being answered, nor the end from coming."""
    sink = open_sink("metrics://:0")
    said: list[str] = []
    runner = SinkRunner(sink, "metrics", lambda _, text: said.append(text))
    runner.start(session())
    for i in range(200):
        runner.put(verdict(i))
    silent = [socket.create_connection(("127.0.0.1", sink.port), timeout=10) for _ in range(20)]
    deadline = time.monotonic() + 10
    while parsed(ask(sink.port).body).get("edge_cns_classified_frames_total{state=class}") != 200:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    started = time.monotonic()
    assert runner.close(5)
    assert time.monotonic() - started < 3
    assert runner.counts == {"dropped": 0, "failed": 0}
    for connection in silent:
        connection.close()
    assert said == []


def test_the_list_for_operators_is_this_one():
    """Each metric in the table of docs/watch.md is served, and each that is served is in the table."""
    page = (Path(__file__).parents[3] / "docs" / "watch.md").read_text()
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    documented = {name for row in rows for name in re.findall(r"`(\w+)(?:\{[\w,]*\})?`", row)}
    found = measured(selftest(), event(), verdict(), status())
    served = {name.partition("{")[0].removeprefix("edge_cns_") for name in found}
    served = {re.sub(r"(stage_duration_seconds)_\w+", r"\1", name) for name in served}
    assert documented == served
