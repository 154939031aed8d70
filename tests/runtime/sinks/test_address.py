from __future__ import annotations

import os
import socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_cns.errors import BadInputError
from edge_cns.runtime.sinks.address import Token, WebUri, bind

SECRET = "0123456789abcdef0123"


@pytest.fixture
def token_file(tmp_path):
    path = tmp_path / "token"
    path.write_text(SECRET + "\n")
    path.chmod(0o600)
    return path


def parsed(uri: str) -> WebUri:
    return WebUri.parse(uri, port=9090, options=("every",))


def refused(function, *arguments) -> str:
    with pytest.raises(BadInputError) as caught:
        function(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("uri", "host", "port", "loopback"),
    [
        ("metrics://", "127.0.0.1", 9090, True),
        ("metrics://:8000", "127.0.0.1", 8000, True),
        ("metrics://localhost:8000/", "127.0.0.1", 8000, True),
        ("metrics://127.0.0.2", "127.0.0.2", 9090, True),
        ("metrics://[::1]:80", "::1", 80, True),
        ("metrics://0.0.0.0", "0.0.0.0", 9090, False),
        ("metrics://[::]:1", "::", 1, False),
        ("metrics://192.0.2.1:0", "192.0.2.1", 0, False),
        ("metrics://localhost.example:1", "localhost.example", 1, False),
        ("metrics://127.0.0.1.example:1", "127.0.0.1.example", 1, False),
    ],
)
def test_where_it_listens(uri, host, port, loopback):
    address = parsed(uri)
    assert (address.host, address.port, address.loopback) == (host, port, loopback)


def test_options_are_read():
    assert parsed("metrics://:1?every=2&token_file=%2Fa%20b").options == {"every": "2", "token_file": "/a b"}


@pytest.mark.parametrize(
    ("uri", "text"),
    [
        ("metrics://host:port", "no host and port"),
        ("metrics://host:65536", "no host and port"),
        ("metrics://[::1", "no host and port"),
        ("metrics://:1?token_file", "no host and port"),
        ("metrics://user:hunter2@:1", "no user or password"),
        ("metrics://hunter2@:1", "no user or password"),
        ("metrics://:1/hunter2", "followed by a path"),
        ("metrics://:1#hunter2", "followed by a path"),
        ("metrics://:1?token=hunter2", "an option is unknown or given twice; there are every, token_file"),
        ("metrics://:1?every=1&every=hunter2", "given twice"),
    ],
)
def test_what_is_no_address(uri, text):
    said = refused(parsed, uri)
    assert text in said
    assert "hunter2" not in said, "what may be a secret is not repeated"


@settings(deadline=None)
@given(st.text(max_size=40))
def test_any_text_is_an_address_or_one_line(text):
    try:
        address = parsed(f"metrics://{text}")
    except BadInputError as error:
        said = str(error)
    else:
        said = address.text
        assert 0 <= address.port <= 65535
    assert said
    assert "\n" not in said


def test_a_port_is_claimed_at_once():
    with bind(parsed("metrics://127.0.0.1:0")) as first:
        port = first.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port), timeout=5):
            said = refused(bind, parsed(f"metrics://:{port}"))
    assert (
        said == f"metrics://127.0.0.1:{port} cannot be listened on (address already in use); give another host or port"
    )


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid", "a" * 70 + ".invalid", "a..b"])
def test_a_host_that_is_not_ours(host):
    assert "cannot be listened on" in refused(bind, parsed(f"metrics://{host}:0"))


def test_loopback_needs_no_token_and_others_do(token_file):
    assert Token.from_uri(parsed("metrics://127.0.0.1")) is None
    assert "needs ?token_file=FILE" in refused(Token.from_uri, parsed("metrics://0.0.0.0"))
    for host in ("0.0.0.0", "127.0.0.1"):
        token = Token.from_uri(parsed(f"metrics://{host}?token_file={token_file}"))
        assert token.in_header(f"Bearer {SECRET}")


@pytest.mark.parametrize(
    "header",
    [
        "",
        SECRET,
        f"Basic {SECRET}",
        "Bearer",
        "Bearer ",
        f"Bearer {SECRET}x",
        f"Bearer {SECRET[:-1]}",
        "Bearer é\udc80",
    ],
)
def test_what_is_not_the_token(header):
    token = Token(SECRET)
    assert not token.in_header(header)
    assert token.in_header(f"bearer {SECRET}")
    assert SECRET not in repr(token)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620])
def test_a_token_that_others_can_read_is_refused(token_file, mode):
    token_file.chmod(mode)
    said = refused(Token.from_uri, parsed(f"metrics://?token_file={token_file}"))
    assert "others can read or own token_file 'token'" in said
    assert str(token_file.parent) not in said


@pytest.mark.parametrize(
    "content", [b"", b"short", b"two words of a secret", b"line\nanother line of it", b"x" * 1025, b"\xff" * 20]
)
def test_a_token_that_is_none(token_file, content):
    token_file.write_bytes(content)
    said = refused(Token.from_uri, parsed(f"metrics://?token_file={token_file}"))
    assert "must hold one line" in said
    assert "secret" not in said


def test_a_token_file_that_cannot_be_read(tmp_path):
    os.mkfifo(tmp_path / "pipe", 0o600)
    for name, text in (
        ("none", "no such file"),
        ("pipe", "not a regular file"),
        ("", "regular file"),
        ("%00", "not a file name"),
    ):
        assert text in refused(Token.from_uri, parsed(f"metrics://?token_file={tmp_path}/{name}"))
