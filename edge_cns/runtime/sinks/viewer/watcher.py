"""One page that watches: the newest of each topic goes out, commands come in.

Nothing queues up for it. What changed is remembered by its topic, and when the connection can take more, the topic is
sent as it stands then: a slow page loses pictures and states in between, never the state that holds. Pictures wait for
the page's word that it has drawn all but one of the last two.

Every message has ``sent_ms``, a clock of the server's: a page that sees it fall behind knows that the line is slow, and
by how much. At least every 300 ms something is sent, if only ``{"type": "beat", "records_ms"}``, which tells how long
ago the runtime gave its last record.

The page may say, as JSON of at most 4 KiB:

    {"do": "seen"}                                    a picture was drawn
    {"do": "names", "show": true}                     show names of classes, for two minutes; or no longer
    {"do": "freeze", "on": true}
    {"do": "reset"}                                   another exam
    {"do": "judge", "accepted": true, "note": "", "finding": "1.2"}

All but the first are answered by ``{"type": "answer", "do", "ok", "text"}``, at most ten a second.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

from edge_cns.extras import require
from edge_cns.runtime.sinks.viewer.board import TOPICS
from edge_cns.runtime.sinks.viewer.commands import Commands, Refused

if TYPE_CHECKING:
    from aiohttp import web

    from edge_cns.runtime.sinks.viewer.hub import Hub
else:
    web = require("aiohttp.web", "live")

__all__ = ["LARGEST_MESSAGE", "NAMES_SECONDS", "Watcher"]

LARGEST_MESSAGE = 4096
"""Of what a page may say, bytes."""
NAMES_SECONDS = 125.0
"""For so long names are sent after the page has asked: a little longer than the page itself shows them."""

_BEAT_SECONDS = 0.3
_PAUSE_SECONDS = 0.02  # at most 50 rounds a second
_SEND_SECONDS = 5.0  # a page that takes nothing for so long is cut off
_UNSEEN_PICTURES = 2
_SEEN_PER_SECOND = 100.0
_COMMANDS_PER_SECOND = 10.0


class Watcher:
    """Serves one connection. All of it runs in the server's loop.

    Args:
        hub: whose board is watched.
        socket: a prepared WebSocket.
    """

    def __init__(self, hub: Hub, socket: web.WebSocketResponse) -> None:
        self._hub, self._socket = hub, socket
        self._commands = Commands(hub)
        self._wake = asyncio.Event()
        self._names_until = 0.0
        self._sent = 0.0
        self._seen, self._asked = Allowance(_SEEN_PER_SECOND), Allowance(_COMMANDS_PER_SECOND)
        self._start_over(names=False)
        self._unseen = 0
        self._over = False

    async def run(self) -> None:
        """Serve until either side ends."""
        writer = asyncio.create_task(self._write())
        reader = asyncio.create_task(self._read())
        try:
            await asyncio.wait((writer, reader), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._over = True  # before Python 3.12 a cancellation can be lost in `wait_for`
            for task in (writer, reader):
                task.cancel()
            await asyncio.gather(writer, reader, return_exceptions=True)

    def notice(self, topics: set[str], *, picture: bool) -> None:
        """Something changed; never waits."""
        self._dirty |= topics
        self._picture |= picture
        self._wake.set()

    def _start_over(self, *, names: bool) -> None:
        """Tell everything again, with names or without."""
        self._names = names
        self._dirty = set(TOPICS)
        self._picture = self._hub.board.picture is not None
        self._epoch, self._runs = -1, 0
        self._wake.set()

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        while not self._over:
            beat = loop.call_later(_BEAT_SECONDS, self._wake.set)
            await self._wake.wait()
            beat.cancel()
            self._wake.clear()
            if self._names and time.monotonic() >= self._names_until:
                self._start_over(names=False)
            await self._send_what_changed()
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _send_what_changed(self) -> None:
        for topic in TOPICS:
            if topic in self._dirty:
                self._dirty.discard(topic)
                message = self._runs_since() if topic == "timeline" else self._board_says(topic)
                if message is not None:
                    await self._send(message)
        picture = self._hub.board.picture
        if self._picture and picture is not None and self._unseen < _UNSEEN_PICTURES:
            self._picture = False
            self._unseen += 1
            review = self._hub.board.picture_calls_for_review()
            content = picture.message(time.monotonic_ns(), _clock_ms(), heat=self._names or review, outline=review)
            await self._in_time(self._socket.send_bytes(content))
        if time.monotonic() - self._sent >= _BEAT_SECONDS:
            await self._send({"type": "beat", "records_ms": (time.monotonic_ns() - self._hub.board.record_ns) / 1e6})

    def _board_says(self, topic: str) -> dict[str, Any] | None:
        return self._hub.board.message(topic, names=self._names)

    def _runs_since(self) -> dict[str, Any]:
        timeline = self._hub.board.timeline
        since = self._runs if self._epoch == timeline.epoch else 0
        self._epoch, self._runs = timeline.epoch, len(timeline.runs)
        return self._hub.board.runs_message(since, names=self._names)

    async def _send(self, message: dict[str, Any]) -> None:
        text = json.dumps(message | {"sent_ms": _clock_ms()}, allow_nan=False)
        await self._in_time(self._socket.send_str(text))

    async def _in_time(self, sending: Any) -> None:
        await asyncio.wait_for(sending, _SEND_SECONDS)
        self._sent = time.monotonic()

    async def _read(self) -> None:
        async for message in self._socket:
            try:
                asked = json.loads(message.data) if message.type is web.WSMsgType.TEXT else None
            except (ValueError, RecursionError):
                asked = None
            if not isinstance(asked, dict):
                return
            if asked.get("do") == "seen":
                if not self._seen.spend():
                    return
                self._unseen = max(0, self._unseen - 1)
                self._wake.set()
            else:
                await self._send(await self._answer(asked))

    async def _answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        do = asked.get("do")
        answer = {"type": "answer", "do": do if isinstance(do, str) else "", "ok": True, "text": ""}
        try:
            if not self._asked.spend():
                raise Refused("too many commands; wait a second")
            if do == "names":
                self._show_names(asked.get("show") is True)
            else:
                await self._commands.carry_out(asked)
        except Refused as refusal:
            text = str(refusal) if self._names else self._hub.board.discretion.quiet(str(refusal))
            return answer | {"ok": False, "text": text or "the runtime refused"}
        return answer

    def _show_names(self, show: bool) -> None:
        self._names_until = time.monotonic() + NAMES_SECONDS if show else 0.0
        if show != self._names:
            self._start_over(names=show)


class Allowance:
    """So many a second, and as many at once."""

    def __init__(self, per_second: float) -> None:
        self._rate = self._left = per_second
        self._at = time.monotonic()

    def spend(self) -> bool:
        """Take one, if there is one left."""
        now = time.monotonic()
        self._left, self._at = min(self._rate, self._left + (now - self._at) * self._rate), now
        if self._left < 1:
            return False
        self._left -= 1
        return True


def _clock_ms() -> float:
    return round(time.monotonic() * 1000, 1)
