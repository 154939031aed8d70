"""What a page may ask of the runtime, checked before it is passed on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from edge_cns.errors import EdgeCnsError
from edge_cns.runtime.log import discreet

if TYPE_CHECKING:
    from edge_cns.runtime.sinks.viewer.hub import Hub

__all__ = ["Commands", "Refused"]

_LONGEST_NOTE = 500  # characters
_PATIENCE_SECONDS = 2.0


class Refused(Exception):  # noqa: N818  # an answer to a person, not a failure
    """The command was not carried out; the text says why."""


class Commands:
    """Passes commands on to the session's controls, outside the loop: a control may take its time."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def carry_out(self, asked: dict[str, Any]) -> None:
        """Do what a page asked.

        Raises:
            Refused: it is no command, it comes too late, or the runtime cannot do it.
        """
        call = self._call(asked)
        try:
            await asyncio.wait_for(asyncio.get_running_loop().run_in_executor(None, call), _PATIENCE_SECONDS)
        except EdgeCnsError as error:
            raise Refused(discreet(str(error))) from error
        except asyncio.TimeoutError:
            raise Refused("the runtime does not answer; look whether it was done") from None

    def _call(self, asked: dict[str, Any]) -> Callable[[], None]:
        controls, do = self._hub.controls, asked.get("do")
        if do == "freeze" and isinstance(asked.get("on"), bool):
            on: bool = asked["on"]
            return lambda: controls.freeze(on)
        if do == "reset":
            return controls.reset_exam
        if do == "judge" and isinstance(asked.get("accepted"), bool) and isinstance(asked.get("note", ""), str):
            if self._hub.board.finding is None or asked.get("finding") != self._hub.board.finding:
                raise Refused("the exam no longer states what you judged; look again")
            accepted, note = bool(asked["accepted"]), _one_line(asked.get("note", ""))
            return lambda: controls.judge(accepted, note)
        raise Refused("the runtime knows no such command")


def _one_line(note: str) -> str:
    """A note without control characters or line breaks."""
    return " ".join("".join(c if c.isprintable() else " " for c in note).split())[:_LONGEST_NOTE]
