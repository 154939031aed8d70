from __future__ import annotations

from itertools import islice

import cv2
import pytest

from edge_cns.errors import BadInputError, UnsupportedError
from edge_cns.runtime.sources import gst
from edge_cns.runtime.sources.table import open_source
from tests.runtime.sources.fake_capture import FakeCapture


@pytest.mark.skipif(cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER), reason="this OpenCV has GStreamer")
def test_without_gstreamer_it_says_what_to_do():
    with pytest.raises(UnsupportedError, match=r"has no GStreamer.*use v4l2:// or rtsp://, or install") as caught:
        open_source("gst://videotestsrc", live=True)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("uri", ["gst://", "gst://  ", "gst://a\0b"])
def test_no_pipeline(uri):
    with pytest.raises(BadInputError, match="names no pipeline"):
        open_source(uri)


def test_a_pipeline_ends_in_an_appsink():
    assert gst.complete("videotestsrc ! videoconvert").startswith("videotestsrc ! videoconvert ! ")
    assert gst.complete("videotestsrc !").count("! !") == 0
    assert "appsink drop=true max-buffers=1" in gst.complete("videotestsrc")
    for own in ("videotestsrc ! appsink", "videotestsrc ! appsink drop=false", "a!appsink name=x"):
        assert gst.complete(own) == own
    assert gst.complete("filesrc location=my-appsink.mp4 ! decodebin").endswith("sync=false")


def test_an_opencv_without_timeouts_is_asked_again(monkeypatch):
    asked = []

    def open_capture(pipeline, backend, properties=None):
        asked.append((backend, bool(properties)))
        return FakeCapture(opened=properties is None)

    monkeypatch.setattr(gst, "open_capture", open_capture)
    monkeypatch.setattr(cv2.videoio_registry, "hasBackend", lambda _: True)
    source = open_source("gst://videotestsrc")
    assert len(list(islice(source, 3))) == 3
    source.close()
    assert asked == [(cv2.CAP_GSTREAMER, True), (cv2.CAP_GSTREAMER, False)]


def test_a_pipeline_that_gives_nothing(monkeypatch):
    monkeypatch.setattr(gst, "open_capture", lambda *_: FakeCapture(opened=False))
    monkeypatch.setattr(cv2.videoio_registry, "hasBackend", lambda _: True)
    with pytest.raises(BadInputError, match="does not start or gives no frames"):
        open_source("gst://rtspsrc user-pw=secret ! fakesink")
