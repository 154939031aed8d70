"""One sink in a thread of its own: whatever it does, it holds up neither the runtime nor another sink."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace

from edge_cns.errors import told
from edge_cns.runtime.sinks.base import Record, RecordType, ResultSink, Session

__all__ = ["SinkRunner", "close_all"]

_LOSSLESS_WAITING = 4096  # records: two minutes at 30 fps
_LOSSLESS_PIXELS = 8  # waiting records that keep their frame: a frame is MiB, a record's value 1 KiB
_VERDICTS_WAITING = 2  # of the others: an older one is not worth showing any more
_OTHERS_WAITING = 256  # of the others, in all
_REPORT_SECONDS = 10.0  # between two reports of the same kind of failure


class SinkRunner:
    """Runs a sink.

    Args:
        sink: opened, not started. Everything but its constructor is called in its thread.
        name: what counts and messages call it.
        on_failure: told ``(name, text)``, text of one line, when a write fails in a new way and when writes work
            again; called in the sink's thread, and not flooded by a sink that fails now and then.
    """

    def __init__(self, sink: ResultSink, name: str, on_failure: Callable[[str, str], None]) -> None:
        self.name = name
        self._sink = sink
        self._queue = _Queue(sink.lossless)
        self._failures = _Failures(lambda text: on_failure(name, text))
        self._thread: threading.Thread | None = None

    @property
    def address(self) -> str:
        """URL of what the sink serves; empty for one that serves nothing."""
        return str(getattr(self._sink, "address", ""))

    @property
    def counts(self) -> dict[str, int]:
        """``dropped``: records that never reached the sink; ``failed``: calls of the sink that raised."""
        return {"dropped": self._queue.dropped, "failed": self._failures.count}

    def start(self, session: Session) -> None:
        """Start the thread, and the sink in it; returns at once."""
        self._thread = threading.Thread(target=self._run, args=(session,), name=f"sink {self.name}", daemon=True)
        self._thread.start()

    def put(self, record: Record) -> None:
        """Hand over a record. Never waits.

        A lossless sink gets every record, in order, unless 4096 are waiting already; if it is far behind, without
        frame and heat map. Of the others' verdicts the two newest wait; older ones are dropped, and other records only
        after every verdict.
        """
        self._queue.put(record)

    def end(self, timeout: float) -> None:
        """Ask the sink to finish what is waiting within ``timeout`` s and close; returns at once."""
        self._queue.end(time.monotonic() + timeout)

    def close(self, timeout: float) -> bool:
        """Finish what is waiting within ``timeout`` s, and close the sink.

        Returns:
            Whether it is closed. One that hangs is left to itself: its thread ends with the process.
        """
        return close_all([self], timeout)

    def join(self, timeout: float) -> bool:
        """Wait for the end of the thread; whether it has come."""
        if self._thread is None:
            self._failures.watch(self._sink.close)
            return True
        self._thread.join(max(0.0, timeout))
        return not self._thread.is_alive()

    def _run(self, session: Session) -> None:
        if not self._failures.watch(self._sink.start, session):
            self._queue.refuse()  # one that could not make ready takes nothing
        while (record := self._queue.take()) is not None:
            if self._failures.watch(self._sink.write, record):
                self._failures.recovered()
        self._failures.watch(self._sink.close)


def close_all(runners: Sequence[SinkRunner], timeout: float) -> bool:
    """Close sinks side by side, within ``timeout`` s in all; whether every one is closed."""
    deadline = time.monotonic() + timeout
    for runner in runners:
        runner.end(timeout)
    closed = [runner.join(deadline - time.monotonic()) for runner in runners]  # every one is waited for
    return all(closed)


class _Queue:
    """Records on their way to the sink's thread: bounded, and nobody who puts one ever waits."""

    def __init__(self, lossless: bool) -> None:
        self._lossless = lossless
        self._waiting: deque[Record] = deque()
        self._changed = threading.Condition()
        self._deadline: float | None = None
        self._refusing = False
        self.dropped = 0

    def put(self, record: Record) -> None:
        with self._changed:
            if self._deadline is not None or self._refusing:
                self.dropped += 1
                return
            if self._lossless:
                if len(self._waiting) >= _LOSSLESS_WAITING:
                    self.dropped += 1
                    return
                if len(self._waiting) >= _LOSSLESS_PIXELS:
                    record = replace(record, verdict=None, frame=None, region=None)
            self._waiting.append(record)
            if not self._lossless:
                self._make_room()
            self._changed.notify()

    def take(self) -> Record | None:
        """The next record; waits for one. ``None`` at the end."""
        with self._changed:
            while not self._waiting:
                if self._deadline is not None:
                    return None
                self._changed.wait()
            if self._deadline is not None and time.monotonic() > self._deadline:
                self.dropped += len(self._waiting)
                self._waiting.clear()
                return None
            return self._waiting.popleft()

    def end(self, deadline: float) -> None:
        with self._changed:
            if self._deadline is None:
                self._deadline = deadline
            self._changed.notify()

    def refuse(self) -> None:
        with self._changed:
            self._refusing = True
            self.dropped += len(self._waiting)
            self._waiting.clear()

    def _make_room(self) -> None:
        if sum(record.type is RecordType.VERDICT for record in self._waiting) > _VERDICTS_WAITING:
            self._drop(RecordType.VERDICT)
        elif len(self._waiting) > _OTHERS_WAITING:
            for kind in (RecordType.VERDICT, RecordType.STATUS, self._waiting[0].type):
                if self._drop(kind):
                    return

    def _drop(self, kind: RecordType) -> bool:
        """Drop the oldest of a kind; whether there was one."""
        for i, record in enumerate(self._waiting):
            if record.type is kind:
                del self._waiting[i]
                self.dropped += 1
                return True
        return False


class _Failures:
    """Counts what a sink raises, and says each kind once, until it works again."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._open: dict[tuple[type, object], bool] = {}  # kinds since the last success, and whether they were said
        self._said_at: dict[tuple[type, object], float] = {}
        self._in_a_row = 0
        self.count = 0

    def watch(self, call: Callable[..., None], *arguments: object) -> bool:
        """Call the sink; whether it went well."""
        try:
            call(*arguments)
        except Exception as error:  # a sink may be anybody's, and none may end the session
            self._failed(error)
            return False
        return True

    def recovered(self) -> None:
        """A write went well."""
        if any(self._open.values()):
            self._say(f"works again, after {self._in_a_row} failed")
        self._open.clear()
        self._in_a_row = 0

    def _failed(self, error: Exception) -> None:
        self.count += 1
        self._in_a_row += 1
        kind, now = (type(error), getattr(error, "errno", None)), time.monotonic()
        said = self._open.setdefault(kind, False)
        if not said and now - self._said_at.get(kind, -_REPORT_SECONDS) >= _REPORT_SECONDS:
            self._open[kind], self._said_at[kind] = True, now
            self._say(told(error))
