"""A process that ends exam after exam, to be killed: feeder.py PORT QUEUE FIRST COUNT. Says each that is queued."""

from __future__ import annotations

import sys
import time

from edge_cns.data.dicom_identity import Identity
from firmware_bridge.dicom.forward import open_forward
from firmware_bridge.dicom.studies import STUDIES, Study
from tests.firmware_bridge.dicom.material import US, event, exam, session


def main(port: str, queue: str, first: str, count: str) -> None:
    sink = open_forward(f"dicom-scu://ARCHIVE@127.0.0.1:{port}?queue={queue}&reviewed=0")
    sink.start(session())
    for number in range(int(first), int(first) + int(count)):
        study = Study(Identity(f"1.2.3.{number}", f"1.2.3.{number}.1", f"1.2.3.{number}.1.1", US))
        study.shown(study.identity, 0, 30)
        STUDIES.begin(f"exam{number}", study)
        sink.write(event("exam_reset", exam=f"exam{number}"))
        sink.write(exam(f"exam{number}"))
        sink.write(event("exam_reset", exam=""))
        print(number, flush=True)
    until = time.monotonic() + 60
    while sink._outbox.waiting() and time.monotonic() < until:
        time.sleep(0.05)
    sink.close()
    print("done", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
