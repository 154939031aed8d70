from __future__ import annotations

import importlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_cns.bundle import read_bundle, reseal
from edge_cns.errors import BadInputError, EdgeCnsError
from edge_cns.frames import EventKind
from edge_cns.runtime.backends import table
from edge_cns.runtime.backends.litert import LiteRT
from edge_cns.runtime.recording import replay as module
from edge_cns.runtime.recording.layout import Kind
from edge_cns.runtime.recording.recorder import Recorder
from edge_cns.runtime.recording.replay import replay
from tests.runtime.recording.made import KEY, Film, Script, pictures, record_session, rewrite


class Reference(LiteRT):
    """Without XNNPACK: on some processors a few steps apart."""

    name = "reference"

    def __init__(self, model, *, threads=1):
        super().__init__(model, threads=threads, xnnpack=False)


class OneStep(LiteRT):
    """One step off in one number of each output."""

    name = "one_step"
    steps = 1

    def output(self, name):
        values = super().output(name)
        first = values.reshape(-1)[:1]
        first -= np.int8(self.steps if first[0] > 0 else -self.steps)
        return values


class ManySteps(OneStep):
    name = "many_steps"
    steps = 100


@pytest.fixture
def engines(monkeypatch):
    """Other engines, in the table."""
    for kind in (Reference, OneStep, ManySteps):
        monkeypatch.setitem(table.BACKENDS, kind.name, (__name__, kind.__name__))
    monkeypatch.setattr(importlib, "import_module", _import(importlib.import_module))


def _import(real):
    here = type("here", (), {kind.__name__: kind for kind in (Reference, OneStep, ManySteps)})
    return lambda name: here if name == __name__ else real(name)


def test_a_session_is_replayed_to_the_bit_twice(session_recording, tiny_bundle):
    reports = [replay(session_recording, bundle=tiny_bundle, key=KEY) for _ in range(2)]
    first, second = (json.dumps(report.to_json()) for report in reports)
    assert first == second
    report = reports[0]
    assert report.result == "identical"
    assert report.same_engine
    assert report.same_bundle
    assert report.notes == []
    assert report.kept == report.verdicts > 25
    assert (report.not_kept, report.records_left_out) == (0, 0)


def test_every_record_of_the_monitor_was_compared(tiny_bundle, tmp_path):
    state, said = record_session(tmp_path / "r", tiny_bundle)
    report = replay(tmp_path / "r", bundle=tiny_bundle, key=KEY)
    of_monitor = [record for record in said if record.type.value not in ("status", "summary", "selftest")]
    kinds = {record.type.value for record in of_monitor}
    assert kinds == {"event", "verdict", "exam"}
    assert report.records == len(of_monitor)
    assert state["frames_kept"] == report.kept
    states = {record.value["state"] for record in of_monitor if record.type.value == "verdict"}
    assert {"frozen", "not_supported_view", "no_signal"} <= states, "the film has them, so they were replayed"


def test_policy_latest_is_replayed_too(tiny_bundle, tmp_path):
    record_session(tmp_path / "r", tiny_bundle, policy="latest", key=None)
    report = replay(tmp_path / "r", bundle=tiny_bundle)
    assert (report.result, report.records_left_out) == ("identical", 0)


def test_another_engine_within_tolerance(small_recording, tiny_bundle, engines):
    report = replay(small_recording, bundle=tiny_bundle, key=KEY, backend="one_step")
    found = report.to_json()
    assert report.result == "within tolerance of another engine"
    assert not report.same_engine
    assert found["recorded"]["engine"]["name"] == "litert"
    assert found["here"]["engine"]["name"] == "one_step"
    assert found["frames"]["differing"] == 12
    assert {name: found["outputs"][name]["largest_steps"] for name in found["outputs"]} == dict.fromkeys(
        ("logits", "cam", "embedding"), 1
    )
    assert found["verdicts"]["fields"]["probabilities"] > 0
    assert {place["expected"] for place in found["first_differences"]} == {True}


def test_reference_kernels_are_within_tolerance_or_identical(small_recording, tiny_bundle, engines):
    report = replay(small_recording, bundle=tiny_bundle, key=KEY, backend="reference")
    assert report.result in ("within tolerance of another engine", "identical")
    assert not report.same_engine


