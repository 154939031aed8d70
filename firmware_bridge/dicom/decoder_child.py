"""The decoding process: what strangers send meets pydicom and the decoders' C code here, and nowhere else.

Started by `firmware_bridge.dicom.decoder`. It ends when the bridge does. A decoder that hangs is ended by an alarm, one
that eats memory by a limit, and a crash takes nothing with it.
"""

from __future__ import annotations

import importlib
import itertools
import os
import resource
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from edge_cns.data.dicom_clip import DicomClip
from edge_cns.data.dicom_identity import Identity
from edge_cns.errors import BadInputError
from edge_cns.frames import Frame
from firmware_bridge.dicom.syntaxes import SYNTAXES
from firmware_bridge.dicom.wire import NEXT, OPEN, send

__all__ = ["describe", "main"]

_MEMORY = 4 * 2**30  # bytes of address space: twenty times what a large clip needs
_NAME = "the object"


def main(arguments: list[str]) -> None:
    """Serve until the bridge closes the socket.

    Args:
        arguments: descriptor of the socket, and the seconds after which a request is given up.
    """
    link, patience = arguments
    _settle()
    channel = socket.socket(fileno=int(link))
    with suppress(ConnectionError):  # the bridge has ended
        send(channel, {"syntaxes": _decodable()})
        _Server(channel, int(patience)).serve()


class _Server:
    def __init__(self, channel: socket.socket, patience: int) -> None:
        self._channel, self._patience = channel, patience
        self._content = -1
        self._frames: Iterator[tuple[Frame | BadInputError, float]] = iter(())

    def serve(self) -> None:
        while True:
            request, descriptors, _, _ = socket.recv_fds(self._channel, 1, 1)
            if not request:
                return
            signal.alarm(self._patience)
            if request == OPEN:
                self._open(descriptors[0])
            elif request == NEXT:
                self._next()
            signal.alarm(0)

    def _open(self, content: int) -> None:
        if self._content >= 0:
            os.close(self._content)
        self._content, self._frames = content, iter(())
        try:
            clip, frames = describe(Path(f"/proc/self/fd/{content}"))
        except BadInputError as error:
            send(self._channel, {"error": str(error)})
            return
        self._frames = zip(frames, clip.seconds, strict=True)
        send(self._channel, {"frames": len(clip.seconds), "identity": _json(clip.identity)})

    def _next(self) -> None:
        step = next(self._frames, None)
        if step is None:
            send(self._channel, {"end": True})
            return
        frame, seconds = step
        if isinstance(frame, BadInputError):
            send(self._channel, {"error": str(frame), "seconds": seconds})
            return
        region = frame.region
        head = {
            "seconds": seconds,
            "shape": frame.pixels.shape,
            "dtype": frame.pixels.dtype.str,
            "mm_per_pixel": frame.mm_per_pixel,
            "region": None if region is None else [region.x, region.y, region.width, region.height],
            "bits_stored": frame.bits_stored,
        }
        send(self._channel, head, np.ascontiguousarray(frame.pixels).tobytes())


def describe(path: Path) -> tuple[DicomClip, Iterator[Frame | BadInputError]]:
    """Open an object and decode its first frame, so that a damaged one is known before anybody is told of success.

    Returns:
        The clip, and all its frames.

    Raises:
        BadInputError: it cannot be used; one line without a word of the header.
    """
    try:
        clip = DicomClip(path, _NAME)
        frames = iter(clip)
        first = next(frames)
    except BadInputError:
        raise
    except Exception as error:  # whatever it is, its text may quote the header
        raise BadInputError(f"{_NAME} cannot be decoded ({type(error).__name__}); copy it again") from None
    if isinstance(first, BadInputError):
        raise first
    identity = clip.identity
    if not (identity.study and identity.series and identity.instance and identity.sop_class):
        raise BadInputError(f"{_NAME} has no valid UIDs of study, series, instance and class; mend what wrote it")
    return clip, itertools.chain([first], frames)


def _json(identity: Identity) -> dict[str, Any]:
    taken = identity.taken
    return asdict(identity) | {"taken": None if taken is None else taken.isoformat()}


def _decodable() -> list[str]:
    """Transfer syntaxes for which there is a decoder here."""
    decoders = importlib.import_module("pydicom.pixels")
    return [syntax for syntax in SYNTAXES if decoders.get_decoder(syntax).is_available]


def _settle() -> None:
    """Outlive what is meant for the bridge, and nothing else."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a dump of memory holds somebody's image
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write("1000")  # where memory runs out, this process goes, and not the runtime


if __name__ == "__main__":
    main(sys.argv[1:])
