"""The sinks by URI scheme, imported only when chosen. Installed packages add rows by the entry point below."""

from __future__ import annotations

from collections.abc import Callable

from edge_cns.errors import BadInputError
from edge_cns.plugins import find_plugin, plugin_names
from edge_cns.runtime.sinks.base import ResultSink
from edge_cns.runtime.uri import one_line

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
    opened: Callable[[str], ResultSink] | None = find_plugin(scheme, SINKS, ENTRY_POINT_GROUP) if separator else None
    if opened is None:
        known = ", ".join(f"{name}://" for name in plugin_names(SINKS, ENTRY_POINT_GROUP))
        raise BadInputError(f"there is no sink {one_line(scheme)}://; use one of {known}")
    return opened(uri)
