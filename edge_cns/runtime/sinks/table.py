"""The sinks by URI scheme, imported only when chosen. Installed packages add rows by the entry point below."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import cast

from edge_cns.errors import BadInputError
from edge_cns.runtime.sinks.base import ResultSink

__all__ = ["ENTRY_POINT_GROUP", "SINKS", "open_sink"]

ENTRY_POINT_GROUP = "edge_cns.sinks"

SINKS: dict[str, tuple[str, str]] = {
    # scheme: (module, function of the URI)
    "console": ("edge_cns.runtime.sinks.console", "open_console"),
    "jsonl": ("edge_cns.runtime.sinks.jsonl", "open_jsonl"),
    "video": ("edge_cns.runtime.sinks.video", "open_video"),
    "http": ("edge_cns.runtime.sinks.viewer.server", "open_viewer"),
    "metrics": ("edge_cns.runtime.sinks.metrics", "open_metrics"),
    "window": ("edge_cns.runtime.sinks.window", "open_window"),
}


def open_sink(uri: str) -> ResultSink:
    """Open a sink: claim its file or port.

    Args:
        uri: ``jsonl:///FILE``, ``video:///out.mp4``, ``http://127.0.0.1:8080``, ``metrics://127.0.0.1:9090``,
            ``window://``.

    Raises:
        BadInputError: no such scheme, or the sink cannot be opened.
        MissingExtraError: the sink needs a library that is not installed.
    """
    scheme, separator, _ = uri.partition("://")
    rows = {e.name: (e.module, e.attr) for e in entry_points(group=ENTRY_POINT_GROUP)} | SINKS
    if not separator or scheme not in rows:
        raise BadInputError(f"{uri}: there is no such sink; use one of {', '.join(f'{s}://' for s in sorted(rows))}")
    module, function = rows[scheme]
    return cast(Callable[[str], ResultSink], getattr(importlib.import_module(module), function))(uri)
