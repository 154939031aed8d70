"""The sources by URI scheme, imported only when chosen. Installed packages add rows by the entry point below."""

from __future__ import annotations

from collections.abc import Callable

from edge_cns.errors import BadInputError
from edge_cns.frames import FrameSource
from edge_cns.plugins import find_plugin, plugin_names
from edge_cns.runtime.uri import scheme_of

__all__ = ["ENTRY_POINT_GROUP", "SOURCES", "open_source"]

ENTRY_POINT_GROUP = "edge_cns.sources"

SOURCES: dict[str, tuple[str, str]] = {
    # scheme: (module, function of the URI and of whether it is live)
    "file": ("edge_cns.runtime.sources.files", "open_files"),
    "synthetic": ("edge_cns.runtime.sources.synthetic", "open_synthetic"),
    "dicom": ("edge_cns.runtime.sources.dicom", "open_dicom"),
    "v4l2": ("edge_cns.runtime.sources.v4l2", "open_v4l2"),
    "rtsp": ("edge_cns.runtime.sources.rtsp", "open_rtsp"),
    "rtsps": ("edge_cns.runtime.sources.rtsp", "open_rtsp"),
    "gst": ("edge_cns.runtime.sources.gst", "open_gst"),
}


def open_source(uri: str, *, live: bool = False) -> FrameSource:
    """Open a source.

    Args:
        uri: ``file:///clip.mp4?loop=1``, ``file:///folder``, ``dicom:///clip.dcm``, ``v4l2:///dev/video0``,
            ``rtsp://user:password@host/path``, ``gst://PIPELINE``, ``synthetic://phantom?class=normal&fps=30``; a plain
            path is a file. `docs/sources.md` has the options.
        live: deliver frames at the source's own rate, as they would arrive; otherwise as fast as they are asked for.

    Raises:
        BadInputError: no such scheme, or the source cannot be opened.
        UnsupportedError: this OpenCV cannot do it.
        MissingExtraError: the source needs a library that is not installed.
    """
    scheme = scheme_of(uri) or "file"
    opened: Callable[..., FrameSource] | None = find_plugin(scheme, SOURCES, ENTRY_POINT_GROUP)
    if opened is None:
        known = ", ".join(f"{name}://" for name in plugin_names(SOURCES, ENTRY_POINT_GROUP))
        raise BadInputError(f"there is no source {scheme}://; use one of {known}")
    return opened(uri, live=live)
