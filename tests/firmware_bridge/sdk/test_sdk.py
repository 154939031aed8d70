"""The C SDK against the ring's Python side: the library itself, its examples, its installation."""

from __future__ import annotations

import ctypes as c
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from edge_cns.frames import EventKind
from tests.firmware_bridge.ring.served import fresh_name
from tests.firmware_bridge.sdk import abi
from tests.firmware_bridge.sdk.abi import Machine
from tests.firmware_bridge.sdk.conftest import SDK, run

VECTORS = json.loads((Path(__file__).parents[1] / "ring" / "vectors.json").read_text())


@pytest.fixture(scope="module")
def sdk(build_sdk) -> c.CDLL:
    return abi.load(build_sdk() / "libedge_cns.so")


@pytest.fixture(scope="module")
def insides(build_sdk, tmp_path_factory) -> c.CDLL:
    """Functions that the library keeps to itself."""
    build_sdk()
    library = tmp_path_factory.mktemp("insides") / "wire.so"
    run(
        "cc",
        "-std=c11",
        "-shared",
        "-fPIC",
        f"-I{SDK}/include",
        f"-I{SDK}/src",
        SDK / "src" / "ring" / "wire.c",
        "-o",
        library,
    )
    return c.CDLL(str(library))


def vector(name: str) -> tuple[dict, bytes]:
    found = next(v for v in VECTORS if v["name"] == name)
    return found["fields"], bytes.fromhex(found["hex"])


@pytest.mark.parametrize("name", ["result", "result without a frame"])
def test_c_reads_the_vectors_of_results(insides, name):
    fields, content = vector(name)
    result = abi.Result()
    assert insides.ec_wire_read_result(content, c.c_size_t(len(content)), 3, c.byref(result)) & 0xFF == 1
    for key, value in fields.items():
        if key in ("probabilities", "heat"):
            continue
        there = getattr(result, key)
        assert (there.decode() if isinstance(there, bytes) else there) == value, key
    assert list(result.probabilities[: result.classes]) == fields["probabilities"]
    rows, columns = result.heat_rows, result.heat_columns
    assert np.array_equal(np.array(result.heat[: rows * columns]).reshape(rows, columns).tolist(), fields["heat"])


def test_c_reads_the_other_vectors(insides):
    fields, content = vector("welcome")
    names, count = (c.c_char * 64 * 256)(), c.c_uint32()
    assert insides.ec_wire_read_welcome(content, c.c_size_t(len(content)), c.byref(count), names) & 0xFF == 1
    assert [names[i].value.decode() for i in range(count.value)] == fields["names"]
    fields, content = vector("refused")
    text = c.create_string_buffer(248)
    assert insides.ec_wire_read_refused(content, c.c_size_t(len(content)), text) & 0xFF == 1
    assert text.value.decode() == fields["text"]
    fields, content = vector("release")
    slot = c.c_uint32()
    assert insides.ec_wire_read_release(content, c.c_size_t(len(content)), 4, c.byref(slot)) & 0xFF == 1
    assert slot.value == fields["slot"]
    assert insides.ec_wire_read_release(content, c.c_size_t(len(content)), 2, c.byref(slot)) & 0xFF == 0


def test_c_reads_no_damaged_message_past_its_end(insides):
    generator = np.random.default_rng(4)
    contents = [bytes.fromhex(v["hex"]) for v in VECTORS]
    result, names, count = abi.Result(), (c.c_char * 64 * 256)(), c.c_uint32()
    for _ in range(4000):
        content = bytearray(contents[generator.integers(len(contents))])
        for _ in range(generator.integers(0, 4)):
            content[generator.integers(len(content))] = generator.integers(256)
        cut = bytes(content[: generator.integers(len(content) + 1)])
        size = c.c_size_t(len(cut))
        insides.ec_wire_read_welcome(cut, size, c.byref(count), names)
        if insides.ec_wire_read_result(cut, size, 3, c.byref(result)) & 0xFF:
            assert 0 <= result.state <= 4
            assert -1 <= result.label < 3
            assert result.heat_rows * result.heat_columns <= 4096


