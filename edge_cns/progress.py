"""How long work tells a person where it stands."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Progress", "silent"]


class Progress(Protocol):
    """Called as work goes on: what is being done, how much of it is done, and how much there is."""

    def __call__(self, task: str, done: int, total: int, note: str = "") -> None:
        """Report. ``note`` is a short remark for the end of the line."""


def silent(task: str, done: int, total: int, note: str = "") -> None:
    """Say nothing."""
