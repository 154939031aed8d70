"""The bedside page in every state, discreet and with names, at three sizes: pictures to look at.

    python -m benchmarks.page_screenshots DIR [--only STATE] [--docs docs/images]

Needs Chromium with its driver. Records are made up: the page cannot tell, and each state can be had at will. With
``--docs``, the few pictures that the documentation shows are written there as well.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.page_stage import CHROMEDRIVER, Stage, browser, resize

__all__ = ["DOCS", "SIZES", "main", "photograph", "to_docs"]

SIZES = ((1280, 800), (1024, 768), (768, 1024), (390, 844))
"""Of the page, CSS px: a desk, a tablet both ways, a phone."""
DOCS = {
    "finding-discreet-1280x800": "page-discreet.png",
    "finding-open-1280x800": "page-open.png",
    "no_signal-discreet-1280x800": "page-no-signal.png",
    "finding-discreet-390x844": "page-phone.png",
}
"""Pictures that the documentation shows, and their names there."""
_LARGEST_IN_DOCS = 250_000  # bytes


def photograph(folder: Path, only: str | None = None) -> list[Path]:
    """Put the page through every state, and write a PNG of each.

    Args:
        folder: to write ``STATE-MODE-WIDTHxHEIGHT.png`` into.
        only: one state, or all of them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    taken: list[Path] = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        driver = browser(1280, 800, Path(profile))
        try:
            for names in (False, True):
                for scene, prepare in _SCENES.items():
                    if only not in (None, scene):
                        continue
                    taken += _scene(driver, folder, scene, prepare, names=names)
        finally:
            driver.quit()
    return taken


def _scene(driver: Any, folder: Path, scene: str, prepare: Callable[[Stage, Any], None], *, names: bool) -> list[Path]:
    """One state at every size; a server of its own, so that the timeline is that of the scene."""
    stage, taken = Stage(), []
    try:
        _exam_so_far(stage)
        driver.get(stage.url)
        _until(driver, "document.body.dataset.kind !== 'no_signal'")
        if names:
            driver.execute_script(_HOLD)
            _until(driver, "document.body.dataset.mode === 'open'")
        prepare(stage, driver)
        for width, height in SIZES:
            resize(driver, width, height, touch=width < 1000)
            time.sleep(0.4)
            path = folder / f"{scene}-{'open' if names else 'discreet'}-{width}x{height}.png"
            driver.save_screenshot(str(path))
            taken.append(path)
    finally:
        stage.close()
    return taken


_HOLD = """
const names = document.getElementById("names");
names.dispatchEvent(new PointerEvent("pointerdown", {button: 0, bubbles: true}));
setTimeout(() => names.dispatchEvent(new PointerEvent("pointerup", {bubbles: true})), 1100);
"""


def _exam_so_far(stage: Stage) -> None:
    """Two minutes of an exam that nobody has to wait for."""
    began = time.monotonic_ns() - 118_000_000_000
    seconds = 0.0
    for scene, lasting in (
        ("not_supported_view", 9.0), ("indeterminate", 12.0), ("clear", 31.0), ("frozen", 8.0), ("clear", 14.0),
        ("no_signal", 3.0), ("indeterminate", 9.0), ("clear", 12.0), ("finding", 11.0), ("indeterminate", 4.0),
        ("clear", 4.5),
    ):  # fmt: skip
        for step in np.arange(0, lasting, 0.5):
            record = stage.verdict(scene)
            record.value["emitted_ns"] = began + int((seconds + step) * 1e9)  # type: ignore[index]
            stage.sink.write(record)
        seconds += lasting
    stage.exam(found=False)
    stage.status()
    stage.event("engine_started", "litert, golden vectors exact")
    stage.event("source_connected")
    stage.play("clear")


def _plays(scene: str, *, found: bool = False) -> Callable[[Stage, Any], None]:
    def prepare(stage: Stage, driver: Any) -> None:
        stage.exam(found=found)
        stage.play(scene)
        time.sleep(1.2)

    return prepare


def _stale(stage: Stage, driver: Any) -> None:
    stage.pause()
    _until(driver, "document.body.dataset.kind === 'stale'")


def _gone(stage: Stage, driver: Any) -> None:
    stage.close()
    _until(driver, "document.body.dataset.kind === 'no_signal'")


def _fallback(stage: Stage, driver: Any) -> None:
    _plays("fallback", found=True)(stage, driver)
    stage.event("engine_fallback", "from delegate to litert")
    stage.status(
        engine={"backend": "litert", "state": "fallback", "restarts": 3},
        rate={"state": "reduced", "reason": "temperature", "fps": 15},
        drift={"flag": True},
        temperature_c=81.0,
        recording={"state": "stopped"},
    )
    time.sleep(0.5)


def _room(stage: Stage, driver: Any) -> None:
    _plays("finding", found=True)(stage, driver)
    driver.execute_script("document.getElementById('room').click()")


def _help(stage: Stage, driver: Any) -> None:
    driver.execute_script("document.getElementById('help').click()")


def _asked(stage: Stage, driver: Any) -> None:
    _plays("finding", found=True)(stage, driver)
    driver.execute_script("document.getElementById('accept').click()")


_SCENES: dict[str, Callable[[Stage, Any], None]] = {
    "finding": _plays("finding", found=True),
    "clear": _plays("clear"),
    "indeterminate": _plays("indeterminate"),
    "not_supported_view": _plays("not_supported_view"),
    "frozen": _plays("frozen", found=True),
    "stalled": _plays("stalled"),
    "cine": _plays("cine"),
    "no_signal": _plays("no_signal"),
    "stale": _stale,
    "gone": _gone,
    "fallback": _fallback,
    "room": _room,
    "help": _help,
    "asked": _asked,
}


def _until(driver: Any, condition: str) -> None:
    deadline = time.monotonic() + 10
    while not driver.execute_script(f"return {condition}"):
        if time.monotonic() > deadline:
            raise TimeoutError(f"the page does not come to: {condition}")
        time.sleep(0.05)


def to_docs(taken: Sequence[Path], docs: Path) -> None:
    """The pictures that the documentation shows, in few colours so that they stay small."""
    docs.mkdir(parents=True, exist_ok=True)
    for path in taken:
        if path.stem in DOCS:
            picture = cv2.imread(str(path))
            assert picture is not None, path
            for levels in (256, 64, 48, 32):
                step = 256 // levels
                reduced = (picture // step * step).astype(np.uint8)
                content = cv2.imencode(".png", reduced, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].tobytes()
                if len(content) <= _LARGEST_IN_DOCS:
                    break
            (docs / DOCS[path.stem]).write_bytes(content)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the pictures; 2 if there is no Chromium."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", help="one state")
    parser.add_argument("--docs", type=Path)
    asked = parser.parse_args(arguments)
    if not CHROMEDRIVER.exists():
        print(f"error: {CHROMEDRIVER} is not there; install Chromium with its driver", file=sys.stderr)
        return 2
    taken = photograph(asked.folder, asked.only)
    if asked.docs is not None:
        to_docs(taken, asked.docs)
    print(f"{len(taken)} pictures in {asked.folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
