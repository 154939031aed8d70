from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("aiohttp", reason="the page needs the live extra")

from benchmarks import page_screenshots


def test_without_a_browser_it_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(page_screenshots, "CHROMEDRIVER", tmp_path / "none")
    assert page_screenshots.main([str(tmp_path)]) == 2
    assert "install Chromium" in capsys.readouterr().err


def test_pictures_for_the_documentation_stay_small(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (200, 320, 3), np.uint8)
    taken: list[Path] = []
    for stem in (*page_screenshots.DOCS, "stale-open-1280x800"):
        path = tmp_path / f"{stem}.png"
        path.write_bytes(cv2.imencode(".png", cv2.blur(noise, (31, 31)))[1].tobytes())
        taken.append(path)
    page_screenshots.to_docs(taken, tmp_path / "docs")
    written = sorted((tmp_path / "docs").iterdir())
    assert [path.name for path in written] == sorted(page_screenshots.DOCS.values())
    assert all(path.stat().st_size <= 250_000 for path in written)
