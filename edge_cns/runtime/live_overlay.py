"""A live verdict as a picture of fixed size. What is not live looks like nothing that is: words, shape and border."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_cns.contract import InputSpec
from edge_cns.decision.verdict import State, Verdict
from edge_cns.frames import Frame
from edge_cns.preprocess import region_of
from edge_cns.runtime.overlay import paint, text_width, write_text
from edge_cns.runtime.sinks.base import Record

__all__ = ["NO_FRAME_SIZE", "draw_live", "live_size"]

NO_FRAME_SIZE = (640, 564)
"""Width and height of the picture, in px, where no frame has come yet."""

_BAND = 84  # px: four lines of text above the frame
_SMALLEST, _LARGEST = 480, 1280  # px: shorter side enlarged to, longer side reduced to
_BORDER = 14  # px
_WHITE, _PALE, _BLACK = (255, 255, 255), (160, 200, 255), (0, 0, 0)
_SLATE = 40  # grey level of a picture without a frame


def live_size(frame: Frame) -> tuple[int, int]:
    """Width and height, in px and even, of the picture that `draw_live` makes of frames like this."""
    height, width = frame.pixels.shape[:2]
    scale = min(max(1.0, _SMALLEST / min(width, height)), _LARGEST / max(width, height))
    w, h = max(_SMALLEST, round(width * scale)), max(_SMALLEST // 2, round(height * scale))
    return w // 2 * 2, (h + _BAND) // 2 * 2


def draw_live(
    record: Record, spec: InputSpec, size: tuple[int, int], *, now_ns: int, frame: Frame | None = None
) -> NDArray[np.uint8]:
    """Draw a verdict record as of a moment.

    A live verdict has its words above the frame. *Frozen* has a striped border and pause bars over the frame, *no
    signal* a crossed slate with the reason and no frame at all; so has a verdict that has expired by then.

    Args:
        record: of a verdict.
        spec: the contract's input.
        size: width and height in px, from `live_size`; frames of another shape get black margins.
        now_ns: when it is looked at, ``CLOCK_MONOTONIC`` ns.
        frame: what to show under *frozen* where the record itself has no frame.

    Returns:
        ``(height, width, 3)`` uint8 BGR.
    """
    width, height = size
    verdict = record.verdict
    shown = record.frame or frame
    gone = _why_no_signal(record, now_ns)
    picture = np.full((height, width, 3), _SLATE if gone else 0, np.uint8)
    under = picture[_BAND:]
    if gone:
        _draw_cross(under, gone)
    else:
        if shown is not None and verdict is not None:
            _place(under, _painted(record, shown, verdict, spec))
        if _state(record) == State.FROZEN.value:
            _draw_frozen(under, _headline(record))
    _draw_caption(picture[:_BAND], record, gone, now_ns)
    return picture


def _state(record: Record) -> str:
    return str(record.value.get("state", State.NO_SIGNAL.value))


def _why_no_signal(record: Record, now_ns: int) -> str:
    """Why nothing may be shown as current; empty if something may."""
    state = _state(record)
    if state == State.NO_SIGNAL.value or record.verdict is None:
        return str(record.value.get("reason") or "no reason given")
    # A frozen image is held on purpose, and says so.
    expired = state != State.FROZEN.value and record.verdict.expired(now_ns)
    return f"no verdict for {record.verdict.age_ms(now_ns):.0f} ms" if expired else ""


def _headline(record: Record) -> str:
    state = _state(record)
    if state == State.CLASS.value:
        return _finding(record.value)
    if state == State.FROZEN.value:
        announced = record.value.get("frozen") == "announced"
        return "FROZEN IMAGE, NOT LIVE" if announced else "FROZEN OR STALLED, NOT LIVE"
    return {State.NOT_SUPPORTED_VIEW.value: "NOT A SUPPORTED VIEW"}.get(state, state.replace("_", " ").upper())


def _finding(value: Mapping[str, Any]) -> str:
    """``anencephaly 93%``, of a verdict or of a steady state; empty where neither states a class."""
    probability = value.get("probability")
    share = f" {probability:.0%}" if isinstance(probability, (int, float)) else ""
    return f"{value['label']}{share}" if value.get("label") else ""


def _draw_caption(band: NDArray[np.uint8], record: Record, gone: str, now_ns: int) -> None:
    value = record.value
    facts = []
    if not gone:
        age = (now_ns - value.get("captured_ns", now_ns)) / 1e6
        steady = value.get("steady") or {}
        facts += [f"age {max(0.0, age):.0f} ms", f"held: {_finding(value)}" if _is_held(record) else ""]
        facts += [f"steady: {_finding(steady) or str(steady.get('state', '')).replace('_', ' ')}" if steady else ""]
        facts += [f"view: {value['view']}" if value.get("view") else ""]
    facts += [f"FALLBACK: {value['fallback']}" if value.get("fallback") else ""]
    remark = ", ".join(filter(None, ("research use only", gone or str(value.get("reason") or ""))))
    write_text(band, "NO SIGNAL" if gone else _headline(record), 8, 24, 0.75, _WHITE)
    write_text(band, "  |  ".join(filter(None, facts)), 8, 43, 0.45, _WHITE)
    for line, baseline in zip(_two_lines(remark, band.shape[1] - 14, 0.42), (60, 76), strict=True):
        write_text(band, line, 8, baseline, 0.42, _PALE)


def _two_lines(text: str, room: int, size: float) -> tuple[str, str]:
    """A text broken after the last word that fits into ``room`` px."""
    first: list[str] = []
    words = text.split()
    while words and text_width(" ".join([*first, words[0]]), size) <= room:
        first.append(words.pop(0))
    return " ".join(first), " ".join(words)


def _is_held(record: Record) -> bool:
    return _state(record) == State.FROZEN.value and bool(_finding(record.value))


def _painted(record: Record, frame: Frame, verdict: Verdict, spec: InputSpec) -> NDArray[np.uint8]:
    region = record.region if record.frame is not None and record.region is not None else region_of(frame, spec)
    return paint(frame, verdict, spec, region)


def _place(under: NDArray[np.uint8], picture: NDArray[np.uint8]) -> None:
    """Fit a picture into the middle."""
    height, width = under.shape[:2]
    scale = min(width / picture.shape[1], height / picture.shape[0])
    w, h = max(1, min(width, round(picture.shape[1] * scale))), max(1, min(height, round(picture.shape[0] * scale)))
    x, y = (width - w) // 2, (height - h) // 2
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    under[y : y + h, x : x + w] = cv2.resize(picture, (w, h), interpolation=how)


@lru_cache(maxsize=8)
def _border(height: int, width: int, diagonal: bool) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """``(H, W)`` masks of a border's bright and dark parts: stripes, or squares."""
    ring = np.ones((height, width), bool)
    ring[_BORDER:-_BORDER, _BORDER:-_BORDER] = False
    rows, columns = np.arange(height)[:, None], np.arange(width)[None]
    bright = (rows + columns) // 12 % 2 == 0 if diagonal else (rows // _BORDER + columns // _BORDER) % 2 == 0
    return ring & bright, ring & ~bright


