"""Libraries that only some installations have: imported on demand, and the error says how to get them."""

from __future__ import annotations

import importlib
from typing import Any

from edge_cns.errors import MissingExtraError

__all__ = ["require"]


def require(module: str, extra: str) -> Any:
    """Import ``module``, or name the extra of this distribution that brings it.

    Args:
        module: dotted import name, for instance ``sklearn.metrics``.
        extra: the extra in ``pip install 'edge-cns[EXTRA]'``.

    Raises:
        MissingExtraError: the library is not installed. One that is there but broken keeps its own error.
    """
    library = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != library:
            raise
        raise MissingExtraError(library, extra) from error
