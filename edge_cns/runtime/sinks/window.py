"""The session in a window on this machine's screen, for engineers: it names classes, and is not for a patient."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import cv2

from edge_cns.errors import BadInputError, OperationError
from edge_cns.frames import Frame
from edge_cns.runtime.live_overlay import NO_FRAME_SIZE, draw_live, live_size
from edge_cns.runtime.sinks.base import Record, RecordType, Session

__all__ = ["Window", "open_window"]

_TITLE = "edge-cns, research use only (f freeze, r reset exam)"
_PROBE = "import cv2; cv2.namedWindow('edge-cns'); cv2.waitKey(1); cv2.destroyAllWindows()"
_PROBE_SECONDS = 20


def open_window(uri: str) -> Window:
    """Open ``window://``.

    Raises:
        BadInputError: there is no screen, or this OpenCV cannot show windows.
    """
    if uri != "window://":
        raise BadInputError("window:// takes no name and no options; give window://")
    return Window()


class Window:
    """Shows each verdict as it comes. Keys: ``f`` freezes and goes on, ``r`` begins another exam.

    Raises:
        BadInputError: see `open_window`.
    """

    lossless = False

    def __init__(self) -> None:
        if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            raise BadInputError("window:// needs a screen, and neither DISPLAY nor WAYLAND_DISPLAY is set; use http://")
        # What draws windows ends the whole process where the screen does not answer, so another one tries it first.
        command = [sys.executable, "-c", _PROBE]
        try:
            probe = subprocess.run(command, capture_output=True, timeout=_PROBE_SECONDS, check=False)  # noqa: S603
        except subprocess.TimeoutExpired:
            raise BadInputError("window:// does not get an answer from the screen; use http://") from None
        if b"The function is not implemented" in probe.stderr:
            raise BadInputError("window:// needs an OpenCV with windows; install opencv-python, or use http://")
        if probe.returncode != 0:
            raise BadInputError("window:// cannot open a window on this screen (DISPLAY); use http://")
        self._frozen = self._shown = False
        self._size = NO_FRAME_SIZE
        self._frame: Frame | None = None

    def start(self, session: Session) -> None:
        """Open the window, in the sink's thread: windows belong to the thread that made them."""
        self._spec, self._controls = session.bundle.contract.input, session.controls
        os.environ.setdefault("QT_LOGGING_RULES", "*.warning=false")  # it warns of fonts that nothing here needs
        try:
            cv2.namedWindow(_TITLE, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
        except cv2.error as error:
            raise OperationError(f"the window cannot be opened ({error.err})") from None
        cv2.resizeWindow(_TITLE, *self._size)
        self._shown = True
        cv2.waitKey(1)

    def write(self, record: Record) -> None:
        """Show a verdict; see whether a key was pressed."""
        if record.type is RecordType.EVENT:
            self._note_freeze(str(record.value.get("event")))
        if record.type is RecordType.VERDICT:
            if record.frame is not None:
                self._frame, self._size = record.frame, live_size(record.frame)
            now = time.monotonic_ns()
            cv2.imshow(_TITLE, draw_live(record, self._spec, self._size, now_ns=now, frame=self._frame))
        self._obey(cv2.waitKey(1))

    def close(self) -> None:
        """Close the window."""
        if self._shown:
            self._shown = False
            cv2.destroyWindow(_TITLE)
            cv2.waitKey(1)

    def _note_freeze(self, event: str) -> None:
        """The machine's own key counts too."""
        if event in ("frozen", "live"):
            self._frozen = event == "frozen"

    def _obey(self, key: int) -> None:
        letter = chr(key & 0xFF).lower() if key >= 0 else ""
        if letter == "f":
            self._frozen = not self._frozen
            self._controls.freeze(self._frozen)
        elif letter == "r":
            self._controls.reset_exam()