def test_frames_and_events_from_c(sdk, served):
    ring = served(fresh_name())
    machine = Machine(sdk, ring.uri, name=b"cart \xc3\xa9")
    assert machine.status == abi.OK
    assert (sdk.edge_cns_class_count(machine.door), sdk.edge_cns_class_name(machine.door, 1).decode()) == (
        len(ring.bundle.contract.class_names),
        ring.bundle.contract.class_names[1],
    )
    assert sdk.edge_cns_class_name(machine.door, 99) == b""
    assert machine.say(1, "exam-1") == abi.OK
    pixels = np.random.default_rng(0).integers(0, 256, (120, 160), np.uint8)
    ring.keep = True
    assert machine.send(pixels) == abi.OK
    assert machine.send(np.stack([pixels] * 3, axis=-1)) == abi.OK
    deep = pixels.astype(np.uint16) * 7
    assert (
        machine.send(deep, bits_stored=12, mm_per_pixel=(0.5, 0.25), region=(1, 2, 100, 90), captured_ns=42) == abi.OK
    )
    ring.wait_for(lambda: len(ring.frames) == 3)
    assert [frame.sequence for frame in ring.frames] == [0, 1, 2]
    for frame, sent in zip(ring.frames, (pixels, np.stack([pixels] * 3, axis=-1), deep), strict=True):
        assert np.array_equal(frame.pixels, sent)
    assert ring.frames[2].captured_ns == 42
    assert (ring.frames[2].bits_stored, ring.frames[2].mm_per_pixel) == (12, (0.5, 0.25))
    assert abs(ring.frames[0].captured_ns - time.monotonic_ns()) < 30e9
    assert (EventKind.EXAM, "exam-1") in ring.events
    assert (EventKind.CONNECTED, "cart é") in ring.events
    machine.close()


def test_results_in_c(sdk, served):
    ring = served(fresh_name())
    machine = Machine(sdk, ring.uri)
    machine.send(np.zeros((120, 160), np.uint8))
    result = machine.result()
    assert machine.status == abi.OK
    assert (result.state, result.label, result.probability, result.reason) == (1, 1, 0.75, b"made up")
    assert result.classes == len(ring.bundle.contract.class_names)
    assert sdk.edge_cns_state_at(c.byref(result), result.captured_ns) == 1
    assert sdk.edge_cns_state_at(c.byref(result), result.expires_ns) == 0, "an expired verdict says no signal"
    machine.result(10)
    assert machine.status == abi.TIMEOUT
    machine.close()


def test_a_slow_classifier_never_blocks_the_machine(sdk, served):
    ring = served(fresh_name())
    ring.keep = True  # holds what it can
    machine = Machine(sdk, ring.uri, slots=4)
    pixels = np.zeros((120, 160), np.uint8)
    slots = [abi.Slot() for _ in range(4)]
    for slot in slots:  # the machine itself holds them all
        assert sdk.edge_cns_acquire_slot(machine.door, c.byref(slot)) == abi.OK
    assert machine.send(pixels) == abi.WOULD_BLOCK
    assert machine.send(pixels) == abi.WOULD_BLOCK
    for slot in slots:
        sdk.edge_cns_give_back(machine.door, c.byref(slot))
    assert machine.send(pixels) == abi.OK
    assert machine.counts.would_block == 2
    ring.wait_for(lambda: ring.sums)
    assert ring.sums[0][0] == 6, "numbers 4 and 5 were lost, 0 to 3 given back"
    machine.close()


def test_results_that_nobody_polls_make_room(sdk, served):
    ring = served(fresh_name())
    machine = Machine(sdk, ring.uri)
    pixels = np.zeros((120, 160), np.uint8)
    for n in range(10):
        assert machine.send(pixels) == abi.OK
        ring.wait_for(lambda n=n: machine.counts.results >= 0 and len(ring.sums) == n + 1)
    time.sleep(0.1)
    newest = [machine.result(50) for _ in range(3)]
    assert machine.status == abi.OK
    assert [result.sequence for result in newest] == [7, 8, 9]
    assert machine.counts.results_lost == 7
    machine.close()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"size": 1}, "EDGE_CNS_CAPS_INIT"),
        ({"max_width": 63}, "64 to 8192"),
        ({"max_bytes_per_pixel": 4}, "1, 2 or 3"),
        ({"slots": 2}, "3 to 32"),
        ({"max_stride": 5}, "less than a row"),
        ({"max_width": 8192, "max_height": 8192, "slots": 32}, "more than 1 GiB"),
    ],
)
def test_bad_caps_are_one_line(sdk, served, change, why):
    machine = Machine(sdk, served(fresh_name()).uri, **change)
    assert machine.status == abi.BAD_ARGUMENT
    assert why in machine.error
    assert "\n" not in machine.error
    assert not machine.door


@pytest.mark.parametrize("uri", ["ring://", "ring://a/b", "tcp://x", "ring://" + "x" * 80])
def test_bad_uris(sdk, uri):
    machine = Machine(sdk, uri)
    assert machine.status == abi.BAD_ARGUMENT
    assert "give ring://NAME" in machine.error


