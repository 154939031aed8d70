"""The sources by URI scheme, imported only when chosen."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import cast

from edge_cns.errors import BadInputError
from edge_cns.frames import FrameSource

__all__ = ["SOURCES", "open_source"]

SOURCES: dict[str, tuple[str, str]] = {
    # scheme: (module, function of the URI)
    "file": ("edge_cns.runtime.sources.files", "open_files"),
    "synthetic": ("edge_cns.runtime.sources.synthetic", "open_synthetic"),
}


def open_source(uri: str) -> FrameSource:
    """Open a source.

    Args:
        uri: ``file:///clip.mp4``, ``file:///folder``, ``synthetic://phantom?class=normal&fps=30``; a plain path is a
            file.

    Raises:
        BadInputError: no such scheme, or the source cannot be opened.
    """
    scheme = uri.partition("://")[0] if "://" in uri else "file"
    if scheme not in SOURCES:
        raise BadInputError(
            f"{uri}: there is no source {scheme}://; use one of {', '.join(f'{s}://' for s in SOURCES)}"
        )
    module, function = SOURCES[scheme]
    return cast(Callable[[str], FrameSource], getattr(importlib.import_module(module), function))(uri)
