"""What is logged is looked at in many of these tests, however quiet an earlier one has made the log."""

from __future__ import annotations

import logging

import pytest


@pytest.fixture(autouse=True)
def _heard(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "edge_cns")