def test_nobody_there(sdk):
    machine = Machine(sdk, "ring://nobody-serves-this")
    assert machine.status == abi.UNAVAILABLE
    assert "start edge-cns run --source ring://nobody-serves-this" in machine.error


def test_somebody_else_is_connected(sdk, served):
    ring = served(fresh_name())
    first = Machine(sdk, ring.uri)
    second = Machine(sdk, ring.uri)
    assert (first.status, second.status) == (abi.OK, abi.REFUSED)
    assert second.error == "another machine is connected"
    first.close()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"width": 63}, "64 to 8192"),
        ({"width": 8000}, "larger than the caps"),
        ({"stride": 10}, "a row has"),
        ({"format": 4}, "frame.format"),
        ({"format": 2, "stride": 321}, "a row has"),
        ({"region": (0, 0, 161, 10)}, "not inside"),
        ({"region": (-1, 0, 10, 10)}, "not inside"),
        ({"bits_stored": 7}, "8 to 16"),
    ],
)
def test_a_bad_frame_is_refused_and_gives_its_slot_back(sdk, served, change, why):
    ring = served(fresh_name())
    machine = Machine(sdk, ring.uri, slots=3)
    pixels = np.zeros((120, 160), np.uint8)
    for _ in range(5):
        assert machine.send(pixels, **change) == abi.BAD_ARGUMENT
        assert why in machine.error
    assert machine.send(pixels) == abi.OK
    machine.close()


def test_what_was_told_is_told_again_after_the_classifier_came_back(sdk, served, tiny_bundle):
    ring = served(name := fresh_name())
    machine = Machine(sdk, ring.uri)
    pixels = np.zeros((120, 160), np.uint8)
    for kind, value in ((1, "exam-1"), (3, "2"), (10, "B"), (7, "C5-1"), (4, None)):
        assert machine.say(kind, value) == abi.OK
    ring.close()
    machine.result(1000)
    assert machine.status == abi.DISCONNECTED
    assert machine.send(pixels) == abi.DISCONNECTED
    assert machine.say(7, "") == abi.DISCONNECTED, "kept for later: the probe was removed"
    assert sdk.edge_cns_reconnect(machine.door) == abi.UNAVAILABLE

    again = served(name)
    assert sdk.edge_cns_reconnect(machine.door) == abi.OK
    assert sdk.edge_cns_reconnect(machine.door) == abi.OK
    assert machine.send(pixels) == abi.OK
    again.wait_for(lambda: again.sums)
    said = [(kind.value, value) for kind, value in again.events]
    assert said[3:] == [("exam", "exam-1"), ("probe", ""), ("fetus", "2"), ("mode", "B"), ("freeze", "")]
    assert machine.result().reason == b"made up"
    machine.close()


def test_examples_play_and_draw(build_sdk, served, tmp_path):
    folder = build_sdk()
    ring = served(fresh_name())
    clip = np.random.default_rng(2).integers(0, 256, (20, 96, 128), np.uint8)
    (tmp_path / "clip.raw").write_bytes(clip.tobytes())
    said = run(folder / "edge_cns_play", ring.uri, tmp_path / "clip.raw", 128, 96, 100, 2, timeout=60)
    ring.wait_for(lambda: len(ring.sums) == 40)
    assert [total for _, total in ring.sums[:20]] == clip.sum(axis=(1, 2)).tolist()
    assert f"{ring.bundle.contract.class_names[1]}" in said
    assert (EventKind.CINE, "") in ring.events

    said = run(folder / "edge_cns_draw", ring.uri, 0.5, 60, 320, 240, timeout=60)
    assert "submitted 3" in said
    assert "would block 0" in said
    assert (EventKind.EXAM_END, "") in ring.events
    wrong = subprocess.run([folder / "edge_cns_draw", "ring://nobody"], check=False, capture_output=True, text=True)
    assert (wrong.returncode, len(wrong.stderr.splitlines())) == (2, 1)


@pytest.mark.parametrize("sanitizers", ["address,undefined", "thread"])
def test_clean_under_sanitizers(build_sdk, served, sanitizers):
    folder = build_sdk(f"-DEDGE_CNS_SANITIZE={sanitizers}", "-DCMAKE_BUILD_TYPE=Debug")
    ring = served(fresh_name())
    said = run(folder / "edge_cns_draw", ring.uri, 1, 60, 320, 240, timeout=120)
    assert "results" in said
    assert len(ring.sums) > 20


