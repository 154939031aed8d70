"""The engines by name, imported only when chosen. Installed packages add rows by the entry point below."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import cast

from edge_cns.errors import BadInputError
from edge_cns.runtime.backends.base import Backend

__all__ = ["BACKENDS", "ENTRY_POINT_GROUP", "open_backend"]

ENTRY_POINT_GROUP = "edge_cns.backends"

BACKENDS: dict[str, tuple[str, str]] = {
    # name: (module, class)
    "litert": ("edge_cns.runtime.backends.litert", "LiteRT"),
    "fake": ("edge_cns.runtime.backends.fake", "Fake"),
}


def open_backend(name: str, model: bytes, *, threads: int = 1) -> Backend:
    """Load a model on an engine.

    Args:
        name: a name of `BACKENDS` or of the entry point group ``edge_cns.backends``.
        model: content of a ``.tflite`` file.
        threads: CPU threads the engine may use.

    Raises:
        BadInputError: no such engine; the text lists those there are.
        InitialisationError, UnsupportedError: see `Backend`.
    """
    rows = BACKENDS  # entry points are looked for only where they are needed: that reads every distribution
    if name not in rows:
        rows = {e.name: (e.module, e.attr) for e in entry_points(group=ENTRY_POINT_GROUP)} | BACKENDS
    if name not in rows:
        raise BadInputError(f"there is no backend {name!r}; choose one of {', '.join(sorted(rows))}")
    module, attribute = rows[name]
    factory = cast(Callable[..., Backend], getattr(importlib.import_module(module), attribute))
    return factory(model, threads=threads)
