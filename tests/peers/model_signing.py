"""OpenSSF Model Signing's own program (installed by `tests/peers/model_signing.sh`)."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

__all__ = ["model_signing", "need_model_signing"]


def _program() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "edge-cns" / "model-signing" / "bin" / "model_signing"


def need_model_signing() -> None:
    """Skip the test where the program is not installed."""
    if not _program().exists():
        pytest.skip("no model_signing here; run tests/peers/model_signing.sh")


def model_signing(*arguments: object) -> int:
    """Run the program; returns its exit status."""
    done = subprocess.run([str(_program()), *map(str, arguments)], capture_output=True, check=False, timeout=60)
    return done.returncode
