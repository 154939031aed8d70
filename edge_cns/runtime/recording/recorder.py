"""Keeps a session on a disk, in a thread of its own: whatever the disk does, the classification goes on."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_cns import __version__
from edge_cns.bundle import MANIFEST, Bundle
from edge_cns.errors import BadInputError, told
from edge_cns.frames import EventKind, Frame
from edge_cns.runtime.live.observations import EngineChanged, Machine, Observation, Result
from edge_cns.runtime.recording.codec import Entry, encode, pack
from edge_cns.runtime.recording.layout import Kind
from edge_cns.runtime.recording.seal import make_seal
from edge_cns.runtime.recording.store import SegmentStore
from edge_cns.runtime.recording.waiting import Waiting
from edge_cns.runtime.sinks.base import Record

__all__ = ["Recorder", "identity"]

_RETRY_S = 10.0
_SHARE_FOR_FRAMES = 0.6  # of the time for closing


class Recorder:
    """A `edge_cns.runtime.live.dispatcher.Journal` on a disk.

    Args:
        folder: new, or empty.
        bundle: that classifies.
        key: 32 bytes (`edge_cns.runtime.recording.key.read_key`); ``None`` writes everybody's to read.
        limit_bytes: of the recording; its oldest segments are deleted before it grows larger.
        options: of the session, JSON-ready, as a reader shall see them: no password, no full path.

    Raises:
        BadInputError: the folder holds something, is none, or cannot be written.
        MissingExtraError: encryption needs the ``live`` extra.
    """

    def __init__(
        self, folder: Path, bundle: Bundle, *, key: bytes | None, limit_bytes: int, options: Mapping[str, Any]
    ) -> None:
        seal = make_seal(key)
        _claim(folder)
        self._header = {**identity(bundle), "edge_cns": __version__, "options": dict(options)}
        self._stands = {"mode": "", "backend": ""}
        self._store = SegmentStore(folder, seal, limit_bytes, self._opening)
        self._waiting = Waiting()
        self._thread: threading.Thread | None = None
        self._say: Callable[[str, str], None] = _unheard
        self._state = "off"
        self._retry_at = 0.0
        self._gap = 0
        self._frames_kept = self._frames_lost = self._bytes = 0

    @property
    def state(self) -> dict[str, Any]:
        """``state`` (``on``, ``off``, or ``stopped`` by an error), ``bytes`` on the disk, ``frames_kept`` and
        ``frames_not_kept``; from any thread."""
        return {
            "state": self._state,
            "bytes": self._bytes,
            "frames_kept": self._frames_kept,
            "frames_not_kept": self._frames_lost + self._waiting.frames_left_out,
        }

    @property
    def started(self) -> bool:
        """Whether anything can have been written."""
        return self._thread is not None

    def start(self, engine: Mapping[str, Any], on_event: Callable[[str, str], None]) -> None:
        """Begin to write.

        Args:
            engine: `edge_cns.runtime.selftest.engine_identity` of the engine that runs.
            on_event: told ``(event, detail)``: ``recording_stopped`` or ``recording_resumed``, in another thread.

        Raises:
            BadInputError: nothing can be written there; nothing has run yet.
        """
        started = datetime.now(timezone.utc).isoformat(timespec="seconds")
        self._header |= {"engine": dict(engine), "started_at": started}
        self._stands["backend"] = str(engine.get("name", ""))
        try:
            self._store.begin()
        except OSError as error:
            raise BadInputError(f"nothing can be recorded ({told(error)}); give another --record DIR") from None
        self._say, self._state, self._bytes = on_event, "on", self._store.size
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    def take(
        self,
        seen: Observation,
        frame: Frame | None = None,
        outputs: Mapping[str, NDArray[np.int8]] | None = None,
        records: Sequence[Record] = (),
    ) -> None:
        """Keep an observation; never waits, copies nothing.

        Args:
            seen: in order.
            frame, outputs: of a result.
            records: what the monitor said to it.
        """
        if isinstance(seen, Result):
            seen = replace(seen, frame=None)  # it would keep pixels alive that are not counted
        said = tuple((record.type.value, record.value) for record in records)
        self._waiting.put(Entry(seen, frame, outputs, said))

    def end(self, timeout: float) -> None:
        """Take no more, and finish within ``timeout`` s: the last of what waits without frames. Returns at once."""
        now = time.monotonic()
        self._waiting.end(now + _SHARE_FOR_FRAMES * timeout, now + timeout)

    def close(self, timeout: float) -> bool:
        """`end`, unless that was said before, and wait for it up to ``timeout`` s. May be called twice.

        Returns:
            Whether it is finished. A disk that hangs is left to itself.
        """
        self.end(timeout)
        if self._thread is not None:
            self._thread.join(timeout)
            if self._thread.is_alive():
                return False
        self._state = "off"
        return True

    def _run(self) -> None:
        """The recorder's thread."""
        while (entry := self._waiting.take()) is not None:
            self._gap += entry.lost_before
            self._keep(entry)
            self._look_at(entry.seen)
        self._end()

    def _keep(self, entry: Entry) -> None:
        if self._state == "stopped" and time.monotonic() < self._retry_at:
            self._lose(entry)
            return
        try:
            payload = encode(entry)
            if self._gap:
                self._store.append(Kind.GAP, pack({"lost": self._gap, "stands": self._stands}))
                self._gap = 0
            self._store.append(Kind.OBSERVATION, payload)
        except Exception as error:  # neither a full disk nor an odd value may end the recording for good
            self._lose(entry)
            self._pause(error)
            return
        self._bytes = self._store.size
        self._frames_kept += entry.frame is not None
        if self._state == "stopped":
            self._state = "on"
            self._say("recording_resumed", "the recording goes on; what came meanwhile is not in it")

    def _lose(self, entry: Entry) -> None:
        self._gap += 1
        self._frames_lost += entry.frame is not None

    def _pause(self, error: Exception) -> None:
        self._retry_at = time.monotonic() + _RETRY_S
        if self._state == "on":
            self._state = "stopped"
            again = f"tried again every {_RETRY_S:g} s; the classification goes on"
            self._say("recording_stopped", f"{told(error)}; {again}")

    def _look_at(self, seen: Observation) -> None:
        """Remember what somebody needs who begins to read after this."""
        if isinstance(seen, Machine) and seen.kind is EventKind.MODE:
            self._stands["mode"] = seen.value
        elif isinstance(seen, EngineChanged) and seen.up:
            self._stands["backend"] = seen.backend

    def _end(self) -> None:
        lost = self._gap + self._waiting.left()
        try:
            self._store.close(pack({"lost": lost, **{k: v for k, v in self.state.items() if k.startswith("frames")}}))
        except Exception as error:
            self._pause(error)
        self._bytes = self._store.size

    def _opening(self) -> bytes:
        return pack({"header": self._header, "stands": self._stands})


def identity(bundle: Bundle) -> dict[str, Any]:
    """Which bundle it is: its folder's name, and SHA-256 of ``model.tflite``, of the contract and of the manifest."""
    manifest = bundle.path / MANIFEST
    contents = {
        "model_sha256": bundle.files["model.tflite"],
        "contract_sha256": bundle.files["contract.json"],
        "manifest_sha256": manifest.read_bytes(),
    }
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    return {"bundle": bundle.path.resolve().name, **digests}


def _claim(folder: Path) -> None:
    """Make the folder, or see that it is empty."""
    try:
        if folder.is_dir():
            if os.listdir(folder):
                raise BadInputError(f"{folder} is not empty; give a new or empty folder to --record")
        elif folder.exists() or folder.is_symlink():
            raise BadInputError(f"{folder} is no folder; give a new or empty folder to --record")
        else:
            folder.mkdir(0o700)
        folder.chmod(0o700)
    except OSError as error:
        raise BadInputError(f"{folder} cannot be made ({error.strerror}); give another folder to --record") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise BadInputError(f"{folder} cannot be written; give another folder to --record")


def _unheard(event: str, detail: str) -> None:
    """Before anybody listens."""
