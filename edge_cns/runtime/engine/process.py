"""An engine in a process of its own, seen from the runtime: a `Backend` whose crash is an exception."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_cns import errors
from edge_cns.contract import OUTPUTS
from edge_cns.errors import EdgeCnsError, InitialisationError, OperationError, OperationTimeoutError
from edge_cns.runtime.engine.wire import (
    IMAGE,
    LARGEST_MESSAGE,
    REPLY,
    REQUEST,
    Tensor,
    TensorMemory,
)
from edge_cns.runtime.resident import resident_bytes
from edge_cns.runtime.sealed import sealed_memory

__all__ = ["EngineProcess", "Reply"]

_ENVIRONMENT = {
    "PYTHONSAFEPATH": "1",  # what lies in the working folder is not imported
    "OPENBLAS_NUM_THREADS": "1",  # numpy only copies there; its threads would cost memory
}
_DEATH_SECONDS = 0.1  # a killed process is gone within; one that a driver holds is left to itself
_START_SECONDS = 30.0  # an accelerator may compile its model at the first start
_ANSWER_SECONDS = 10.0  # of a first run, which some engines begin by compiling


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: the request's number, the slot of its outputs, and how long the run took.

    ``error`` is empty unless the engine says that it failed.
    """

    number: int
    slot: int
    nanoseconds: int
    error: str