def test_another_engine_beyond_tolerance(small_recording, tiny_bundle, engines, monkeypatch):
    monkeypatch.setattr(module, "check_golden", lambda *_: False)  # it would be refused there
    report = replay(small_recording, bundle=tiny_bundle, key=KEY, backend="many_steps")
    assert report.result == "different"
    assert report.largest_steps["logits"] == 100
    assert report.places[0]["where"].startswith("000001.ecr, record ")


def test_the_same_engine_may_not_differ_by_a_step(small_recording, tiny_bundle, tmp_path):
    def change(kind, value, attached):
        if value.get("seen") == "Result" and value["verdict"]["sequence"] == 5:
            attached = bytes([attached[0] ^ 1]) + attached[1:]
        return value, attached

    folder = rewrite(small_recording, tmp_path / "r", change)
    report = replay(folder, bundle=tiny_bundle, key=KEY)
    assert (report.result, report.frames_differing) == ("different", 1)
    assert report.to_json()["outputs"]["logits"]["largest_steps"] == 1


@pytest.mark.parametrize("field", ["state", "label", "probability", "reason", "region", "calibrated"])
def test_a_verdict_that_does_not_follow_from_its_outputs_is_found(plain_recording, tiny_bundle, tmp_path, field):
    def change(kind, value, attached):
        if value.get("seen") == "Result" and value["verdict"]["sequence"] == 2:
            region = [1, 1, 9, 9]
            value["verdict"][field] = region if field == "region" else "forged"
        return value, attached

    folder = rewrite(plain_recording, tmp_path / "r", change, None)
    report = replay(folder, bundle=tiny_bundle)
    assert (report.result, dict(report.fields_differing)) == ("different", {field: 1})


def test_a_record_that_was_never_said_is_found(plain_recording, tiny_bundle, tmp_path):
    def change(kind, value, attached):
        if value.get("seen") == "SourceEnded":
            value["records"][-1][1]["reason"] = "forged"
        return value, attached

    folder = rewrite(plain_recording, tmp_path / "r", change, None)
    report = replay(folder, bundle=tiny_bundle)
    assert (report.result, report.records_differing) == ("different", 1)
    assert report.places[0]["how"] == ["verdict: reason"]


def test_the_frames_of_an_engine_that_lied_are_found(tiny_bundle, tmp_path, monkeypatch):
    for attempt in range(5):  # the check may find it out before a frame was run
        monkeypatch.setenv("EDGE_CNS_FAULT", "garbage@2")
        _, said = record_session(tmp_path / f"r{attempt}", tiny_bundle, source=Film(140), backend="fake")
        assert "engine_died" in [record.value.get("event") for record in said]
        monkeypatch.delenv("EDGE_CNS_FAULT")
        report = replay(tmp_path / f"r{attempt}", bundle=tiny_bundle, key=KEY)
        if report.frames_differing:
            break
    assert report.result == "different"
    assert 0 < report.frames_differing < report.kept
    assert report.largest_steps["logits"] > 10
    assert (report.places[0]["what"], report.places[0]["expected"]) == ("outputs", False)
    assert ", frame " in report.places[0]["where"]
    assert all(place["expected"] for place in report.places if place["what"] != "outputs"), "they follow from those"


def test_frames_that_were_not_kept_are_read_from_their_outputs(session_recording, tiny_bundle, tmp_path):
    """Colour and another mode among them: what only pixels can tell comes from the verdict."""

    def change(kind, value, attached):
        if value.get("seen") == "Result":
            shapes = value["outputs"].values()
            attached = attached[: sum(int(np.prod(shape)) for shape in shapes)]
            value["frame"] = None
        return value, attached

    folder = rewrite(session_recording, tmp_path / "r", change)
    report = replay(folder, bundle=tiny_bundle, key=KEY)
    assert report.result == "identical"
    assert (report.kept, report.not_kept) == (0, report.verdicts)
    assert report.records_left_out == 0


def test_a_recording_that_lost_its_beginning_knows_the_mode(tiny_bundle, tmp_path):
    recorder = Recorder(tmp_path / "r", read_bundle(tiny_bundle), key=KEY, limit_bytes=120_000, options={})
    script = Script(tiny_bundle, recorder)
    script.start()
    script.say(EventKind.MODE, "doppler")
    for pixels in pictures(30):
        script.frame(pixels)
    script.finish()
    report = replay(tmp_path / "r", bundle=tiny_bundle, key=KEY)
    assert report.result == "identical"
    assert 0 < report.verdicts < 30
    assert (report.records, report.records_left_out > 0) == (0, True)
    assert "begins in mid-session" in report.notes[0]


