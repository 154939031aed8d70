"""Where the tasks of a cross-validation run: in this process, in processes of this machine, or on a Dask cluster."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from edge_cns import __version__
from edge_cns.errors import BadInputError, InitialisationError, OperationError, brief
from edge_cns.extras import require

__all__ = ["Pool", "cores", "open_pool"]

S = TypeVar("S")
T = TypeVar("T")
R = TypeVar("R")

CONNECT_SECONDS = 5
"""How long a Dask scheduler may take to answer, and how long it may be without workers."""

_TIMEOUTS = (TimeoutError, asyncio.TimeoutError)  # two until Python 3.11
_shared: Any = None  # in a worker process: what all tasks share


class Pool(Protocol):
    """A place where tasks run; ``here`` says that it is this process."""

    here: bool

    def run(self, function: Callable[[S, T], R], shared: S, tasks: Iterable[T]) -> Iterator[tuple[T, R]]:
        """Run ``function(shared, task)`` for each task, each with one BLAS thread.

        Args:
            function: of a module, so that another process can import it.
            shared: sent once.
            tasks: made as they are needed: a few more than are running.

        Yields:
            Task and result, as they are finished.

        Raises:
            EdgeCnsError: what the function raised; or a worker that died.
        """
        ...


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def open_pool(jobs: int, dask: str | None = None) -> Iterator[Pool]:
    """Open a pool for the block.

    Args:
        jobs: processes on this machine; 1 stays in this one.
        dask: address of a scheduler, such as ``tcp://host:8786``; its workers are then used instead.

    Raises:
        BadInputError: ``jobs`` is not positive, or ``dask`` is no address.
        InitialisationError: the scheduler does not answer, has no workers, or those have another edge-cns.
    """
    if jobs < 1:
        raise BadInputError(f"--jobs is {jobs}; give at least 1")
    if dask is not None:
        with _dask(dask) as pool:
            yield pool
    else:
        yield _Here() if jobs == 1 else _Processes(jobs)


class _Here:
    """This process."""

    here = True

    def run(self, function: Callable[[S, T], R], shared: S, tasks: Iterable[T]) -> Iterator[tuple[T, R]]:
        for task in tasks:
            yield task, _one_thread(function, shared, task)


class _Processes:
    """New processes for each run: they start clean (TensorFlow does not survive a fork) and leave nothing behind."""

    here = False

    def __init__(self, jobs: int) -> None:
        self._jobs = jobs

    def run(self, function: Callable[[S, T], R], shared: S, tasks: Iterable[T]) -> Iterator[tuple[T, R]]:
        executor = ProcessPoolExecutor(
            self._jobs, multiprocessing.get_context("spawn"), initializer=_begin, initargs=(shared,)
        )
        try:
            yield from _in_turn(lambda task: executor.submit(_call, function, task), tasks, 2 * self._jobs)
        except BrokenProcessPool:
            raise OperationError(
                "a worker process died, perhaps for want of memory; the same command goes on; give it fewer --jobs"
            ) from None
        except BaseException:
            for process in list((executor._processes or {}).values()):  # it would wait for tasks nobody needs
                process.terminate()
            raise
        finally:
            executor.shutdown(cancel_futures=True)


class _Dask:
    """The workers of a Dask cluster."""

    here = False

    def __init__(self, client: Any) -> None:
        self._client = client

    def run(self, function: Callable[[S, T], R], shared: S, tasks: Iterable[T]) -> Iterator[tuple[T, R]]:
        everywhere = self._client.scatter(shared, broadcast=True, hash=False)
        slots = sum(self._client.nthreads().values())
        executor = self._client.get_executor(pure=False, retries=1)

        def submit(task: T) -> Future[R]:
            sent = self._client.scatter(task, hash=False)
            future: Future[R] = executor.submit(_one_thread, function, everywhere, sent)
            return future

        lost = (require("distributed", "cluster").KilledWorker, CancelledError)
        try:
            yield from _in_turn(submit, tasks, 2 * max(1, slots))
        except (*lost, OSError) as error:  # of the cluster: a task's own errors come through as they are
            reason = brief(error) or "it is gone"
            raise OperationError(f"the Dask cluster failed ({reason}); the same command goes on") from None


@contextmanager
def _dask(address: str) -> Iterator[_Dask]:
    distributed = require("distributed", "cluster")
    from edge_cns.quiet import quiet_stderr

    try:
        with quiet_stderr():  # it logs every attempt
            client = distributed.Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError, *_TIMEOUTS) as error:
        reason = brief(error) or "no answer"
        raise InitialisationError(
            f"the Dask scheduler at {address} cannot be reached ({reason}); start it with: dask scheduler"
        ) from None
    try:
        _check_workers(client, address)
        yield _Dask(client)
    finally:
        with quiet_stderr():
            client.close(timeout=CONNECT_SECONDS)


def _check_workers(client: Any, address: str) -> None:
    try:
        client.wait_for_workers(1, timeout=CONNECT_SECONDS)
    except _TIMEOUTS:
        raise InitialisationError(
            f"the Dask scheduler at {address} has no workers; start some with: dask worker {address}"
        ) from None
    try:
        versions = set(client.run(_version).values())
    except Exception as error:  # whatever a worker without this package says
        reason = brief(error)
        raise InitialisationError(
            f"a Dask worker cannot load edge-cns ({reason}); install edge-cns[evaluate,cluster] {__version__} there"
        ) from None
    if versions != {__version__}:
        found = ", ".join(sorted(versions))
        raise InitialisationError(f"the Dask workers have edge-cns {found}, this is {__version__}; install the same")


def _version() -> str:
    return __version__


def _in_turn(submit: Callable[[T], Future[R]], tasks: Iterable[T], ahead: int) -> Iterator[tuple[T, R]]:
    """Keep a few tasks submitted, and yield results as they come."""
    waiting: dict[Future[R], T] = {}
    for task in tasks:
        waiting[submit(task)] = task
        if len(waiting) >= ahead:
            yield from _finished(waiting)
    while waiting:
        yield from _finished(waiting)


def _finished(waiting: dict[Future[R], T]) -> Iterator[tuple[T, R]]:
    done, _ = wait(waiting, return_when=FIRST_COMPLETED)
    for future in done:
        yield waiting.pop(future), future.result()


def _begin(shared: Any) -> None:
    """Start a worker process: it ends with its parent, however that ends, and leaves Ctrl-C to it."""
    global _shared  # noqa: PLW0603 - what an initializer is for
    _shared = shared
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: Any) -> None:
    parent.join()
    os._exit(1)


def _call(function: Callable[[Any, T], R], task: T) -> R:
    return _one_thread(function, _shared, task)


def _one_thread(function: Callable[[S, T], R], shared: S, task: T) -> R:
    """Processes are the parallelism; BLAS threads beside them would fight for the same cores."""
    with require("threadpoolctl", "evaluate").threadpool_limits(1):
        return function(shared, task)
