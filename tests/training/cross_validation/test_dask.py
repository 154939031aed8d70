"""A Dask cluster of real processes: a scheduler and two workers on loopback."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("distributed", reason="needs the cluster extra")
pytest.importorskip("threadpoolctl", reason="needs the evaluate extra")
from edge_cns.errors import BadInputError, InitialisationError
from edge_cns.training.cross_validation.journal import Journal
from edge_cns.training.cross_validation.pool import open_pool
from edge_cns.training.cross_validation.run import solve_problem
from tests.training.cross_validation.made import draw, nested_problem, solved

SCHEDULER = "from distributed.cli.dask_scheduler import main; main()"
WORKER = "from distributed.cli.dask_worker import main; main()"


def start(program: str, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-W", "ignore", "-c", program, *arguments]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dask")


@pytest.fixture(scope="module")
def scheduler(folder: Path) -> Iterator[str]:
    """A scheduler without workers."""
    file = folder / "scheduler.json"
    options = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file)]
    process = start(SCHEDULER, *options)
    try:
        deadline = time.monotonic() + 60
        while not file.exists() or b"address" not in file.read_bytes():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        (address,) = re.findall(r"tcp://127\.0\.0\.1:\d+", file.read_text())[:1]
        yield address
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(scope="module")
def cluster(scheduler: str, folder: Path) -> Iterator[str]:
    """The scheduler with two worker processes."""
    options = ["--nthreads", "1", "--no-nanny", "--no-dashboard", "--local-directory", str(folder)]
    processes = [start(WORKER, scheduler, *options) for _ in range(2)]
    try:
        yield scheduler
    finally:
        for process in processes:
            process.terminate()
            process.wait()


def where(shared: np.ndarray, task: int) -> tuple[float, int]:
    time.sleep(0.05)
    return float(shared.sum()) * task, os.getpid()


def refuse(shared: None, task: int) -> int:
    if task == 3:
        raise BadInputError(f"task {task} is bad")
    return task


def crash(shared: None, task: int) -> int:
    raise ZeroDivisionError("a bug")


def test_a_scheduler_without_workers(scheduler: str, monkeypatch) -> None:
    monkeypatch.setattr("edge_cns.training.cross_validation.pool.CONNECT_SECONDS", 1)
    with pytest.raises(InitialisationError, match=f"{scheduler} has no workers; start some"), open_pool(1, scheduler):
        pass


def test_two_workers_share_the_tasks(cluster: str, monkeypatch) -> None:
    monkeypatch.setattr("edge_cns.training.cross_validation.pool.CONNECT_SECONDS", 60)  # they may still be starting
    with open_pool(1, cluster) as pool:
        assert not pool.here
        found: dict[int, tuple[float, int]] = {}
        for _ in range(20):  # until the second worker has joined
            found = dict(pool.run(where, np.ones(4), iter(range(20))))
            if len({process for _, process in found.values()}) == 2:
                break
        assert {task: answer[0] for task, answer in found.items()} == {task: 4.0 * task for task in range(20)}
        assert len({process for _, process in found.values()} - {os.getpid()}) == 2


def test_a_cluster_says_what_one_process_says(cluster: str, tmp_path: Path) -> None:
    features, rows = draw(patients=40, frames=2, channels=10)
    problem = nested_problem(features, rows)
    alone = solved(problem, tmp_path / "alone")
    (tmp_path / "cluster" / "journal").mkdir(parents=True)
    with open_pool(1, cluster) as pool:
        together = solve_problem(problem, Journal(tmp_path / "cluster", resumed=False), pool)
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one.logits, other.logits)
        assert one.choice.operating.temperature == other.choice.operating.temperature


def test_an_error_of_a_task_comes_through(cluster: str) -> None:
    with open_pool(1, cluster) as pool:
        with pytest.raises(BadInputError, match="task 3 is bad"):
            list(pool.run(refuse, None, range(8)))
        with pytest.raises(ZeroDivisionError, match="a bug"):
            list(pool.run(crash, None, range(2)))


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nonsense://x", "127.0.0.1:notaport"])
def test_nobody_answers(address: str, monkeypatch) -> None:
    monkeypatch.setattr("edge_cns.training.cross_validation.pool.CONNECT_SECONDS", 1)
    message = rf"the Dask scheduler at {re.escape(address)} cannot be reached \(.+\); start it with: dask scheduler"
    with pytest.raises(InitialisationError, match=message) as caught, open_pool(1, address):
        pass
    assert "\n" not in str(caught.value)
