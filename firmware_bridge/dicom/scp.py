"""The storage SCP: an object is taken, or its sender is told why not."""

from __future__ import annotations

import io
import logging
import zlib
from typing import Any

from edge_cns.errors import BadInputError, EdgeCnsError
from edge_cns.extras import require
from edge_cns.runtime import log
from firmware_bridge.dicom.decoder import Decoder
from firmware_bridge.dicom.inbox import Inbox, Received
from firmware_bridge.dicom.server import LARGEST_PDU, Server
from firmware_bridge.dicom.settings import ScpSettings
from firmware_bridge.dicom.studies import Names
from firmware_bridge.dicom.syntaxes import CLASSES, DEFLATED, RETIRED, SYNTAXES

__all__ = ["StorageScp"]

_SUCCESS, _FULL, _MISMATCH, _DAMAGED = 0x0000, 0xA700, 0xA900, 0xC000  # PS3.4 B.2.3
_VERIFICATION = "1.2.840.10008.1.1"
_GREETING_SECONDS = 5.0
_COMMENT = 64  # characters (VR LO)


class StorageScp:
    """Listens from its making on.

    Args:
        settings: of the URI.
        inbox: where objects go.
        checker: opens each object before its sender is told that it was taken.
        names: of studies.

    Attributes:
        address: with the port that it has.

    Raises:
        BadInputError: the address cannot be listened on.
        MissingExtraError: pynetdicom is not installed.
        InitialisationError: the decoding process cannot be started.
    """

    def __init__(self, settings: ScpSettings, inbox: Inbox, checker: Decoder, names: Names) -> None:
        net = require("pynetdicom", "bridge")
        self._settings, self._inbox, self._checker, self._names = settings, inbox, checker, names
        entity = net.AE(ae_title=settings.ae)
        entity.maximum_associations = settings.associations
        entity.maximum_pdu_size = LARGEST_PDU
        entity.acse_timeout = _GREETING_SECONDS
        entity.dimse_timeout = entity.network_timeout = settings.idle
        entity.require_called_aet = True
        entity.require_calling_aet = list(settings.allow)
        entity.add_supported_context(_VERIFICATION)
        storage = require("pynetdicom.service_class", "bridge").StorageServiceClass
        for sop_class, keyword in RETIRED.items():  # which the library no longer knows
            net.register_uid(sop_class, keyword, storage)
        for sop_class in (*CLASSES, *RETIRED):
            entity.add_supported_context(sop_class, [*checker.syntaxes(), DEFLATED])
        handlers = [(net.evt.EVT_C_STORE, self._store), (net.evt.EVT_REJECTED, self._rejected)]
        self._server = Server(settings, entity, handlers)
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        self.address = f"dicom-scp://{host}:{self._server.port}"
        self._server.begin()

    def close(self) -> None:
        """Listen no more. May be called twice."""
        self._server.end()

    def _store(self, event: Any) -> Any:
        """Answer a C-STORE request; in the thread of its association."""
        try:
            return self._take(event)
        except BadInputError as error:
            log.say("dicom_refused", str(error), level=logging.WARNING)
            return self._answer(_DAMAGED, str(error))
        except EdgeCnsError as error:  # the decoder does not start, or it ends because the program does
            log.say("dicom_refused", str(error), level=logging.ERROR)
            return self._answer(_FULL, "the receiver cannot decode now")
        except MemoryError:
            return self._answer(_FULL, "the receiver is out of memory")
        except Exception as error:  # its text may quote the object
            log.say("dicom_refused", f"an object made a {type(error).__name__}", level=logging.ERROR)
            return self._answer(_DAMAGED, "the object cannot be read")

    def _take(self, event: Any) -> Any:
        content = _file(event, self._settings.max_bytes)
        size = sum(map(len, content))
        if not self._inbox.has_room(size):
            return self._full()
        described = self._checker.open(content)
        identity = described.identity
        if (event.request.AffectedSOPClassUID, event.request.AffectedSOPInstanceUID) != (
            identity.sop_class,
            identity.instance,
        ):
            log.say("dicom_refused", "an object is not the one that its request names", level=logging.WARNING)
            return self._answer(_MISMATCH, "the object is not the one that the request names")
        received = Received(self._names.key(identity.study, identity.attributes), described, content)
        return _SUCCESS if self._inbox.put(received) else self._full()

    def _full(self) -> Any:
        log.say("dicom_full", "an object was not taken: queue_mb is full", level=logging.WARNING)
        return self._answer(_FULL, "the queue is full, send it again later")

    def _answer(self, status: int, comment: str) -> Any:
        """A failure with its reason (PS3.7 C.4.2)."""
        answer = require("pydicom", "bridge").Dataset()
        answer.Status, answer.ErrorComment = status, comment[:_COMMENT]
        return answer

    def _rejected(self, event: Any) -> None:
        why = "an association was refused: who calls, whom it calls, or too many"
        self._server.rarely.say("dicom_rejected", why)


def _file(event: Any, most: int) -> tuple[bytes, bytes]:
    """What was received as a DICOM file, in two parts. Deflated data sets are inflated, as far as they may be large."""
    meta, data = event.file_meta, event.request.DataSet.getvalue()
    event.request.DataSet = None  # else the library keeps a copy for as long as it likes
    if str(event.context.transfer_syntax) == DEFLATED:
        data = _inflated(data, most)
        meta.TransferSyntaxUID = require("pydicom.uid", "bridge").UID(SYNTAXES[0])
    buffer = io.BytesIO()
    buffer.write(b"\0" * 128 + b"DICM")
    require("pydicom.filewriter", "bridge").write_file_meta_info(buffer, meta)
    return buffer.getvalue(), data


def _inflated(data: bytes, most: int) -> bytes:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)  # PS3.5 A.5: no header
    try:
        inflated = inflater.decompress(data, most)
    except zlib.error:
        raise BadInputError("the object is damaged (deflate); send it again") from None
    if inflater.unconsumed_tail or not inflater.eof:
        raise BadInputError("the object is cut short, or larger than max_mb when inflated; send it uncompressed")
    return inflated
