"""A stage for the bedside page: its server, fed with made-up records scene by scene, and a browser before it."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_cns.bundle import Bundle
from edge_cns.contract import ClassDefinition, Contract, InputSpec, IntendedUse
from edge_cns.data.phantom import CLASSES, PLANES, draw_patient, render
from edge_cns.decision.verdict import State, Verdict
from edge_cns.frames import Frame, Region
from edge_cns.runtime.sinks.base import Record, RecordType, Session
from edge_cns.runtime.sinks.viewer.server import PageSink, open_viewer

__all__ = ["CHROMEDRIVER", "FINDING", "SCENES", "Calls", "Stage", "browser", "made_contract", "resize"]

FINDING = "encephalocele"
"""The class that the stage's exam states."""
CHROMEDRIVER = Path("/usr/bin/chromedriver")

_REMARKS = "uncalibrated, quantisation undecided, trained on phantom frames"
_SIZE, _WIDE = 600, 800  # px
_FPS = 15.0
_SHARES = {"anencephaly": 0.03, FINDING: 0.88, "holoprosencephaly": 0.04, "normal": 0.03, "rachischisis": 0.02}
_CLEAR = {"anencephaly": 0.01, FINDING: 0.02, "holoprosencephaly": 0.03, "normal": 0.93, "rachischisis": 0.01}
_TORN = {"anencephaly": 0.08, FINDING: 0.41, "holoprosencephaly": 0.06, "normal": 0.39, "rachischisis": 0.06}

SCENES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        # name: what it changes in a verdict record
        "finding": {"state": "class", "label": FINDING, "probability": 0.88, "probabilities": _SHARES},
        "clear": {"state": "class", "label": "normal", "probability": 0.93, "probabilities": _CLEAR},
        "indeterminate": {
            "state": "indeterminate",
            "probabilities": _TORN,
            "reason": f"could be {FINDING} or normal at 90% coverage",
        },
        "not_supported_view": {
            "state": "not_supported_view",
            "probabilities": _TORN,
            "reason": "colour over the image (Doppler?): only grey-scale images can be classified",
        },
        "frozen": {
            "state": "frozen",
            "label": FINDING,
            "probability": 0.88,
            "probabilities": _SHARES,
            "frozen": "announced",
            "reason": "frozen image, not live",
        },
        "cine": {
            "state": "class",
            "label": FINDING,
            "probability": 0.88,
            "probabilities": _SHARES,
            "frozen": "cine",
            "reason": "played from memory, not live",
        },
        "stalled": {
            "state": "frozen",
            "frozen": "stalled",
            "reason": "frozen or stalled: the same pixels for 500 ms, and no freeze was announced",
        },
        "no_signal": {"state": "no_signal", "reason": "no frames for 512 ms: the source is gone"},
        "fallback": {
            "state": "class",
            "label": FINDING,
            "probability": 0.88,
            "probabilities": _SHARES,
            "fallback": "the accelerator failed 3 times; its CPU equal was checked at start-up",
        },
    }
)


class Calls:
    """Controls that remember what was asked of them."""

    def __init__(self) -> None:
        self.made: list[tuple[Any, ...]] = []

    def freeze(self, on: bool) -> None:
        """Remember."""
        self.made.append(("freeze", on))

    def reset_exam(self) -> None:
        """Remember."""
        self.made.append(("reset",))

    def judge(self, accepted: bool, note: str = "") -> None:
        """Remember."""
        self.made.append(("judge", accepted, note))


