"""``gst://`` against a real GStreamer, in the system's Python: its OpenCV is built with it, PyPI's is not."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

PYTHON = "/usr/bin/python3"
ROOT = Path(__file__).parents[2]
CHECK = "import cv2; assert cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER)"
PLAY = """
import json, sys
from itertools import islice
from edge_cns.errors import BadInputError
from edge_cns.runtime.sources.table import open_source
try:
    source = open_source(sys.argv[1], live=True)
except BadInputError as error:
    print(json.dumps(str(error)))
else:
    said = [getattr(one, "kind", None) or [one.sequence, *one.pixels.shape] for one in islice(source, int(sys.argv[2]))]
    source.close()
    print(json.dumps(said))
"""


def play(uri: str, count: int = 10):
    if not Path(PYTHON).exists() or subprocess.run([PYTHON, "-c", CHECK], capture_output=True, check=False).returncode:
        pytest.skip("no OpenCV with GStreamer here; run tests/peers/install.sh as root")
    played = subprocess.run(
        [PYTHON, "-c", PLAY, uri, str(count)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
    )
    return json.loads(played.stdout)


def test_frames_of_a_pipeline_without_appsink():
    said = play("gst://videotestsrc is-live=true ! video/x-raw,width=320,height=240,framerate=25/1 ! videoconvert")
    assert said == [[i, 240, 320, 3] for i in range(10)]


def test_a_pipeline_of_ones_own():
    said = play("gst://videotestsrc ! video/x-raw,width=96,height=80 ! videoconvert ! video/x-raw,format=BGR ! appsink")
    assert said == [[i, 80, 96, 3] for i in range(10)]


def test_a_pipeline_that_ends_is_started_again():
    said = play("gst://videotestsrc num-buffers=20 is-live=true ! video/x-raw,width=96,height=80,framerate=25/1", 40)
    events = [one for one in said if isinstance(one, str)]
    assert events[:2] == ["disconnected", "connected"]


def test_what_is_no_pipeline():
    assert "does not start or gives no frames" in play("gst://v4l2src device=/dev/nowhere")
