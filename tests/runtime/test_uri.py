from __future__ import annotations

from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_cns.errors import BadInputError
from edge_cns.runtime.uri import local_path, one_line, public_uri, scheme_of, split_uri

KNOWN = {"loop": "0", "rate": ""}
WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@given(WORDS, WORDS, WORDS)
def test_what_was_quoted_comes_back(path, loop, rate):
    uri = f"file:///{quote(path)}?loop={quote(loop, safe='')}&rate={quote(rate, safe='')}"
    rest, options = split_uri(uri, KNOWN)
    assert dict(options.values) == {"loop": loop, "rate": rate}
    if path:
        assert str(local_path(uri, rest)) == str(Path(f"/{path}"))


@given(st.text(max_size=40))
def test_any_text_is_taken_or_refused_in_one_line(text):
    for uri in (text, f"file://{text}", f"file:///a?{text}", f"rtsp://{text}", f"synthetic://{text}"):
        assert "\n" not in public_uri(uri)
        if not scheme_of(uri):
            continue
        message = ""
        try:
            rest, options = split_uri(uri, KNOWN)
            options.flag("loop")
            local_path(uri, rest)
        except BadInputError as error:
            message = str(error)
        assert message.isprintable()


@given(
    st.sampled_from(["rtsp", "rtsps", "http", "bridge"]),
    st.text(st.sampled_from("ab/:@?#%[]& "), max_size=8),
    st.text(st.sampled_from("ab/:@?#%[]& "), max_size=8),
)
def test_a_password_is_never_shown(scheme, before, after):
    uri = f"{scheme}://user:{before}SECRET{after}@host/path"
    assert "SECRET" not in public_uri(uri)
    assert "SECRET" not in public_uri(f"{scheme}://user:{quote_plus(before)}SECRET@host/live?token={after}SECRET")


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("rtsp://me:secret@camera:8554/live/1?token=5", "rtsp://camera:8554/live/1"),
        ("rtsp://camera/live", "rtsp://camera/live"),
        ("file:///home/me/a%20clip.mp4?loop=1", "file:///*.mp4"),
        ("/home/me/clip.mp4", "file:///*.mp4"),
        ("/home/me/Jane Doe 1980", "file:///*"),
        ("scan.Jane_Doe", "file:///*"),
        ("dicom:///archive/clip.dcm", "dicom:///*.dcm"),
        ("v4l2:///dev/video0?fps=60", "v4l2:///dev/video0?fps=60"),
        ("synthetic://phantom?class=normal", "synthetic://phantom?class=normal"),
        ("gst://rtspsrc user-pw=secret ! decodebin", "gst://"),
    ],
)
def test_what_others_may_read(uri, shown):
    assert public_uri(uri) == shown


def test_schemes():
    assert [scheme_of(uri) for uri in ("RTSP://x", "a/b://c", "clip.mp4", "1://x", "")] == ["rtsp", "", "", "", ""]


def test_hostile_text_is_cut_and_escaped():
    assert one_line("a\nb\x1b[2J\udcff") == "a\\nb\\x1b[2J\\udcff"
    assert len(one_line("x" * 10_000)) < 250