class Stage:
    """A page sink, fed 15 times a second while it plays.

    Args:
        uri: of the sink.
        source: URI that the session names.
    """

    def __init__(self, uri: str = "http://127.0.0.1:0", source: str = "file:///clips/patient.mp4") -> None:
        self.sink: PageSink = open_viewer(uri)
        self.calls = Calls()
        self.contract = made_contract()
        bundle = Bundle(Path("phantom.cns"), MappingProxyType({}), self.contract, {"outcome": "undecided"})
        self.sink.start(Session(bundle, source, self.calls))
        self.scene = "clear"
        self.sequence = 0
        self._told: dict[str, Any] = {}
        self._playing = threading.Event()
        self._over = threading.Event()
        self._pixels, self._heat, self._region = _phantom()
        self.say(RecordType.SELFTEST, backend="litert", golden="exact", remarks=_REMARKS, classes=list(CLASSES))
        self._thread = threading.Thread(target=self._feed, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Of the page."""
        return f"http://127.0.0.1:{self.sink.port}/"

    def play(self, scene: str) -> None:
        """Show a scene until told otherwise."""
        self.scene = scene
        self._playing.set()

    def pause(self) -> None:
        """Give no more verdicts."""
        self._playing.clear()

    def say(self, kind: RecordType, **value: Any) -> None:
        """Give any record."""
        self.sink.write(Record(kind, value))

    def event(self, name: str, detail: str = "") -> None:
        """Give an event of this moment."""
        self.say(RecordType.EVENT, at_ns=time.monotonic_ns(), event=name, detail=detail)

    def exam(self, *, found: bool, exam: str = "one") -> None:
        """Say what is stated of the exam."""
        said = {"outcome": "finding", "label": FINDING, "score": 0.91, "reason": f"finding: {FINDING}"}
        unsaid = {"outcome": "indeterminate", "label": None, "score": None, "reason": "these views are missing: "}
        unsaid["reason"] += ", ".join(PLANES[2:])  # type: ignore[operator]
        evidence = _SHARES if found else _CLEAR
        counts = {"frames": [3, 9, 14, 20], "n_frames": 211, "n_supported": 190, "evidence": evidence}
        views = {"views_seen": list(PLANES[:2]), "views_missing": list(PLANES[2:])}
        self.say(RecordType.EXAM, exam=exam, fetus="1", **(said if found else unsaid), **counts, **views)

    def status(self, **changes: Any) -> None:
        """Say how source and engine are doing; while the stage plays it is said again every second."""
        frames = {"seen": 1210, "classified": 1204, "dropped": {"superseded": 6}, "pending": 0}
        engine = {"backend": "litert", "state": "up", "restarts": 0}
        latency = {"invoke": {"p50": 11.9, "p99": 14.2}, "total": {"p50": 13.4, "p99": 18.8}}
        value: dict[str, Any] = {"frames": frames, "engine": engine, "latency_ms": latency}
        value |= {"fps_in": 30.0, "fps_out": 29.9, "policy": "latest", "rate": {"state": "full"}, "rss_mib": 128.0}
        value |= {"source": {"connected": True}, "drift": {"flag": False}, "recording": {"state": "on"}}
        self._told = value | changes
        self.say(RecordType.STATUS, **self._told)

    def close(self) -> None:
        """End, as when the runtime is gone."""
        self._over.set()
        self._playing.set()
        self._thread.join(2)
        self.sink.close()

    def _feed(self) -> None:
        while not self._over.wait(1 / _FPS):
            if self._playing.is_set():
                self.sink.write(self.verdict(self.scene))
                if self._told and self.sequence % int(_FPS) == 0:
                    self.say(RecordType.STATUS, **self._told)

    def verdict(self, scene: str) -> Record:
        """The next record of a scene."""
        self.sequence += 1
        now, said = time.monotonic_ns(), SCENES[scene]
        label, state = said.get("label"), State(said["state"])
        reason = ", ".join(filter(None, (said.get("reason", ""), _REMARKS)))
        heatmap = self._heat if state in (State.CLASS, State.INDETERMINATE) or said.get("frozen") else None
        verdict = Verdict(
            state=state,
            label=label,
            probability=said.get("probability"),
            probabilities=said.get("probabilities", {}),
            reason=reason,
            sequence=self.sequence,
            captured_ns=now - 14_000_000,
            emitted_ns=now,
            expires_ns=now + 486_000_000,
            latency_ms=13.4,
            heatmap=heatmap,
            calibrated=False,
            proof="undecided",
        )
        steady = {"state": state.value, "label": label, "probability": verdict.probability}
        value = verdict.to_json() | {
            "age_ms": 14.0,
            "frames_behind": 14 if label else 0,
            "steady": steady,
            "engine": "litert",
        }
        value |= {"frozen": said.get("frozen", ""), "fallback": said.get("fallback", "")}
        frame = None if state is State.NO_SIGNAL else self._frame(now, still=state is State.FROZEN)
        return Record(RecordType.VERDICT, value, verdict, frame, self._region)

    def _frame(self, now_ns: int, *, still: bool) -> Frame:
        """The phantom with some grain, so that it lives."""
        pixels = self._pixels
        if not still:
            grain = np.random.default_rng(self.sequence).integers(0, 7, pixels.shape, np.uint8)
            pixels = np.where(pixels > 8, cv2.add(pixels, grain), pixels).astype(np.uint8)
        return Frame(pixels, now_ns - 14_000_000, self.sequence)


def browser(width: int, height: int, profile: Path, downloads: Path | None = None) -> Any:
    """A headless Chromium that asks nobody for anything but the page.

    Args:
        width, height: of the page, CSS px.
        profile: empty folder for its data.
        downloads: where files are saved.
    """
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    for argument in (
        "headless=new",
        "no-sandbox",
        "disable-gpu",
        "disable-background-networking",
        "disable-component-update",
        "disable-dev-shm-usage",
        "disable-sync",
        "no-first-run",
        f"user-data-dir={profile}",
    ):
        options.add_argument(f"--{argument}")
    if downloads is not None:
        options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, Service(str(CHROMEDRIVER)))
    resize(driver, width, height)
    return driver


def resize(driver: Any, width: int, height: int, *, touch: bool = False) -> None:
    """Make the page so large, CSS px."""
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": touch}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def made_contract() -> Contract:
    """Of the phantom's classes, not calibrated."""
    classes = tuple(ClassDefinition(name) for name in CLASSES)
    return Contract(classes, InputSpec(160, 160), IntendedUse("For this stage only.", planes=PLANES, phantom=True))


@cache
def _phantom() -> tuple[NDArray[np.uint8], NDArray[np.float32], Region]:
    """A frame ``(600, 800)``, evidence ``(10, 10)`` over its lesion in the network's square, and where the fan lies."""
    drawn = render(draw_patient(FINDING, seed=5), "transthalamic", view=5, size=_SIZE)
    left = (_WIDE - _SIZE) // 2
    pixels = np.zeros((_SIZE, _WIDE), np.uint8)
    pixels[:, left : left + _SIZE] = drawn.pixels
    fan = drawn.region
    region = Region(fan.x + left, fan.y, fan.width, fan.height)
    y, x = (float(np.mean(axis)) for axis in np.nonzero(drawn.lesion_mask))
    side = max(fan.width, fan.height)
    cx, cy = (x - fan.x + (side - fan.width) / 2) / side * 10, (y - fan.y + (side - fan.height) / 2) / side * 10
    rows, columns = np.mgrid[0.5:10, 0.5:10]
    heat = 9 * np.exp(-((rows - cy) ** 2 + (columns - cx) ** 2) / 2.2) - 1
    return pixels, heat.astype(np.float32), region
