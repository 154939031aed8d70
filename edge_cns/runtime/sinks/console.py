"""``console://``: what changes, for a person at a terminal."""

from __future__ import annotations

import sys
import time
from typing import Any, TextIO

from edge_cns.errors import BadInputError
from edge_cns.runtime.sinks.base import Record, RecordType, ResultSink, Session

__all__ = ["Console", "open_console"]


def open_console(uri: str) -> ResultSink:
    """Open ``console://``.

    Raises:
        BadInputError: more than that.
    """
    if uri != "console://":
        raise BadInputError(f"{uri}: the console takes no options; give console://")
    return Console(sys.stdout)


class Console:
    """A line whenever something else is to be said than before."""

    lossless = True

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._began = time.monotonic()
        self._said = ""

    def start(self, session: Session) -> None:
        """See `ResultSink.start`."""

    def write(self, record: Record) -> None:
        """See `ResultSink.write`."""
        line = _line(record)
        said = "".join(c for c in line if not c.isdigit())  # ages and counts alone are no news
        if line and said != self._said:
            self._said = said
            self._stream.write(f"{time.monotonic() - self._began:8.2f} s  {line}\n")
            self._stream.flush()

    def close(self) -> None:
        """See `ResultSink.close`."""


def _line(record: Record) -> str:
    value: Any = record.value
    match record.type:
        case RecordType.SELFTEST:
            remarks = f", {value['remarks']}" if value["remarks"] else ""
            engine = f"{value['backend']} ({value['golden']}), a run takes {value['warm_up_ms']:.1f} ms"
            return f"self-test passed on {engine}; research use only{remarks}"
        case RecordType.EVENT:
            return f"{value['event'].replace('_', ' ')}: {value['detail']}".rstrip(": ")
        case RecordType.VERDICT:
            shown = value["steady"]
            words = shown["label"] or shown["state"].replace("_", " ")
            held = " (frozen image, not live)" if value["frozen"] == "announced" else ""
            quiet = shown["state"] in ("class", "indeterminate", "not_supported_view")
            return words + held if quiet else f"{words}: {value['reason']}"
        case RecordType.EXAM:
            return f"exam: {value['reason']}"
        case RecordType.SUMMARY:
            frames = value["frames"]
            dropped = ", ".join(f"{n} {cause}" for cause, n in frames["dropped"].items()) or "none"
            seen = f"{frames['seen']} frames seen, {frames['classified']} classified, dropped: {dropped}"
            return f"{value['ended']}; {seen}; {value['restarts']} restarts"
        case _:
            return ""
