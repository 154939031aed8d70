"""Lets through at most so many frames a second."""

from __future__ import annotations

from edge_cns.errors import BadInputError

__all__ = ["LEAST_FPS", "Limiter"]

LEAST_FPS = 4.0
"""A verdict lives for half a second; slower than this there would be gaps."""

_JITTER = 0.25  # of a period: a frame this much early still passes, or 30 fps at 30 would lose every other one


class Limiter:
    """A rate that is kept on average.

    Args:
        fps: the most; ``None`` for no limit.

    Raises:
        BadInputError: fewer than `LEAST_FPS`.
    """

    def __init__(self, fps: float | None) -> None:
        if fps is not None and not fps >= LEAST_FPS:
            raise BadInputError(
                f"--max-fps is {fps:g}; a verdict lives for half a second, so give {LEAST_FPS:g} or more"
            )
        self.fps = fps
        self._due_ns = 0

    def passes(self, now_ns: int, fps: float | None = None) -> bool:
        """Whether a frame may pass now; ``fps`` limits further for the time being."""
        limits = [limit for limit in (self.fps, fps) if limit is not None]
        if not limits:
            return True
        period = int(1e9 / min(limits))
        if now_ns < self._due_ns - int(_JITTER * period):
            return False
        late = now_ns - self._due_ns > period
        self._due_ns = (now_ns if late else self._due_ns) + period  # what a pause has missed is not made up for
        return True
