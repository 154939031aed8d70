"""A real process, killed, stopped and fed for real."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from edge_cns.bundle import Bundle, read_bundle
from edge_cns.contract import OUTPUTS
from edge_cns.errors import BadInputError, InitialisationError, OperationError, OperationTimeoutError
from edge_cns.runtime.backends.fake import VARIABLE
from edge_cns.runtime.backends.litert import LiteRT
from edge_cns.runtime.engine.process import EngineProcess
from edge_cns.runtime.selftest import check_golden


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Path) -> Bundle:
    return read_bundle(tiny_bundle)


@pytest.fixture
def engine(bundle):
    process = EngineProcess(bundle.files["model.tflite"])
    assert process.connect()
    yield process
    process.close()


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_it_says_what_the_engine_says_here(bundle, engine):
    here = LiteRT(bundle.files["model.tflite"])
    random = np.random.default_rng(0)
    for slot in (0, 1, 2, 0):
        picture = random.integers(-128, 128, (1, 64, 64, 1), dtype=np.int8)
        here.input()[:] = picture
        here.invoke()
        engine.input(slot)[:] = picture
        number = engine.submit(slot)
        reply = engine.reply(5)
        assert (reply.number, reply.slot, reply.error) == (number, slot, "")
        assert reply.nanoseconds > 0
        for name in OUTPUTS:
            np.testing.assert_array_equal(engine.outputs(slot)[name], here.output(name)[0])
    for name in ("image", *OUTPUTS):
        assert engine.quantisation(name) == here.quantisation(name)
        assert engine.dtype(name) == here.dtype(name)
    assert (engine.name, engine.version) == (here.name, here.version)


def test_it_is_a_backend(bundle, engine):
    check_golden(bundle, engine)


def test_two_runs_wait_in_order(engine):
    numbers = [engine.submit(0), engine.submit(1)]
    assert [engine.reply(5).number for _ in numbers] == numbers
    assert engine.reply(0.01) is None


def test_it_outlives_what_a_terminal_sends(engine):
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
        os.kill(engine.pid, number)
    time.sleep(0.05)
    engine.invoke()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_its_death_is_an_error_that_names_the_signal(engine, number):
    os.kill(engine.pid, number)
    engine._process.wait(5)
    with pytest.raises(OperationError, match=number.name):
        engine.invoke()


def test_a_stopped_one_is_a_timeout(engine):
    os.kill(engine.pid, signal.SIGSTOP)
    engine.answer_seconds = 0.1
    with pytest.raises(OperationTimeoutError, match=r"within 0\.1 s"):
        engine.invoke()


def test_it_dies_with_the_runtime(bundle, tmp_path):
    (tmp_path / "model").write_bytes(bundle.files["model.tflite"])
    program = (
        "import sys, time, pathlib\n"
        "from edge_cns.runtime.engine.process import EngineProcess\n"
        "engine = EngineProcess(pathlib.Path(sys.argv[1]).read_bytes())\n"
        "engine.connect()\n"
        "print(engine.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "model")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as runtime:
        pid = int(runtime.stdout.readline())
        runtime.kill()
    until = time.monotonic() + 5
    while running(pid):
        assert time.monotonic() < until, "the engine outlived the runtime"
        time.sleep(0.01)


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_nothing_is_left_behind(bundle):
    before, shared = descriptors(), set(os.listdir("/dev/shm"))
    for _ in range(3):
        process = EngineProcess(bundle.files["model.tflite"])
        process.connect()
        process.invoke()
        process.close()
        process.close()
        assert not running(process.pid)
    assert descriptors() == before
    assert set(os.listdir("/dev/shm")) == shared


def test_what_it_cannot_load_is_said_as_it_would_be_here(bundle):
    for content, backend, kind, text in (
        (b"no model", "litert", InitialisationError, "cannot be loaded by LiteRT"),
        (bundle.files["model.tflite"], "abacus", BadInputError, "no backend 'abacus'"),
    ):
        process = EngineProcess(content, backend)
        with pytest.raises(kind, match=text):
            process.connect()
        process.close()


def test_a_model_that_kills_its_engine_is_an_error_here(bundle, monkeypatch):
    monkeypatch.setenv(VARIABLE, "crash@0")
    process = EngineProcess(bundle.files["model.tflite"], "fake")
    process.connect()
    with pytest.raises(OperationError, match="SIGABRT"):
        process.invoke()
    process.close()


def test_the_process_has_neither_opencv_nor_a_training_library(engine):
    loaded = Path(f"/proc/{engine.pid}/maps").read_text()
    assert "litert" in loaded
    for library in ("cv2", "tensorflow", "scipy"):
        assert f"site-packages/{library}/" not in loaded


def test_the_model_is_sealed_and_the_tensors_cannot_shrink(engine):
    memory = engine._memory.descriptor
    with pytest.raises(PermissionError):
        os.ftruncate(memory, 64)
    with pytest.raises(PermissionError):
        os.ftruncate(memory, 2**26)
