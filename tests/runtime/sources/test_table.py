from __future__ import annotations

import importlib

import pytest

from edge_cns.errors import BadInputError
from edge_cns.runtime.sources.table import SOURCES, open_source


def test_every_row_of_the_table_is_there():
    for module, function in SOURCES.values():
        assert callable(getattr(importlib.import_module(module), function))
    assert {"file", "synthetic", "dicom", "v4l2", "rtsp", "rtsps", "gst"} <= set(SOURCES)


def test_an_unknown_scheme_lists_those_there_are_and_no_password():
    with pytest.raises(BadInputError, match="no source ftp://; use one of file://, synthetic://") as caught:
        open_source("ftp://me:secret@host/clip.mp4")
    assert "secret" not in str(caught.value)
