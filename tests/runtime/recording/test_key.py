from __future__ import annotations

import os

import pytest

from edge_cns.errors import BadInputError
from edge_cns.runtime.recording.key import key_to_record, read_key
from tests.runtime.recording.made import KEY


def write(path, content, mode=0o600):
    path.write_bytes(content)
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    "content", [KEY, KEY.hex().encode(), KEY.hex().upper().encode() + b"\n", b"  " + KEY.hex().encode() + b"\r\n"]
)
def test_a_key_is_32_bytes_or_64_characters(tmp_path, content):
    assert read_key(write(tmp_path / "key", content)) == KEY


@pytest.mark.parametrize("content", [b"", b"secret-word", KEY[:31], KEY + b"\n", KEY.hex().encode()[:-1], b"0" * 5000])
def test_anything_else_is_one_line_without_the_content(tmp_path, content):
    with pytest.raises(BadInputError, match=f"is {len(content)} bytes, not 32 bytes or 64 hex") as caught:
        read_key(write(tmp_path / "key", content))
    assert "secret-word" not in str(caught.value)
    assert "openssl rand" in str(caught.value)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660])
def test_a_key_that_others_may_read_is_refused(tmp_path, mode):
    with pytest.raises(BadInputError, match="chmod 600"):
        read_key(write(tmp_path / "key", KEY, mode))


def test_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe", 0o600)
    for name, why in (("none", "No such file"), ("pipe", "not a regular file"), (".", "not a regular file")):
        with pytest.raises(BadInputError, match=why):
            read_key(tmp_path / name)


def test_plaintext_has_to_be_asked_for(tmp_path):
    key = write(tmp_path / "key", KEY)
    assert key_to_record(key, allow_plaintext=False) == KEY
    assert key_to_record(None, allow_plaintext=True) is None
    with pytest.raises(BadInputError, match="shows patients: give --record-key FILE, or --allow-plaintext"):
        key_to_record(None, allow_plaintext=False)
    with pytest.raises(BadInputError, match="exclude each other"):
        key_to_record(key, allow_plaintext=True)
