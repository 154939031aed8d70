"""``dicom-scu://``: an exam's result, as a structured report, into the outbox and from there to an archive."""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass

from edge_cns.bundle import Bundle
from edge_cns.errors import OperationError
from edge_cns.extras import require
from edge_cns.runtime import log
from edge_cns.runtime.sinks.base import Record, RecordType, ResultSink, Session
from firmware_bridge.dicom.exams import ExamGatherer, ExamResult
from firmware_bridge.dicom.outbox import Outbox
from firmware_bridge.dicom.picture import build_picture
from firmware_bridge.dicom.report import as_file, build_report, warm_up
from firmware_bridge.dicom.sender import Sender
from firmware_bridge.dicom.settings import ScuSettings, refuse_other_systems
from firmware_bridge.dicom.studies import STUDIES

__all__ = ["Forward", "open_forward"]

_UNWRITTEN = 64  # objects that wait in memory while the disk is full


def open_forward(uri: str) -> ResultSink:
    """Open ``dicom-scu://AE@HOST:PORT?queue=DIR&reviewed=1``. `docs/dicom.md` has the options.

    Raises:
        BadInputError: an option that cannot be used, or a queue that cannot be written or is another run's.
        MissingExtraError: pynetdicom, pydicom or highdicom is not installed.
        UnsupportedError: this is not Linux.
    """
    refuse_other_systems()
    require("highdicom", "bridge")
    return Forward(ScuSettings.parse(uri))


class Forward:
    """Writes reports, and sends what is in the queue, from this run or an earlier one.

    With ``reviewed``, when a person accepts an exam's finding, on what was accepted: it is on the disk at once, and is
    sent when the exam is over, so that a judgement can be taken back until then. Without, of every exam that ends, but
    those whose finding was rejected.
    """

    lossless = True

    def __init__(self, settings: ScuSettings) -> None:
        self._settings = settings
        self._outbox = Outbox(settings.queue)
        try:
            self._sender = Sender(settings, self._outbox)
        except BaseException:
            self._outbox.close()
            raise
        self._studies = STUDIES.subscribe(reviewed=settings.reviewed)
        self._gatherer: ExamGatherer | None = None
        self._bundle: Bundle | None = None
        self._unwritten: deque[_Report] = deque()
        self._held: list[_Report] = []

    def start(self, session: Session) -> None:
        """Begin to send.

        Raises:
            OperationError: the source has no studies on which anything could be reported.
        """
        self._sender.start()
        if not session.source.startswith("dicom-scp://"):
            raise OperationError("dicom-scu:// reports on studies; it needs --source dicom-scp://")
        self._bundle = session.bundle
        self._gatherer = ExamGatherer(session.bundle.contract.class_names, pictures=self._settings.overlay)
        warm_up(session.bundle)  # the first report costs ten times what the next one does

    def write(self, record: Record) -> None:
        """Take a record, and write what follows from it.

        Raises:
            OSError: the queue's disk is full, for instance. What could not be written is tried again with the next
                record.
        """
        assert self._gatherer is not None
        before, result = self._gatherer.exam, self._gatherer.take(record)
        if result is not None:
            self._judge(result)
        if record.type is RecordType.SUMMARY or record.value.get("event") == "exam_reset":
            self._release()
        if self._gatherer.exam != before:
            self._studies.forget(before)
        self._write()

    def close(self) -> None:
        """Stop sending; what has not arrived stays in the queue. May be called twice."""
        STUDIES.unsubscribe(self._studies)
        self._sender.close()
        self._outbox.close()

    def _judge(self, result: ExamResult) -> None:
        """What a result means for what is sent."""
        if not self._settings.reviewed:
            if result.over and result.accepted is not False:
                self._report(result, held=False)
        elif result.over:
            if result.accepted is None and result.finding is not None:
                log.say("report_unsent", "a finding was not judged in time, and is not sent", level=logging.WARNING)
        else:
            self._drop()  # what was accepted before: the last judgement counts
            if result.accepted:
                self._report(result, held=True)

    def _report(self, result: ExamResult, *, held: bool) -> None:
        assert self._bundle is not None
        study = self._studies.find(result.exam)
        if study is None:
            return
        built = [build_report(result, study, self._bundle)]
        picture = build_picture(result, study, self._bundle) if self._settings.overlay else None
        if picture is not None:
            built.insert(0, picture)  # what is looked at comes before what refers to the exam
        for dataset in built:
            if len(self._unwritten) == _UNWRITTEN:
                self._unwritten.popleft()
                log.say("report_lost", "the queue cannot be written, and the oldest is given up", level=logging.ERROR)
            report = _Report(str(dataset.SOPInstanceUID), as_file(dataset), held)
            self._unwritten.append(report)
            if held:
                self._held.append(report)

    def _drop(self) -> None:
        for report in self._held:
            if report in self._unwritten:
                self._unwritten.remove(report)
            else:
                self._outbox.drop(report.uid)
        self._held.clear()

    def _release(self) -> None:
        while self._held:
            report = self._held[0]
            if report not in self._unwritten:
                self._outbox.release(report.uid)
            report.held = False
            self._held.pop(0)
            self._sender.wake()

    def _write(self) -> None:
        while self._unwritten:
            report = self._unwritten[0]
            self._outbox.put(report.uid, report.content, held=report.held)
            self._unwritten.popleft()
            self._sender.wake()


@dataclass(slots=True, eq=False)
class _Report:
    """An object to be sent, or held."""

    uid: str
    content: bytes
    held: bool