def _draw_border(under: NDArray[np.uint8], *, diagonal: bool) -> None:
    bright, dark = _border(under.shape[0], under.shape[1], diagonal)
    under[bright], under[dark] = _WHITE, _BLACK


def _draw_frozen(under: NDArray[np.uint8], words: str) -> None:
    """Stripes around, pause bars in the corner, and the words on the picture itself."""
    _draw_border(under, diagonal=True)
    left, top = _BORDER + 14, _BORDER + 14
    cv2.rectangle(under, (left - 8, top - 8), (left + 52, top + 60), _BLACK, cv2.FILLED)
    for x in (left, left + 28):
        cv2.rectangle(under, (x, top), (x + 16, top + 52), _WHITE, cv2.FILLED)
    _draw_sign(under, (words,))


def _draw_cross(under: NDArray[np.uint8], reason: str) -> None:
    """Squares around, a cross from corner to corner, the words and the reason in the middle."""
    height, width = under.shape[:2]
    for ends in (((0, 0), (width, height)), ((0, height), (width, 0))):
        cv2.line(under, ends[0], ends[1], (110, 110, 110), 10, cv2.LINE_AA)
    _draw_border(under, diagonal=False)
    _draw_sign(under, ("NO SIGNAL", reason))


def _draw_sign(under: NDArray[np.uint8], lines: tuple[str, ...]) -> None:
    """Lines on a black plate: a headline low in the picture, or with a reason in its middle."""
    height, width = under.shape[:2]
    plate = 36 + 34 * (len(lines) - 1)
    top = (height - plate) // 2 if len(lines) > 1 else height - _BORDER - 8 - plate
    inner = under[top : top + plate, _BORDER + 8 : width - _BORDER - 8]
    inner[:] = 0
    for i, text in enumerate(lines):
        size = 0.8 if i == 0 else 0.6
        left = max(6, (inner.shape[1] - text_width(text, size)) // 2)
        write_text(inner, text, left, 26 + 34 * i, size, _WHITE)
