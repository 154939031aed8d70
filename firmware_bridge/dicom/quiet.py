"""Libraries that quote headers are kept from the log and from standard error."""

from __future__ import annotations

import importlib
import logging
import warnings

__all__ = ["quieten"]


def quieten() -> None:
    """Switch off what pynetdicom and pydicom would log or warn of: names, numbers and titles are in it."""
    for name in ("pynetdicom", "pydicom"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.CRITICAL + 1)
        logger.propagate = False
        warnings.filterwarnings("ignore", module=rf"{name}(\..*)?")
    setattr(importlib.import_module("pynetdicom._config"), "LOG_HANDLER_LEVEL", "none")  # noqa: B010 - of any module
