"""Who trains together: ``TF_CONFIG``, and the meeting that tells who is missing or was asked for something else."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_cns.errors import BadInputError, EdgeCnsError, InitialisationError, OperationTimeoutError
from edge_cns.training.meeting import Cluster, meet, read_cluster

REQUEST = {"epochs": 3, "augmentation": {"zoom": (0.9, 1.2)}, "labels.csv": "12ab"}


def config(workers: Any = ("a:1", "b:2"), index: Any = 1, kind: str = "worker", **jobs: Any) -> str:
    return json.dumps({"cluster": {"worker": workers, **jobs}, "task": {"type": kind, "index": index}})


def test_the_chief_is_the_first() -> None:
    assert read_cluster(config()) == Cluster(("a:1", "b:2"), 1)
    assert read_cluster(config(chief=["c:3"], index=1)) == Cluster(("c:3", "a:1", "b:2"), 2)
    assert read_cluster(config(chief=["c:3"], kind="chief", index=0)).index == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "TF_CONFIG is not set; --distribute needs it"),
        ("", "TF_CONFIG is not set"),
        ("{", "cannot be used (JSONDecodeError"),
        ("[]", "cannot be used"),
        ("{}", "cannot be used (KeyError: 'cluster')"),
        (json.dumps({"cluster": 3, "task": {}}), "cannot be used"),
        (config(index=2), "no worker of index 2; its cluster has 2 addresses"),
        (config(index=-1), "no worker of index -1"),
        (config(index="0"), "no worker of index '0'"),
        (config(index=True), "no worker of index True"),
        (config(kind="evaluator"), "has the task 'evaluator'; only 'chief' and 'worker' train here"),
        (config(ps=["c:3"]), "has the task 'ps'"),
        (config(kind="chief", index=0), "no chief of index 0"),
        (config(["a:1", "b"]), "has the address 'b'; give host:port"),
        (config(["a:1", "b:99999"]), "has the address 'b:99999'"),
        (config(["a:1", 7]), "has the address '7'"),
        (config(["a:1", "a:1"]), "has an address twice (a:1, a:1)"),
        (config([], index=0), "no worker of index 0; its cluster has 0 addresses"),
        (config("ab"), "has the address 'a'"),
    ],
)
def test_nonsense_is_one_line(text: str | None, words: str) -> None:
    with pytest.raises(BadInputError) as caught:
        read_cluster(text)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda s: st.lists(s, max_size=3)))
def test_any_json_is_a_cluster_or_refused(value: Any) -> None:
    for text in (
        json.dumps(value),
        json.dumps({"cluster": {"worker": value}, "task": {"type": "worker", "index": value}}),
        json.dumps({"cluster": {"worker": ["a:1"], "chief": value}, "task": value}),
    ):
        try:
            read_cluster(text)
        except BadInputError as error:
            message = str(error)
        else:
            message = ""
        assert "\n" not in message


def addresses(count: int) -> tuple[str, ...]:
    """Addresses on loopback that nobody uses."""
    with closing(socket.create_server(("127.0.0.1", 0))) as first:
        return tuple(f"127.0.0.1:{first.getsockname()[1] - i}" for i in range(count))


def together(*members: Callable[[], None]) -> list[EdgeCnsError | None]:
    """Call each in a thread; returns what it raised."""
    raised: list[EdgeCnsError | None] = [None] * len(members)

    def call(place: int) -> None:
        try:
            members[place]()
        except EdgeCnsError as error:
            raised[place] = error

    threads = [threading.Thread(target=call, args=(place,)) for place in range(len(members))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    return raised


def test_all_have_come_in_any_order() -> None:
    names = addresses(3)
    seen: list[tuple[int, int]] = []

    def chief() -> None:
        time.sleep(0.3)  # the others have knocked by then
        meet(Cluster(names, 0), REQUEST, 30, lambda task, done, total, note="": seen.append((done, total)))

    others = [lambda i=i: meet(Cluster(names, i), REQUEST, 30) for i in (2, 1)]
    assert together(chief, *others) == [None, None, None]
    assert seen[-1] == (2, 2)
    with closing(socket.create_server(("127.0.0.1", int(names[0].rpartition(":")[2])))):
        pass  # the chief's port is free again, for TensorFlow


def test_alone_nobody_is_waited_for() -> None:
    meet(Cluster(("nowhere.invalid:1",), 0), REQUEST, 1)


def test_a_worker_that_never_comes() -> None:
    names = addresses(3)
    raised = together(lambda: meet(Cluster(names, 0), REQUEST, 0.6), lambda: meet(Cluster(names, 2), REQUEST, 0.6))
    assert isinstance(raised[0], OperationTimeoutError)
    for error in raised:
        assert f"worker 1 ({names[1]}) did not appear within 0.6 s; start every worker" in str(error)


def test_a_chief_that_never_comes() -> None:
    names = addresses(2)
    with pytest.raises(OperationTimeoutError, match=r"the chief, worker 0 \(.*\), did not appear within 0\.5 s"):
        meet(Cluster(names, 1), REQUEST, 0.5)


def test_a_worker_with_another_request() -> None:
    names = addresses(2)
    other = REQUEST | {"epochs": 4, "labels.csv": "cd"}
    raised = together(lambda: meet(Cluster(names, 0), REQUEST, 30), lambda: meet(Cluster(names, 1), other, 30))
    for error in raised:
        assert isinstance(error, BadInputError)
        assert "was started with something else: epochs 4 there, 3 here; labels.csv cd there, 12ab here" in str(error)


@pytest.mark.parametrize("said", [b"GET / HTTP/1.1\r\n\r\n", b"", b'{"worker": 7}\n', b"[1]\n", b"\xff\xfe\n"])
def test_a_stray_connection_disturbs_nobody(said: bytes) -> None:
    names = addresses(2)

    def stray() -> None:
        for _ in range(100):
            try:
                with closing(socket.create_connection(("127.0.0.1", int(names[0].rpartition(":")[2])))) as connection:
                    connection.sendall(said)
                return
            except OSError:
                time.sleep(0.02)

    def late() -> None:
        time.sleep(0.5)
        meet(Cluster(names, 1), REQUEST, 30)

    assert together(lambda: meet(Cluster(names, 0), REQUEST, 30), stray, late) == [None, None, None]


def test_something_else_at_the_address_of_the_chief() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        names = (f"127.0.0.1:{server.getsockname()[1]}", "127.0.0.1:1")

        def answer() -> None:
            connection, _ = server.accept()
            with closing(connection):
                connection.sendall(b"SSH-2.0-OpenSSH\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(
            InitialisationError, match=r"worker 0 \(.*\) is no chief of this training, or it was stopped"
        ):
            meet(Cluster(names, 1), REQUEST, 5)
        thread.join()


def test_the_port_is_taken() -> None:
    with closing(socket.create_server(("", 0))) as server:
        names = (f"127.0.0.1:{server.getsockname()[1]}", "127.0.0.1:1")
        with pytest.raises(BadInputError, match=r"port \d+ of worker 0 .* cannot be used \(Address already in use\)"):
            meet(Cluster(names, 0), REQUEST, 5)