def test_the_bundle_is_found_beside_the_folder_or_in_the_working_folder(
    small_recording, tiny_bundle, tmp_path, monkeypatch
):
    folder = shutil.copytree(small_recording, tmp_path / "a" / "r")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInputError, match=r"'tiny.cns' lies neither beside .* give --bundle NAME.cns"):
        replay(folder, key=KEY)
    shutil.copytree(tiny_bundle, tmp_path / "tiny.cns")
    assert replay(folder, key=KEY).result == "identical"
    (tmp_path / "tiny.cns").rename(tmp_path / "a" / "tiny.cns")
    assert replay(folder, key=KEY).result == "identical"


def test_a_bundle_of_another_model_has_to_be_meant(small_recording, bundle_copy, tmp_path):
    folder = shutil.copytree(small_recording, tmp_path / "r")
    contract = json.loads((bundle_copy / "contract.json").read_text())
    contract["decision"]["temperature"] = 3.0
    (bundle_copy / "contract.json").write_text(json.dumps(contract))
    reseal(bundle_copy)
    bundle_copy.rename(tmp_path / "tiny.cns")
    with pytest.raises(BadInputError, match=r"tiny.cns has another contract than the recorded"):
        replay(folder, key=KEY)
    report = replay(folder, bundle=tmp_path / "tiny.cns", key=KEY)
    assert report.result == "different"
    assert report.frames_differing == 0, "the model is the same"
    assert "probabilities" in report.fields_differing
    assert "the bundle is another than the recorded one" in report.notes


def test_a_name_from_a_file_is_no_path(small_recording, tmp_path, tiny_bundle):
    def change(kind, value, attached):
        if kind is Kind.HEADER:
            value["header"]["bundle"] = f"../{tiny_bundle.parent.name}/tiny.cns"
        return value, attached

    target = tiny_bundle.parent / "hostile"
    try:
        folder = rewrite(small_recording, target, change)
        with pytest.raises(BadInputError, match="give --bundle"):
            replay(folder, key=KEY)
    finally:
        shutil.rmtree(target)


def test_nothing_to_replay(small_recording, tiny_bundle, tmp_path):
    folder = rewrite(
        small_recording, tmp_path / "r", lambda kind, *rest: rest if kind in (Kind.HEADER, Kind.END) else None
    )
    with pytest.raises(BadInputError, match="holds nothing to replay"):
        replay(folder, bundle=tiny_bundle, key=KEY)


@pytest.fixture(scope="module")
def loaded(tiny_bundle):
    """What replaying costs most, done once."""
    bundle = read_bundle(tiny_bundle)

    class Kept(LiteRT):
        def close(self):
            """It is needed again."""

    return bundle, Kept(bundle.files["model.tflite"])


_LEAVES = st.sampled_from(
    [None, True, 0, -1, 1, 2**62, -(2**62), 2**70, 0.5, 1e308, float("inf"), "", "x", "normal", [], [0], {}]
)


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(data=st.data())
def test_hostile_values_in_sealed_records_are_one_line_or_a_difference(plain_recording, loaded, tmp_path_factory, data):
    """Not encrypted, so anybody can make one whose digests fit."""
    count = data.draw(st.integers(0, 30))

    def change(kind, value, attached):
        nonlocal count
        count -= 1
        if count == 0 or (count < 0 and data.draw(st.integers(0, 9)) == 0):
            value = _change(data, value)
            value = value if isinstance(value, dict) else {"value": value}
        return value, attached

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "read_bundle", lambda *_: loaded[0])
        patch.setattr(module, "open_backend", lambda name, model: loaded[1])
        patch.setattr(module, "check_golden", lambda *_: True)
        folder = rewrite(plain_recording, tmp_path_factory.mktemp("hostile") / "r", change, None)
        try:
            said = json.dumps(replay(folder, bundle=Path("tiny.cns")).to_json(), allow_nan=False)
        except EdgeCnsError as error:
            said = str(error)
    assert said
    assert "\n" not in said


def _change(data, value):
    """One leaf, or one branch, of a JSON value made into something else."""
    if isinstance(value, dict) and value and data.draw(st.integers(0, 7)):
        key = data.draw(st.sampled_from(sorted(value)))
        return value | {key: _change(data, value[key])}
    if isinstance(value, list) and value and data.draw(st.integers(0, 7)):
        i = data.draw(st.integers(0, len(value) - 1))
        return [*value[:i], _change(data, value[i]), *value[i + 1 :]]
    return data.draw(_LEAVES)
