"""Captures that do what a test says, in place of OpenCV's."""

from __future__ import annotations

import threading
import time

import cv2
import numpy as np

__all__ = ["FakeCapture"]


class FakeCapture:
    """Delivers ``frames`` frames, then fails (or waits, when ``silent``); without a number it never ends.

    Args:
        frames: how many, the one of the connection included.
        opened: what ``isOpened`` says.
        silent: seconds that the read after the last frame waits before it fails.
        size: width and height of its frames, and what it says they are.
    """

    def __init__(self, frames=None, *, opened=True, silent=0.0, size=(96, 80), bad=(), raises=False):
        self.left, self.opened, self.silent, self.size, self.bad = frames, opened, silent, size, bad
        self.raises, self.given, self.released, self.settings = raises, 0, 0, []
        self.threads, self.reading = set(), False

    def isOpened(self):
        return self.opened

    def set(self, setting, value):
        self.settings.append((setting, value))
        return True

    def get(self, setting):
        return {cv2.CAP_PROP_FRAME_WIDTH: self.size[0], cv2.CAP_PROP_FRAME_HEIGHT: self.size[1]}.get(setting, 0.0)

    def grab(self):
        self.threads.add(threading.get_ident())
        self.reading = True
        if self.left is not None and self.given >= self.left:
            time.sleep(self.silent)
            self.reading = False
            if self.raises:
                raise cv2.error("gone")
            return False
        time.sleep(0.002)
        self.given += 1
        self.reading = False
        return True

    def retrieve(self):
        if self.given in self.bad:
            return False, None
        return True, np.full((self.size[1], self.size[0], 3), self.given % 256, np.uint8)

    def release(self):
        assert not self.reading, "released while it reads: OpenCV would crash"
        self.released += 1
        self.opened = False