class EngineProcess:
    """A model on an engine in another process. One thread at a time.

    The process is started at once and made use of by `connect`, so that both sides start up together.

    Args:
        model: what the engine loads (`edge_cns.runtime.target.choose`); the process gets this very copy, in sealed
            memory.
        backend: name in the table of backends.
        threads: CPU threads the engine may use.

    Attributes:
        name, version: of the engine, once connected.
        pid: of the process.
        answer_seconds: how long `invoke` waits.
    """

    def __init__(self, model: bytes, backend: str = "litert", threads: int = 1) -> None:
        self.name, self.version = backend, ""
        self.answer_seconds = _ANSWER_SECONDS
        self._tensors: dict[str, Tensor] = {}
        self._memory: TensorMemory | None = None
        self._number = 0
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        content = sealed_memory("model", len(model), model)
        try:
            given = (theirs.fileno(), content)
            command = [sys.executable, "-m", "edge_cns.runtime.engine.child", *map(str, given), backend, str(threads)]
            self._process = subprocess.Popen(  # noqa: S603 - ourselves
                [*command, str(os.getpid())],
                pass_fds=given,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=os.environ | _ENVIRONMENT,
            )
        finally:
            theirs.close()
            os.close(content)
        self.pid = self._process.pid

    def fileno(self) -> int:
        """Of the socket: readable when a reply, or the process's end, is there."""
        return self._channel.fileno()

    @property
    def connected(self) -> bool:
        """Whether the engine can be given work."""
        return self._memory is not None

    def connect(self, timeout_s: float = _START_SECONDS) -> bool:
        """Wait for the model to be loaded.

        Returns:
            Whether it is; ``False`` when the time ran out.

        Raises:
            InitialisationError, UnsupportedError, BadInputError: what the engine said, or that it died.
        """
        if self._memory is not None:
            return True
        if not self._readable(timeout_s):
            return False
        message = self._receive()
        if not message:
            raise InitialisationError(f"the engine {self.name} died while it loaded the model ({self.epitaph()})")
        try:
            hello = json.loads(message)
            if "error" in hello:
                kind = getattr(errors, str(hello["error"]), InitialisationError)
                raise kind(hello["text"])
            self._tensors = {name: Tensor.from_json(hello["tensors"][name]) for name in (IMAGE, *OUTPUTS)}
            self.name, self.version = str(hello["name"]), str(hello["version"])
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, EdgeCnsError):
                raise
            raise InitialisationError(f"the engine {self.name} introduces itself with what is no hello") from None
        memory = TensorMemory(self._tensors)
        try:
            socket.send_fds(self._channel, [b"memory"], [memory.descriptor])
        except OSError:
            memory.close()
            raise InitialisationError(f"the engine {self.name} died after it loaded the model") from None
        self._memory = memory
        return True

    def input(self, slot: int = 0) -> NDArray[Any]:
        """See `Backend.input`. Views of shared memory may be kept."""
        return self._shared().view(slot, IMAGE)

    def submit(self, slot: int) -> int:
        """Have a slot run.

        Returns:
            The number that its reply will have; replies come in the order of their requests.

        Raises:
            OperationError: the process is gone.
        """
        self._number += 1
        try:
            self._channel.send(REQUEST.pack(self._number, slot), socket.MSG_DONTWAIT)
        except OSError:
            raise OperationError(f"the engine {self.name} is gone ({self.epitaph()})") from None
        return self._number

    def reply(self, timeout_s: float) -> Reply | None:
        """The next reply, or ``None`` when the time ran out.

        Raises:
            OperationError: the process is gone, or says something that is no reply.
        """
        if not self._readable(timeout_s):
            return None
        message = self._receive()
        if not message:
            raise OperationError(f"the engine {self.name} is gone ({self.epitaph()})")
        if len(message) < REPLY.size:
            raise OperationError(f"the engine {self.name} sent {len(message)} bytes that are no reply")
        number, slot, spent = REPLY.unpack_from(message)
        return Reply(number, slot, spent, message[REPLY.size :].decode(errors="replace"))

    def outputs(self, slot: int) -> dict[str, NDArray[Any]]:
        """Copies of a slot's outputs without their batch axis, by signature name."""
        memory = self._shared()
        return {name: memory.view(slot, name)[0].copy() for name in OUTPUTS}

    def invoke(self) -> None:
        """See `Backend.invoke`: slot 0, and wait for it.

        Raises:
            OperationError: the engine failed or is gone.
            OperationTimeoutError: no answer within `answer_seconds`.
        """
        number, until = self.submit(0), time.monotonic() + self.answer_seconds
        while (reply := self.reply(max(0.0, until - time.monotonic()))) is not None:
            if reply.error:
                raise OperationError(reply.error)
            if reply.number == number:
                return
        raise OperationTimeoutError(f"the engine {self.name} did not answer within {self.answer_seconds:g} s")

    def output(self, name: str) -> NDArray[Any]:
        """See `Backend.output`: of slot 0."""
        return self._shared().view(0, name).copy()

    def quantisation(self, name: str) -> tuple[float, int]:
        """See `Backend.quantisation`."""
        return self._tensors[name].scale, self._tensors[name].zero_point

    def dtype(self, name: str) -> np.dtype[Any]:
        """See `Backend.dtype`."""
        return np.dtype(self._tensors[name].dtype)

    def memory_bytes(self) -> int:
        """Resident memory of the process; 0 when it is gone."""
        return resident_bytes(self.pid)

    def epitaph(self) -> str:
        """How the process ended, in a few words."""
        try:
            status = self._process.wait(_DEATH_SECONDS)
        except subprocess.TimeoutExpired:
            return "it closed its socket"
        return f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"

    def close(self) -> None:
        """Kill the process and give everything back. May be called twice."""
        self._channel.close()
        if self._process.returncode is None:
            self._process.kill()  # it has nothing to finish, and may hang
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_DEATH_SECONDS)
        if self._memory is not None:
            self._memory.close()
            self._memory = None

    def _shared(self) -> TensorMemory:
        if self._memory is None:
            raise OperationError(f"the engine {self.name} is not connected")
        return self._memory

    def _readable(self, timeout_s: float) -> bool:
        poll = select.poll()
        poll.register(self._channel, select.POLLIN)
        return bool(poll.poll(max(0, round(timeout_s * 1000))))

    def _receive(self) -> bytes:
        try:
            return self._channel.recv(LARGEST_MESSAGE)
        except ConnectionError:
            return b""
