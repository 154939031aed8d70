"""Who trains together, and that all of them are there: ``TF_CONFIG``, and a short meeting at the chief's address.

TensorFlow waits an hour for a worker that never comes, and says nothing of one that was started with other settings.
So the workers meet before it starts: each tells the chief what it was asked for, and the chief tells all of them to go
on, or why not.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import Any

from edge_cns.errors import BadInputError, InitialisationError, OperationTimeoutError
from edge_cns.progress import Progress, silent

__all__ = ["VARIABLE", "Cluster", "meet", "read_cluster"]

VARIABLE = "TF_CONFIG"
_EXAMPLE = '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}'
_MAX_BYTES = 1 << 16
_POLL_SECONDS = 0.2
_SILENT_SECONDS = 5.0  # for one line from whoever has connected


@dataclass(frozen=True, slots=True)
class Cluster:
    """The workers of a training.

    Attributes:
        addresses: ``host:port`` of each; the first is the chief.
        index: which of them this process is.
    """

    addresses: tuple[str, ...]
    index: int

    def name(self, index: int) -> str:
        """What an error calls a worker."""
        return f"worker {index} ({self.addresses[index]})"


def read_cluster(text: str | None) -> Cluster:
    """Read ``TF_CONFIG``.

    Args:
        text: its value; ``None`` where it is not set.

    Raises:
        BadInputError: not set, not what TensorFlow documents, or tasks other than ``chief`` and ``worker``.
    """
    if not text:
        raise BadInputError(f"{VARIABLE} is not set; --distribute needs it on each machine, such as {_EXAMPLE}")
    try:
        value = json.loads(text)
        jobs, task = dict(value["cluster"]), dict(value["task"])
        addresses = [*jobs.pop("chief", ()), *jobs.pop("worker", ())]
        kind, index = task["type"], task["index"]
    except (ValueError, TypeError, KeyError) as error:
        raise BadInputError(f"{VARIABLE} cannot be used ({type(error).__name__}: {error}); give {_EXAMPLE}") from None
    if jobs or kind not in ("chief", "worker"):
        found = ", ".join(map(repr, jobs)) or repr(kind)
        raise BadInputError(f"{VARIABLE} has the task {found[:80]}; only 'chief' and 'worker' train here")
    chiefs = len(value["cluster"].get("chief", ()))
    if type(index) is not int or not 0 <= index < (chiefs if kind == "chief" else len(addresses) - chiefs):
        raise BadInputError(f"{VARIABLE} has no {kind} of index {index!r}; its cluster has {len(addresses)} addresses")
    for address in addresses:
        _host_and_port(address)
    if len(set(addresses)) < len(addresses):
        raise BadInputError(f"{VARIABLE} has an address twice ({', '.join(addresses)[:120]}); give each worker its own")
    return Cluster(tuple(addresses), index if kind == "chief" else chiefs + index)


def _host_and_port(address: Any) -> tuple[str, int]:
    host, _, port = address.rpartition(":") if isinstance(address, str) else ("", "", "")
    if not host or not port.isdigit() or not 0 < int(port) < 1 << 16:
        raise BadInputError(f"{VARIABLE} has the address {str(address)[:80]!r}; give host:port")
    return host, int(port)


def meet(cluster: Cluster, request: Mapping[str, Any], seconds: float, progress: Progress = silent) -> None:
    """Wait until every worker has come with the same request.

    Args:
        cluster: of this training; with one worker there is nothing to wait for.
        request: what must be alike everywhere, as JSON.
        seconds: how long to wait for all of them together.
        progress: told how many have come, by the chief.

    Raises:
        OperationTimeoutError: somebody did not come in time.
        BadInputError: somebody was asked for something else; the address of this worker cannot be used.
        InitialisationError: something else answers at the chief's address.
    """
    if len(cluster.addresses) == 1:
        return
    deadline = time.monotonic() + seconds
    request = dict(json.loads(json.dumps(request)))
    if cluster.index == 0:
        _receive_all(cluster, request, deadline, seconds, progress)
    else:
        _report(cluster, request, deadline, seconds)


def _receive_all(
    cluster: Cluster, request: dict[str, Any], deadline: float, seconds: float, progress: Progress
) -> None:
    """As the chief: hear everybody, then answer everybody."""
    waiting = set(range(1, len(cluster.addresses)))
    with ExitStack() as stack:
        listener = stack.enter_context(_listen(cluster))
        guests: list[socket.socket] = []
        refusal: BadInputError | OperationTimeoutError | None = None
        while waiting and refusal is None:
            progress("waiting for the other workers", len(cluster.addresses) - 1 - len(waiting), len(waiting))
            listener.settimeout(max(0.01, deadline - time.monotonic()))
            try:
                guest, _ = listener.accept()
            except TimeoutError:
                names = ", ".join(map(cluster.name, sorted(waiting)))
                refusal = OperationTimeoutError(
                    f"{names} did not appear within {seconds:g} s; start every worker with the same command and its "
                    f"own {VARIABLE}"
                )
                break
            stack.enter_context(closing(guest))
            said = _line(guest)
            index = said.get("worker")
            if index not in waiting:
                continue  # a stray connection, or one that is repeated
            guests.append(guest)
            waiting.discard(index)
            if difference := _difference(request, said.get("request")):
                refusal = BadInputError(f"{cluster.name(index)} was started with something else: {difference}")
        answer = json.dumps({"refusal": None if refusal is None else str(refusal)}).encode() + b"\n"
        for guest in guests:
            _send(guest, answer)
            _line(guest)  # it closes first, so that the chief's port is free at once
    if refusal is not None:
        raise refusal
    progress("waiting for the other workers", len(cluster.addresses) - 1, len(cluster.addresses) - 1)


@contextmanager
def _listen(cluster: Cluster) -> Iterator[socket.socket]:
    _, port = _host_and_port(cluster.addresses[0])
    try:
        listener = socket.create_server(("", port), backlog=len(cluster.addresses))
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise BadInputError(f"port {port} of {cluster.name(0)} cannot be used ({reason}); choose another") from None
    with closing(listener):
        yield listener


def _report(cluster: Cluster, request: dict[str, Any], deadline: float, seconds: float) -> None:
    """As another worker: tell the chief, and wait for its answer."""
    greeting = json.dumps({"worker": cluster.index, "request": request}).encode() + b"\n"
    while time.monotonic() < deadline:
        try:
            connection = socket.create_connection(_host_and_port(cluster.addresses[0]), timeout=_SILENT_SECONDS)
        except OSError:  # not there yet
            time.sleep(_POLL_SECONDS)
            continue
        with closing(connection):
            _send(connection, greeting)
            # The chief gives up at a deadline of its own, which is not later than this by more than a start-up takes.
            answer = _line(connection, seconds=max(_SILENT_SECONDS, deadline - time.monotonic()) + seconds)
        if "refusal" not in answer:
            raise InitialisationError(
                f"{cluster.name(0)} is no chief of this training, or it was stopped; see its own message, then start "
                "all workers again"
            )
        if answer["refusal"] is not None:
            raise BadInputError(str(answer["refusal"]))
        return
    raise OperationTimeoutError(
        f"the chief, {cluster.name(0)}, did not appear within {seconds:g} s; start it with the same command"
    )


def _send(connection: socket.socket, content: bytes) -> None:
    try:
        connection.sendall(content)
    except OSError:
        return  # it is gone, and whoever waits for its answer will say so


def _line(connection: socket.socket, seconds: float = _SILENT_SECONDS) -> dict[str, Any]:
    """One line of JSON from the other end; empty where none comes, or something else."""
    deadline, content = time.monotonic() + seconds, b""
    try:
        while not content.endswith(b"\n") and len(content) < _MAX_BYTES:
            connection.settimeout(max(0.01, deadline - time.monotonic()))
            received = connection.recv(4096)
            if not received:
                break
            content += received
        value = json.loads(content)
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _difference(ours: Mapping[str, Any], theirs: Any) -> str:
    """What differs, by name; empty where nothing does."""
    if not isinstance(theirs, dict):
        return "another version of edge-cns"
    names = [name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name)]
    return "; ".join(f"{name} {theirs.get(name)} there, {ours.get(name)} here" for name in names)[:300]
