"""All pages that watch one session, and the board that they watch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from edge_cns.runtime.sinks.base import RecordType, Session
from edge_cns.runtime.sinks.viewer.board import Board
from edge_cns.runtime.sinks.viewer.messages import Value
from edge_cns.runtime.sinks.viewer.picture import Picture
from edge_cns.runtime.sinks.viewer.watcher import Watcher

if TYPE_CHECKING:
    from aiohttp import web

__all__ = ["MOST_WATCHERS", "Hub"]

MOST_WATCHERS = 8
"""Pages at once; a further one is told so and sent away."""


class Hub:
    """Spreads records to watchers. Everything but `count` is for the server's loop alone.

    Args:
        session: what is shown, and its controls.
        came: called when a page begins to watch, so that a picture is made for it.
    """

    def __init__(self, session: Session, came: Callable[[], None]) -> None:
        self.board = Board(session)
        self.controls = session.controls
        self._came = came
        self._watchers: dict[Watcher, Callable[[], None]] = {}

    @property
    def count(self) -> int:
        """How many pages watch now; may be read from any thread."""
        return len(self._watchers)

    def publish(self, kind: RecordType, value: Value, picture: Picture | None) -> None:
        """Take a record in and tell everybody."""
        topics = self.board.take(kind, value, picture)
        for watcher in self._watchers:
            watcher.notice(topics, picture=picture is not None)

    def show(self, picture: Picture) -> None:
        """Put up a picture that belongs to no new record."""
        self.board.picture = picture
        for watcher in self._watchers:
            watcher.notice(set(), picture=True)

    async def serve(self, socket: web.WebSocketResponse, cut: Callable[[], None]) -> None:
        """Let a page watch until it leaves.

        Args:
            socket: prepared.
            cut: breaks its connection at once.
        """
        if self.count >= MOST_WATCHERS:
            await socket.close(code=1013, message=f"{MOST_WATCHERS} pages watch already".encode())
            return
        watcher = Watcher(self, socket)
        self._watchers[watcher] = cut
        self._came()
        try:
            await watcher.run()
        finally:
            cut()
            del self._watchers[watcher]

    def dismiss(self) -> None:
        """End all connections, without waiting for a page that no longer reads."""
        for cut in list(self._watchers.values()):
            cut()
