"""``dicom-scp://``: what hospital machines and archives store here, played exam by exam."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Generator, Iterator
from dataclasses import replace

from edge_cns.errors import BadInputError, EdgeCnsError
from edge_cns.frames import Delivery, EventKind, FrameSource, MachineEvent, UnusableFrame
from edge_cns.runtime import log
from edge_cns.runtime.sources.pacing import Pacer
from firmware_bridge.dicom.decoder import Decoder
from firmware_bridge.dicom.inbox import Inbox, Received
from firmware_bridge.dicom.scp import StorageScp
from firmware_bridge.dicom.settings import ScpSettings, refuse_other_systems
from firmware_bridge.dicom.studies import STUDIES, Names, Study
from firmware_bridge.dicom.watch import Watch

__all__ = ["ScpSource", "open_scp"]

_B_MODE = "B"
_IDLE_SECONDS = 1.0
_HOLD_SECONDS = 0.25  # without another frame: the image is held before the runtime calls it missing
_SETTLE_SECONDS = 2.0  # for the runtime to answer the frames before that
_POLL_SECONDS = 0.25


def open_scp(uri: str, *, live: bool = False) -> FrameSource:
    """Open ``dicom-scp://ADDR:PORT?ae=EDGECNS``: listen, and play what is stored. `docs/dicom.md` has the options.

    Args:
        uri: see `ScpSettings`.
        live: makes no difference: objects come when they come, and are played at the rate that they state.

    Raises:
        BadInputError: an option that cannot be used, or an address that cannot be listened on.
        MissingExtraError: pynetdicom or pydicom is not installed.
        InitialisationError: the decoding process cannot be started.
        UnsupportedError: this is not Linux.
    """
    refuse_other_systems()
    return ScpSource(ScpSettings.parse(uri))


class ScpSource:
    """A storage SCP as a source.

    A study is an exam: `EventKind.EXAM` with an opaque id, then the frames of its objects, one object after the other.
    After the last one the image is held (`EventKind.FREEZE`) until another comes. The exam ends, and another may begin,
    when none has come for a time; objects of other studies wait for that.

    Attributes:
        reply: the sink that tells the source how far the runtime is.
        address: where it listens.
    """

    def __init__(self, settings: ScpSettings) -> None:
        self._settings = settings
        self._closed = threading.Event()
        self._inbox = Inbox(settings.queue_bytes)
        self._names = Names()
        self._player, self._checker = Decoder(), Decoder()
        self._player.launch()
        try:
            self._server = StorageScp(settings, self._inbox, self._checker, self._names)
        except BaseException:
            self._checker.close()
            self._player.close()
            raise
        self.address = self._server.address
        self._watch = Watch(self.address)
        self.reply = self._watch
        self._pacer = Pacer(self._closed)
        self._sequence = 0
        self._pause = 0.0
        self._held = False
        self._mode = _B_MODE

    def __iter__(self) -> Iterator[Delivery]:
        """Yield until closed."""
        try:
            while not self._closed.is_set():
                received = self._inbox.take(None, _IDLE_SECONDS)
                if received is not None:
                    yield from self._exam(received)
        except EdgeCnsError:
            if not self._closed.is_set():  # else it is the decoder that was closed with the source
                raise

    def close(self) -> None:
        """Listen no more, and forget what waits. From any thread; may be called twice."""
        if self._closed.is_set():
            return
        self._closed.set()
        left = self._inbox.close()
        if left:
            log.say("dicom_unread", f"{left} objects were received and not classified", level=logging.WARNING)
        self._watch.close()
        self._server.close()
        self._checker.close()
        self._player.close()

    def _exam(self, received: Received | None) -> Iterator[Delivery]:
        """One study from its first object to its end."""
        assert received is not None
        key, study = received.study, Study(received.described.identity)
        exam = self._names.exam(key)
        STUDIES.begin(exam, study)
        yield MachineEvent.now(EventKind.EXAM, exam)
        while received is not None and not self._closed.is_set():
            yield from self._object(received, study)
            received = None  # its memory is free while the next one is waited for
            received = yield from self._following(key)
        self._inbox.finish(key)
        if not self._closed.is_set():
            yield MachineEvent.now(EventKind.EXAM_END)

    def _object(self, received: Received, study: Study) -> Iterator[Delivery]:
        """The frames of one object, each captured when it is delivered."""
        try:
            described = self._player.open(received.content)
        except BadInputError as error:  # it could be decoded when it came
            yield self._stamped(UnusableFrame(str(error), 0, 0))
            return
        if self._held:
            self._held = False
            yield MachineEvent.now(EventKind.LIVE)
        mode = described.identity.mode or _B_MODE
        if mode != self._mode:
            self._mode = mode
            yield MachineEvent.now(EventKind.MODE, mode)
        study.shown(described.identity, self._sequence, described.frames)
        for content, seconds in self._player.play():
            if not self._pacer.wait(self._pause):
                return
            yield self._stamped(content)
            self._pause = seconds if self._settings.seconds is None else self._settings.seconds

    def _following(self, key: str) -> Generator[Delivery, None, Received | None]:
        """The study's next object, or ``None`` when its exam is over; the image is held meanwhile."""
        since = time.monotonic()
        received = self._inbox.take(key, _HOLD_SECONDS)
        if received is None and not self._closed.is_set():
            self._watch.wait_for(self._sequence - 1, _SETTLE_SECONDS)
            self._held = True
            yield MachineEvent.now(EventKind.FREEZE)
        while received is None and not self._closed.is_set() and not self._over(time.monotonic() - since):
            received = self._inbox.take(key, _POLL_SECONDS)
        return received

    def _over(self, idle: float) -> bool:
        """Whether an exam without a new object for so many seconds has ended."""
        asked = self._settings
        if idle < (asked.overlap if self._inbox.waiting else asked.quiet):
            return False
        return not (STUDIES.reviewed and self._watch.unjudged and idle < asked.review)

    def _stamped(self, content: Delivery) -> Delivery:
        assert not isinstance(content, MachineEvent)
        stamped = replace(content, captured_ns=time.monotonic_ns(), sequence=self._sequence)
        self._sequence += 1
        return stamped
