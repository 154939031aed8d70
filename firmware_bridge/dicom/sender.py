"""Sends what is in the outbox, until it has arrived."""

from __future__ import annotations

import logging
import threading
import warnings
from pathlib import Path
from typing import Any

from edge_cns.extras import require
from edge_cns.runtime import log
from firmware_bridge.dicom.outbox import Outbox
from firmware_bridge.dicom.quiet import quieten
from firmware_bridge.dicom.settings import ScuSettings

__all__ = ["Sender"]

_CLASSES = ("1.2.840.10008.5.1.4.1.1.88.34", "1.2.840.10008.5.1.4.1.1.7")  # Comprehensive 3D SR, Secondary Capture
_SYNTAXES = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2")
_PAUSES = (1.0, 300.0)  # seconds: after the first failure, and the longest
_CONNECT_SECONDS, _ANSWER_SECONDS = 10.0, 60.0
_CLOSE_SECONDS = 0.4
_WATCH_SECONDS = 0.2
_STORED = (0x0000, 0xB000, 0xB006, 0xB007)  # success, and success with a remark (PS3.4 B.2.3)


class Sender:
    """A thread that sends file by file, with growing pauses while the receiver is away.

    A file goes once the receiver has said that it stored the object. If this process dies in between, the object is
    sent again, with the same SOP Instance UID: the receiver has it once.

    Args:
        settings: the receiver.
        outbox: where the files are.
    """

    def __init__(self, settings: ScuSettings, outbox: Outbox) -> None:
        self._settings, self._outbox = settings, outbox
        self._net = require("pynetdicom", "bridge")
        quieten()
        self._closed = False
        self._wanted = threading.Event()
        self._thread = threading.Thread(target=self._run, name="dicom sender", daemon=True)
        self._association: Any = None
        self._failing = ""

    def start(self) -> None:
        """Begin, with what is there."""
        self._thread.start()

    def wake(self) -> None:
        """There is something new."""
        self._wanted.set()

    def close(self) -> None:
        """End, within half a second; what is under way is given up and stays in the outbox. May be called twice."""
        self._closed = True
        self._wanted.set()
        association = self._association
        if association is not None:
            association.abort(block=False)
        if self._thread.is_alive():
            self._thread.join(_CLOSE_SECONDS)

    def _run(self) -> None:
        pause, longest = _PAUSES
        while not self._closed:
            self._wanted.clear()
            try:
                waiting = self._outbox.waiting()
                failure = self._send(waiting) if waiting else ""
            except OSError as error:  # of the queue's disk
                waiting, failure = [], f"the queue cannot be used ({error.strerror})"
            self._said(failure, len(waiting))
            if not failure:
                pause = _PAUSES[0]
                if not waiting:
                    self._wanted.wait()
            elif not self._closed:
                woken = self._wanted.wait(pause)  # something new is tried at once, and makes no pause longer
                pause = pause if woken else min(2 * pause, longest)

    def _send(self, waiting: list[Path]) -> str:
        """Send files over one association; what went wrong with the first that did not arrive, or nothing."""
        entity = self._net.AE(ae_title=self._settings.ae)
        entity.acse_timeout = entity.connection_timeout = _CONNECT_SECONDS
        entity.dimse_timeout = entity.network_timeout = _ANSWER_SECONDS
        for sop_class in _CLASSES:
            entity.add_requested_context(sop_class, list(_SYNTAXES))
        tls = self._settings.tls
        try:
            association = entity.associate(
                self._settings.host,
                self._settings.port,
                ae_title=self._settings.called,
                tls_args=None if tls is None else (tls, self._settings.host),
            )
        except Exception as error:  # a library's own; its text may hold anything
            return f"no connection ({type(error).__name__})"
        self._association = association
        done = threading.Event()
        threading.Thread(target=_wake_when_gone, args=(association, done), name="dicom watch", daemon=True).start()
        try:
            if not association.is_established:
                return "the receiver refuses the association" if association.is_rejected else "no connection"
            failure = ""
            for path in waiting:
                if self._closed or not association.is_established:
                    return failure or "the connection broke"
                failure = self._store(association, path) or failure
            return failure
        finally:
            self._association = None
            done.set()
            if association.is_established:
                (association.abort if self._closed else association.release)()

    def _store(self, association: Any, path: Path) -> str:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                status = association.send_c_store(path)
        except Exception as error:  # no accepted context, a connection that broke, or a file that somebody damaged
            return f"an object cannot be sent ({type(error).__name__})"
        if "Status" not in status:
            return "the receiver gave no answer"
        if status.Status not in _STORED:
            return f"the receiver refuses an object (status 0x{status.Status:04X})"
        self._outbox.arrived(path)
        return ""

    def _said(self, failure: str, waiting: int) -> None:
        """Say what changed, once."""
        if self._closed or failure == self._failing:
            return
        if failure:
            detail = f"{self._settings.shown}: {failure}; {waiting} objects wait, and it is tried again"
            log.say("forward_failed", detail, level=logging.WARNING)
        else:
            log.say("forward_works", f"{self._settings.shown}: all that waited has arrived", level=log.NOTICE)
        self._failing = failure


def _wake_when_gone(association: Any, done: threading.Event) -> None:
    """End a wait for an answer of a receiver that is gone; the library may miss that between two objects."""
    while not done.wait(_WATCH_SECONDS):
        if not association.dul.is_alive():
            association.dimse.msg_queue.put((None, None))
