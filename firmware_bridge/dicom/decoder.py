"""Decoding in a process of its own, seen from the bridge: a decoder that crashes or hangs is a damaged object."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from edge_cns.data.dicom_identity import Identity
from edge_cns.errors import BadInputError, EdgeCnsError, InitialisationError, OperationError, OperationTimeoutError
from edge_cns.frames import MAX_SIDE, Frame, Region, UnusableFrame
from firmware_bridge.dicom.wire import NEXT, OPEN, receive

__all__ = ["Decoder", "Described", "Step"]

_ENVIRONMENT = {
    "PYTHONSAFEPATH": "1",  # what lies in the working folder is not imported
    "OPENBLAS_NUM_THREADS": "1",
}
_START_SECONDS = 30.0
_ANSWER_SECONDS = 20.0  # the largest frame on a small board
_DEATH_SECONDS = 0.2
_LARGEST_FRAME = MAX_SIDE * MAX_SIDE * 3 * 2  # bytes
_MEND = "copy it again, or store it uncompressed"

Step = tuple[Frame | UnusableFrame, float]
"""A frame, or why it is none, and the seconds for which it is shown."""


@dataclass(frozen=True, slots=True)
class Described:
    """What an object holds: so many frames, and whose."""

    frames: int
    identity: Identity


class Decoder:
    """The process. It is started when it is needed, and again after it died. From any thread, one call at a time.

    Args:
        seconds: for one answer.
    """

    def __init__(self, seconds: float = _ANSWER_SECONDS) -> None:
        self._seconds = seconds
        self._one_at_a_time = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self._closed = self._greeted = False
        self._syntaxes: tuple[str, ...] = ()

    def launch(self) -> None:
        """Start the process, and do not wait for it."""
        with self._one_at_a_time:
            if self._channel is None and not self._closed:
                self._launch()

    def syntaxes(self) -> tuple[str, ...]:
        """Transfer syntaxes that can be decoded.

        Raises:
            InitialisationError: the process cannot be started.
        """
        with self._one_at_a_time:
            self._started()
            return self._syntaxes

    def open(self, content: Sequence[bytes]) -> Described:
        """Look at an object, and decode its first frame.

        Args:
            content: a DICOM file, in parts.

        Raises:
            BadInputError: it is damaged, no image, or without what a report must name; one line without a word of it.
            InitialisationError: the process cannot be started.
        """
        with self._one_at_a_time:
            head, _ = self._ask(OPEN, content)
            if "error" in head:
                raise BadInputError(str(head["error"]))
            try:
                return _described(head)
            except (KeyError, TypeError, ValueError):
                raise BadInputError(f"the object makes its decoder talk nonsense; {_MEND}") from None

    def play(self) -> Iterator[Step]:
        """All frames of the object that was opened last."""
        while (step := self._next()) is not None:
            yield step

    def close(self) -> None:
        """End the process, from any thread. May be called twice."""
        self._closed = True
        self._end()

    def _next(self) -> Step | None:
        with self._one_at_a_time:
            if self._channel is None:
                return None  # it died with the frame before: the rest of the object went with it
            try:
                head, content = self._ask(NEXT)
                return None if "end" in head else _step(head, content)
            except BadInputError as error:
                return UnusableFrame(str(error), 0, 0), 0.0
            except (KeyError, TypeError, ValueError):
                return UnusableFrame(f"the object makes its decoder talk nonsense; {_MEND}", 0, 0), 0.0

    def _ask(self, request: bytes, content: Sequence[bytes] = ()) -> tuple[dict[str, Any], bytearray]:
        channel = self._started()
        try:
            if content:
                descriptor = _memory(content)
                try:
                    socket.send_fds(channel, [request], [descriptor])
                finally:
                    os.close(descriptor)
            else:
                channel.sendall(request)
            return receive(channel, self._seconds, _LARGEST_FRAME)
        except OperationTimeoutError:
            self._end()
            raise BadInputError(f"the object keeps its decoder for more than {self._seconds:g} s; {_MEND}") from None
        except (OSError, OperationError):
            raise BadInputError(f"the object ends its decoder ({self._epitaph()}); {_MEND}") from None

    def _started(self) -> socket.socket:
        if self._closed:
            raise OperationError("the decoder is closed")
        channel = self._channel or self._launch()
        if not self._greeted:
            try:
                self._syntaxes = tuple(map(str, receive(channel, _START_SECONDS, 0)[0]["syntaxes"]))
            except (EdgeCnsError, KeyError, TypeError):
                why = self._epitaph()
                raise InitialisationError(f"the DICOM decoder does not start ({why}); reinstall it") from None
            self._greeted = True
        return channel

    def _launch(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", "firmware_bridge.dicom.decoder_child", str(theirs.fileno())]
            self._process = subprocess.Popen(  # noqa: S603 - ourselves
                [*command, str(round(self._seconds) + 5)],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=os.environ | _ENVIRONMENT,
            )
        self._channel, self._greeted = ours, False
        return ours

    def _epitaph(self) -> str:
        process = self._process
        status: int | None = None
        if process is not None:
            with suppress(subprocess.TimeoutExpired):
                status = process.wait(_DEATH_SECONDS)
        self._end()
        if status is None:
            return "no sensible answer"
        return f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"

    def _end(self) -> None:
        channel, process = self._channel, self._process
        self._channel = self._process = None
        if channel is not None:
            with suppress(OSError):
                channel.shutdown(socket.SHUT_RDWR)  # ends a wait in another thread
            channel.close()
        if process is not None and process.returncode is None:
            process.kill()
            with suppress(subprocess.TimeoutExpired):
                process.wait(_DEATH_SECONDS)


def _memory(parts: Sequence[bytes]) -> int:
    """A descriptor of anonymous memory with an object in it, which nobody can change any more."""
    descriptor = os.memfd_create("edge-cns object", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with open(descriptor, "wb", closefd=False) as file:
        for part in parts:
            file.write(part)
    seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
    return descriptor


def _described(head: dict[str, Any]) -> Described:
    identity = dict(head["identity"])
    taken = identity.pop("taken")
    return Described(
        int(head["frames"]), Identity(**identity, taken=None if taken is None else datetime.fromisoformat(taken))
    )


def _step(head: dict[str, Any], content: bytearray) -> Step:
    seconds = float(head["seconds"])
    if "error" in head:
        return UnusableFrame(str(head["error"]), 0, 0), seconds
    pixels = np.frombuffer(content, np.dtype(str(head["dtype"]))).reshape(head["shape"])
    region, spacing = head["region"], head["mm_per_pixel"]
    frame = Frame(
        pixels,
        mm_per_pixel=None if spacing is None else (float(spacing[0]), float(spacing[1])),
        region=None if region is None else Region(*map(int, region)),
        bits_stored=head["bits_stored"],
    )
    return frame, seconds
