"""The engine's process: it loads the model that it was handed, and runs it when it is told to. Nothing else is in it.

Started by `edge_cns.runtime.engine.process`. It ends when the runtime does, and not by SIGTERM or SIGINT, which a
terminal sends to both: the runtime has frames to finish.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import socket
import sys
import time

from edge_cns.contract import OUTPUTS
from edge_cns.errors import EdgeCnsError, told
from edge_cns.runtime.backends.base import Backend
from edge_cns.runtime.backends.table import open_backend
from edge_cns.runtime.engine.wire import IMAGE, LARGEST_MESSAGE, REPLY, REQUEST, Tensor, TensorMemory

__all__ = ["main"]

_PR_SET_PDEATHSIG = 1
_LONGEST_TEXT = 1000  # characters of an error: a message has room for more


def main(arguments: list[str]) -> None:
    """Serve until the runtime closes the socket.

    Args:
        arguments: descriptor of the socket, descriptor of the model's memory, backend, threads, the runtime's pid.
    """
    link, model, backend, threads, parent = arguments
    _settle(int(parent))
    channel = socket.socket(fileno=int(link))
    try:
        with open(int(model), "rb") as file:
            engine = open_backend(backend, file.read(), threads=int(threads))
        tensors = {name: _describe(engine, name) for name in (IMAGE, *OUTPUTS)}
    except Exception as error:  # an engine may be anybody's, and its reason shall not be lost
        kind = type(error).__name__ if isinstance(error, EdgeCnsError) else "InitialisationError"
        channel.send(json.dumps({"error": kind, "text": told(error, _LONGEST_TEXT)}).encode())
        return
    hello = {"name": engine.name, "version": engine.version, "tensors": {n: _json(t) for n, t in tensors.items()}}
    channel.send(json.dumps(hello).encode())
    _, descriptors, _, _ = socket.recv_fds(channel, LARGEST_MESSAGE, 1)
    if descriptors:
        _serve(channel, engine, TensorMemory(tensors, descriptors[0]))


def _serve(channel: socket.socket, engine: Backend, memory: TensorMemory) -> None:
    while message := channel.recv(LARGEST_MESSAGE):
        number, slot = REQUEST.unpack(message)
        started = time.monotonic_ns()
        failure = b""
        try:
            engine.input()[:] = memory.view(slot, IMAGE)
            engine.invoke()
            for name in OUTPUTS:
                memory.view(slot, name)[:] = engine.output(name)
        except Exception as error:  # as above
            failure = told(error, _LONGEST_TEXT).encode()
        channel.send(REPLY.pack(number, slot, time.monotonic_ns() - started) + failure)


def _settle(parent: int) -> None:
    """Outlive what is meant for the runtime, and nothing else."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a dump of memory holds somebody's image
    with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write("1000")  # where memory runs out, this process goes, and not the runtime
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the line above
        sys.exit(1)


def _describe(engine: Backend, name: str) -> Tensor:
    value = engine.input() if name == IMAGE else engine.output(name)
    return Tensor(value.shape, value.dtype.str, *engine.quantisation(name))


def _json(tensor: Tensor) -> dict[str, object]:
    return {
        "shape": tensor.shape,
        "dtype": tensor.dtype,
        "scale": tensor.scale,
        "zero_point": tensor.zero_point,
    }


if __name__ == "__main__":
    main(sys.argv[1:])
