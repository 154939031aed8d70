"""Coverage-guided fuzzing of what strangers may send as DICOM (atheris).

    python -m benchmarks.fuzz.dicom object --seconds 600      # objects: header, regions, decoders
    python -m benchmarks.fuzz.dicom stream --seconds 600      # what comes over a connection before there is an object

Anything but a clean refusal is a find: another exception, a crash, more than 20 s, more than 2 GiB. The bridge decodes
in a process of its own, so that a crash there is one damaged object; it is looked for all the same. Finds are left in
`--artifacts`. Needs `pip install atheris`.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["pydicom", "pynetdicom", "edge_cns.data", "firmware_bridge.dicom"]):
    import pydicom
    from pynetdicom import pdu

    from edge_cns.errors import BadInputError
    from firmware_bridge.dicom.decoder_child import describe
    from firmware_bridge.dicom.guard import Guard, RefusedError
    from firmware_bridge.dicom.quiet import quieten

_LARGEST_SEED = 40_000  # bytes
_FRAMES = 3
_PDUS = (
    (1, pdu.A_ASSOCIATE_RQ),
    (2, pdu.A_ASSOCIATE_AC),
    (3, pdu.A_ASSOCIATE_RJ),
    (4, pdu.P_DATA_TF),
    (5, pdu.A_RELEASE_RQ),
    (6, pdu.A_RELEASE_RP),
    (7, pdu.A_ABORT_RQ),
)


quieten()


def one_object(data: bytes) -> None:
    """An object as the decoding process sees it."""
    descriptor = os.memfd_create("fuzz")
    try:
        os.write(descriptor, data)
        _, frames = describe(Path(f"/proc/self/fd/{descriptor}"))
        for _, frame in zip(range(_FRAMES), frames, strict=False):
            assert frame is not None
    except BadInputError:
        return
    finally:
        os.close(descriptor)


def one_stream(data: bytes) -> None:
    """Bytes of a connection: through the guard, and PDU by PDU into the library's parser."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(data[:100_000])
        theirs.shutdown(socket.SHUT_WR)
        guard = Guard(ours, most_pdu=32_768, most_bytes=60_000, idle=1.0, total=1.0)
        try:
            while head := guard.recv(6):
                body = b""
                length = int.from_bytes(head[2:6], "big")
                while len(body) < length and (part := guard.recv(min(4096, length - len(body)))):
                    body += part
                _parse(bytes(head) + body)
        except RefusedError:
            return


def _parse(content: bytes) -> None:
    """What pynetdicom does with a PDU. It catches whatever its parser raises, and so does this."""
    kind = dict(_PDUS).get(content[0])
    if kind is None:
        return
    try:
        made = kind()
        made.decode(content)
        made.to_primitive()
    except Exception:  # only crashes, hangs and memory are looked for here
        return


def _seeds(folder: Path, target: str) -> None:
    if target == "stream":
        (folder / "echo").write_bytes(_association())
        return
    packaged = Path(pydicom.__file__).parent / "data" / "test_files"
    for path in packaged.glob("*.dcm"):
        if path.stat().st_size <= _LARGEST_SEED:
            (folder / path.name).write_bytes(path.read_bytes())


def _association() -> bytes:
    """An association request and a C-ECHO, as a peer sends them."""
    from pynetdicom import build_context
    from pynetdicom.dimse_messages import C_ECHO_RQ
    from pynetdicom.dimse_primitives import C_ECHO
    from pynetdicom.pdu_primitives import A_ASSOCIATE, ImplementationClassUIDNotification, MaximumLengthNotification

    asked = A_ASSOCIATE()
    asked.application_context_name = "1.2.840.10008.3.1.1.1"
    asked.calling_ae_title, asked.called_ae_title = "FUZZ", "EDGECNS"
    length, implementation = MaximumLengthNotification(), ImplementationClassUIDNotification()
    length.maximum_length_received, implementation.implementation_class_uid = 16_382, pydicom.uid.UID("1.2.3")
    asked.user_information = [length, implementation]
    context = build_context("1.2.840.10008.1.1")
    context.context_id = 1
    asked.presentation_context_definition_list = [context]
    request = pdu.A_ASSOCIATE_RQ()
    request.from_primitive(asked)
    echo, message = C_ECHO(), C_ECHO_RQ()
    echo.MessageID, echo.AffectedSOPClassUID = 1, "1.2.840.10008.1.1"
    message.primitive_to_message(echo)
    parts = [request.encode()]
    for primitive in message.encode_msg(1, 16_382):
        data = pdu.P_DATA_TF()
        data.from_primitive(primitive)
        parts.append(data.encode())
    return b"".join(parts)


def main() -> None:
    """Fuzz until the time is up."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("target", choices=["object", "stream"])
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--artifacts", type=Path, default=Path("fuzz-finds"))
    asked = parser.parse_args()
    asked.artifacts.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as corpus:
        _seeds(Path(corpus), asked.target)
        options = [
            f"-max_total_time={asked.seconds}",
            f"-artifact_prefix={asked.artifacts}/",
            "-timeout=20",
            "-rss_limit_mb=2048",
            f"-max_len={_LARGEST_SEED}",
            "-print_final_stats=1",
        ]
        atheris.Setup([sys.argv[0], *options, corpus], one_object if asked.target == "object" else one_stream)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