def test_clean_under_valgrind(build_sdk, served):
    if shutil.which("valgrind") is None:
        pytest.skip("no valgrind: tests/peers/install.sh installs it")
    folder = build_sdk("-DCMAKE_BUILD_TYPE=Debug")
    ring = served(fresh_name())
    strict = ("valgrind", "-q", "--leak-check=full", "--show-leak-kinds=all", "--track-fds=yes", "--error-exitcode=9")
    run(*strict, folder / "edge_cns_draw", ring.uri, 1, 20, 128, 96, timeout=120)


def test_quiet_under_clang_tidy(build_sdk):
    if shutil.which("clang-tidy") is None:
        pytest.skip("no clang-tidy: tests/peers/install.sh installs it")
    folder = build_sdk("-DCMAKE_EXPORT_COMPILE_COMMANDS=ON")
    sources = (*(SDK / "src").glob("*.c"), *(SDK / "src" / "ring").glob("*.c"))
    said = run("clang-tidy", "-p", folder, "--quiet", *sources, timeout=250)
    assert "warning" not in said, said


def test_installed_it_is_found_by_pkg_config_and_cmake_and_links_statically(build_sdk, tmp_path):
    folder, prefix = build_sdk(), tmp_path / "prefix"
    run("cmake", "--install", folder, "--prefix", prefix)
    body = "int main(void) { return puts(edge_cns_version()) < 0; }"
    for name in ("version.c", "version.cpp"):
        (tmp_path / name).write_text(f"#include <edge_cns.h>\n#include <stdio.h>\n{body}\n")
    static = [prefix / "lib" / "libedge_cns.a", "-pthread", "-static"]
    run("cc", tmp_path / "version.c", f"-I{prefix}/include", *static, "-o", tmp_path / "static")
    run("c++", tmp_path / "version.cpp", f"-I{prefix}/include", *static, "-o", tmp_path / "plus")
    assert run(tmp_path / "static") == run(tmp_path / "plus") == "1.0.0\n"
    if shutil.which("pkg-config") is not None:
        (pc,) = prefix.rglob("edge_cns.pc")
        text = pc.read_text()
        assert "-ledge_cns" in text
        settings = os.environ | {"PKG_CONFIG_PATH": str(pc.parent)}
        flags = run("pkg-config", "--cflags", "--libs", "edge_cns", env=settings).split()
        assert "-ledge_cns" in flags


def test_the_library_shows_nothing_but_its_interface(build_sdk):
    if shutil.which("nm") is None:
        pytest.skip("no nm")
    listed = run("nm", "-D", "--defined-only", build_sdk() / "libedge_cns.so")
    symbols = [line.split()[-1] for line in listed.splitlines()]
    assert symbols
    assert all(symbol.startswith("edge_cns_") for symbol in symbols)


def test_a_session_of_edge_cns_run_answers_c(sdk, tiny_bundle, tmp_path):
    name, log = fresh_name(), tmp_path / "log.jsonl"
    command = [sys.executable, "-m", "edge_cns", "run", tiny_bundle, "--source", f"ring://{name}"]
    classifier = subprocess.Popen([*map(str, command), "--sink", f"jsonl://{log}"])
    try:
        until = time.monotonic() + 30
        while (machine := Machine(sdk, f"ring://{name}", heat_map=1)).status == abi.UNAVAILABLE:
            assert time.monotonic() < until
            time.sleep(0.1)
        assert machine.status == abi.OK, machine.error
        generator = np.random.default_rng(1)

        def scan(frames: int) -> abi.Result:
            newest = abi.Result()
            for _ in range(frames):
                machine.send(generator.integers(0, 256, (240, 320), np.uint8))
                deadline = time.monotonic() + 0.03
                while (left := deadline - time.monotonic()) > 0:
                    result = machine.result(max(1, int(left * 1000)))
                    if machine.status == abi.OK:
                        newest = result
            return newest

        machine.say(1, "exam-A")
        live = scan(20)
        assert live.classes == sdk.edge_cns_class_count(machine.door)
        assert live.exam == b"exam-A"
        assert live.state in (1, 2, 3)
        machine.say(4)
        assert scan(12).state == 4, "frozen"
        machine.say(5)
        assert scan(20).state in (1, 2, 3)
        machine.say(10, "doppler")
        assert scan(12).state == 3
        machine.say(10, "B")
        machine.say(1, "exam-B")
        assert scan(20).exam == b"exam-B"
        machine.close()
        time.sleep(0.6)
    finally:
        classifier.terminate()
        assert classifier.wait(10) == 0
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    events = [line["event"] for line in lines if line["type"] == "event"]
    assert events.count("exam_reset") >= 2
    assert lines[-1]["frames"]["pending"] == 0
    last = [line for line in lines if line["type"] == "verdict"][-1]
    assert (last["state"], last["label"]) == ("no_signal", None)
