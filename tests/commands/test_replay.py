from __future__ import annotations

import json
import os
import shutil

import pytest

from tests.runtime.recording.made import KEY, record_script, rewrite


@pytest.fixture(scope="module")
def recording(tiny_bundle, tmp_path_factory):
    """Six frames, sealed with `KEY`. Do not write to it."""
    folder = tmp_path_factory.mktemp("recorded") / "r"
    record_script(folder, tiny_bundle, frames=6)
    return folder


@pytest.fixture
def key(tmp_path):
    path = tmp_path / "record.key"
    path.write_text(KEY.hex())
    path.chmod(0o600)
    return path


def one_line(outcome, *words):
    """A refusal: nothing on standard output, one line on standard error."""
    assert (outcome.status, outcome.out) == (2, "")
    (line,) = outcome.err.splitlines()
    assert line.startswith("error: ")
    for word in words:
        assert word in line


def test_text(cli, recording, tiny_bundle, key):
    outcome = cli("replay", recording, "--bundle", tiny_bundle, "--key", key)
    assert (outcome.status, outcome.err) == (0, "")
    lines = outcome.out.splitlines()
    assert lines[-1] == "identical"
    assert "tiny.cns on litert" in lines[0]
    assert lines[1].endswith(": the same engine and machine")
    assert [line.split()[:2] for line in lines[2:5]] == [["outputs", "6"], ["verdicts", "6"], ["records", "10"]]
    assert all(line.endswith("compared, all identical") for line in lines[2:5])


def test_json_is_the_same_twice(cli, recording, tiny_bundle, key):
    first, second = (cli("replay", recording, "--bundle", tiny_bundle, "--key", key, "--json") for _ in range(2))
    assert first == second
    assert (first.status, first.err) == (0, "")
    assert first.json["result"] == "identical"
    assert first.json["frames"] == {"classified": 6, "compared": 6, "not_kept": 0, "identical": 6, "differing": 0}


def test_the_bundle_beside_it_needs_no_name(cli, recording, tiny_bundle, key, tmp_path):
    shutil.copytree(tiny_bundle, tmp_path / "tiny.cns")
    shutil.copytree(recording, tmp_path / "r")
    assert cli("replay", tmp_path / "r", "--key", key).status == 0


def test_bad_input_is_one_line(cli, recording, tiny_bundle, key, tmp_path):
    one_line(cli("replay", recording, "--key", key), "'tiny.cns'", "give --bundle NAME.cns")
    arguments = ("--bundle", tiny_bundle)
    one_line(cli("replay", recording, *arguments), "encrypted", "--key FILE")
    one_line(cli("replay", tmp_path / "none", *arguments, "--key", key), "does not exist", "--record")
    one_line(cli("replay", tiny_bundle, *arguments, "--key", key), "holds no recording")
    one_line(cli("replay", recording, "--bundle", tmp_path, "--key", key), "manifest.json")
    one_line(cli("replay", recording, *arguments, "--key", key, "--backend", "abacus"), "no backend 'abacus'", "litert")
    one_line(cli("replay", recording, *arguments, "--key", tmp_path / "none"), "cannot be read")
    key.write_text(KEY[::-1].hex())
    one_line(cli("replay", recording, *arguments, "--key", key), "another key")
    key.chmod(0o644)
    one_line(cli("replay", recording, *arguments, "--key", key), "chmod 600")


def test_damage_names_segment_and_record(cli, recording, tiny_bundle, key, tmp_path):
    shutil.copytree(recording, tmp_path / "r")
    segment = tmp_path / "r" / "000001.ecr"
    content = bytearray(segment.read_bytes())
    content[len(content) // 2] ^= 1
    segment.write_bytes(content)
    one_line(cli("replay", tmp_path / "r", "--bundle", tiny_bundle, "--key", key), "000001.ecr, record ")


def test_an_early_end_is_said(cli, recording, tiny_bundle, key, tmp_path):
    shutil.copytree(recording, tmp_path / "r")
    segment = tmp_path / "r" / "000001.ecr"
    os.truncate(segment, segment.stat().st_size * 2 // 3)
    outcome = cli("replay", tmp_path / "r", "--bundle", tiny_bundle, "--key", key)
    assert outcome.status == 0
    assert "note      the recording is cut short: it ends within 000001.ecr, record " in outcome.out
    assert outcome.out.splitlines()[-1] == "identical"


def test_differences_are_shown_and_fail(cli, tiny_bundle, tmp_path):
    """Not encrypted, so that a verdict can be changed and its digest with it."""

    def change(kind, value, attached):
        if value.get("seen") == "Result":
            value["verdict"]["label"] = "for\x1b[31mged"
        return value, attached

    record_script(tmp_path / "r", tiny_bundle, key=None, frames=3)
    folder = rewrite(tmp_path / "r", tmp_path / "forged", change, None)
    outcome = cli("replay", folder, "--bundle", tiny_bundle)
    assert outcome.status == 1
    assert "verdicts  3 compared, 3 differ (label 3)" in outcome.out
    assert "differs   000001.ecr, record " in outcome.out
    assert outcome.out.splitlines()[-1] == "different"
    assert "\x1b" not in outcome.out
    assert json.loads(cli("replay", folder, "--bundle", tiny_bundle, "--json").out)["result"] == "different"


def test_a_backend_that_does_not_reproduce_the_golden_vectors_is_refused(cli, recording, tiny_bundle, key, monkeypatch):
    monkeypatch.setenv("EDGE_CNS_FAULT", "differs")
    outcome = cli("replay", recording, "--bundle", tiny_bundle, "--key", key, "--backend", "fake")
    one_line(outcome, "golden")
