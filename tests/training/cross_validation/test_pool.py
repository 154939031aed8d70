"""Where tasks run: this process, or processes of this machine."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import numpy as np
import pytest

pytest.importorskip("threadpoolctl", reason="needs the evaluate extra")
from threadpoolctl import threadpool_info

from edge_cns.errors import BadInputError, OperationError
from edge_cns.training.cross_validation.pool import cores, open_pool


def scaled(shared: np.ndarray, task: int) -> tuple[float, int, int]:
    threads = max((library["num_threads"] for library in threadpool_info()), default=1)
    return float(shared.sum()) * task, os.getpid(), threads


def refuse(shared: None, task: int) -> int:
    if task == 3:
        raise BadInputError(f"task {task} is bad")
    return task


def die(shared: None, task: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def slow(shared: None, task: int) -> int:
    time.sleep(0.1)
    return task


@pytest.mark.parametrize("jobs", [1, 3])
def test_every_task_once_with_one_blas_thread(jobs: int) -> None:
    with open_pool(jobs) as pool:
        assert pool.here == (jobs == 1)
        found = dict(pool.run(scaled, np.ones(4), iter(range(20))))
    assert {task: answer[0] for task, answer in found.items()} == {task: 4.0 * task for task in range(20)}
    assert all((answer[1] == os.getpid()) == (jobs == 1) for answer in found.values())
    assert {answer[2] for answer in found.values()} == {1}


def test_tasks_are_made_as_they_are_needed() -> None:
    made = []

    def tasks() -> Iterator[int]:
        for task in range(12):
            made.append(task)
            yield task

    with open_pool(2) as pool:
        results = pool.run(slow, None, tasks())
        next(results)
        assert len(made) <= 5
        assert len(list(results)) == 11


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_error_of_a_task_comes_through(jobs: int) -> None:
    with open_pool(jobs) as pool, pytest.raises(BadInputError, match="task 3 is bad"):
        list(pool.run(refuse, None, range(8)))


def test_a_worker_that_dies() -> None:
    with open_pool(2) as pool, pytest.raises(OperationError, match="a worker process died, perhaps for want of memory"):
        list(pool.run(die, None, range(3)))


def test_jobs_that_make_no_sense() -> None:
    with pytest.raises(BadInputError, match="--jobs is 0; give at least 1"), open_pool(0):
        pass
    assert cores() >= 1
