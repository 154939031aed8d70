"""The program's own log, on standard error: a line for each thing that happened, for people or for programs.

    configure("json")
    say("engine_died", "ended by signal 9", level=logging.WARNING)

    {"time": "2026-01-31T08:15:02.113Z", "level": "warning", "event": "engine_died", "detail": "ended by signal 9"}

Lines are written by a thread of their own: a terminal that was stopped, or a pipe that nobody reads, costs lines, and
never a frame. What other libraries log from a warning on comes in the same form, under their name as the event.
Passwords, tokens and folders are cut out of every line, whoever wrote it.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import re
import sys
import threading
from datetime import datetime, timezone
from typing import Literal

__all__ = ["NOTICE", "configure", "discreet", "say"]

NOTICE = 25
"""Level of what whoever has started it wants to read even on a quiet log."""

_STANDARD_ERROR = 2
_WAITING = 1000  # lines
_CLOSE_SECONDS = 0.3
_LONGEST = 1000  # characters of a detail

_USER = re.compile(r"(?<=://)[^\s/@]*(?:/[^\s@]*)?@")  # a password may have a slash in it
_SECRET = re.compile(
    r"(?i)\b((?:[a-z]+_)?(?:token|password|passwd|secret|key|authorization)\s*[=:]\s*)(?:bearer\s+)?[^\s&,;]+"
)
_FOLDERS = re.compile(r"(?:(?<![\w:/.])~?|(?<=file://)|(?<=dicom://)|(?<=jsonl://)|(?<=video://))/(?:[^/\n'\"]+/)+")

_LOGGER = logging.getLogger("edge_cns")
logging.addLevelName(NOTICE, "NOTICE")


def configure(format: Literal["text", "json"] = "text", *, quiet: bool = False) -> None:
    """Send the log to standard error; what an earlier call set up is replaced.

    Args:
        format: ``text``, or ``json``: one object a line with ``time`` (UTC), ``level``, ``event`` and ``detail``.
        quiet: notices, warnings and errors only.
    """
    root = logging.getLogger()
    for old in [handler for handler in root.handlers if isinstance(handler, _Handler)]:
        root.removeHandler(old)
        old.close()
    handler = _Handler()
    handler.setFormatter(_Json() if format == "json" else _Text())
    root.addHandler(handler)
    _LOGGER.setLevel(NOTICE if quiet else logging.INFO)


def say(event: str, detail: str = "", *, level: int = logging.INFO) -> None:
    """Log something that happened. Never waits, never raises.

    Args:
        event: a word for programs, such as ``engine_died``.
        detail: one line for a person.
        level: of `logging`.
    """
    _LOGGER.log(level, "%s", detail, extra={"event": event})


def discreet(text: str) -> str:
    """A text on one line, without what others must not read: passwords, tokens, and the folders of files."""
    text = _SECRET.sub(r"\1***", _USER.sub("***@", text[: 4 * _LONGEST]))
    text = _FOLDERS.sub(lambda found: "~/" if found[0].startswith("~") else "", text)[:_LONGEST]
    return "".join(c if c.isprintable() else " " for c in text).strip()


class _Handler(logging.Handler):
    """Formats in the caller's thread, writes in its own."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: queue.Queue[str | None] = queue.Queue(_WAITING)
        # Python has no standard error where the process was started without one; 2 is then somebody else's file.
        self._descriptor = None if sys.stderr is None else _STANDARD_ERROR
        self._thread = threading.Thread(target=self._write, name="log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._lines.put_nowait(self.format(record))
        except Exception:
            return  # full, or arguments that do not fit: no line is worth a frame

    def close(self) -> None:
        """Write what is waiting, within 0.3 s. Called at the end of the process, too."""
        super().close()
        try:
            self._lines.put_nowait(None)
        except queue.Full:
            return  # nobody reads: there is nothing to wait for
        self._thread.join(_CLOSE_SECONDS)

    def _write(self) -> None:
        while (line := self._lines.get()) is not None:
            if self._descriptor is not None:
                _write_line(self._descriptor, line)


def _write_line(descriptor: int, line: str) -> None:
    rest = f"{line}\n".encode("utf-8", "backslashreplace")
    try:
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    except OSError:
        return  # a full disk, a closed terminal: a log is no reason to end


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        event, detail = _parts(record)
        loud = f"{record.levelname} " if record.levelno >= logging.WARNING else ""
        return f"{_time(record):%H:%M:%S}Z {loud}{event}{f': {detail}' if detail else ''}"


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        event, detail = _parts(record)
        time = _time(record).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        value = {"time": time, "level": record.levelname.lower(), "event": event, "detail": detail}
        return json.dumps(value, ensure_ascii=False)


def _time(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, timezone.utc)


def _parts(record: logging.LogRecord) -> tuple[str, str]:
    """Event and detail; of an exception its last line."""
    detail = record.getMessage()
    if record.exc_info and (error := record.exc_info[1]) is not None:
        detail += f" ({type(error).__name__}: {error})"
    return discreet(str(getattr(record, "event", record.name))), discreet(detail)
