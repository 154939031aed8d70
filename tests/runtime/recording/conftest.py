from __future__ import annotations

from pathlib import Path

import pytest

from tests.runtime.recording.made import record_script, record_session


@pytest.fixture(scope="session")
def session_recording(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real session, sealed with `made.KEY`. Do not write to it."""
    folder = tmp_path_factory.mktemp("recorded") / "session"
    record_session(folder, tiny_bundle)
    return folder


@pytest.fixture(scope="session")
def small_recording(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve frames of made-up times in several segments, sealed with `made.KEY`. Do not write to it."""
    folder = tmp_path_factory.mktemp("recorded") / "small"
    record_script(folder, tiny_bundle, limit=160_000)
    return folder


@pytest.fixture(scope="session")
def plain_recording(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four frames in one segment, not encrypted. Do not write to it."""
    folder = tmp_path_factory.mktemp("recorded") / "plain"
    record_script(folder, tiny_bundle, key=None, frames=4)
    return folder
