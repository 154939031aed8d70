"""URIs, and who may connect."""

from __future__ import annotations

import sys

import pytest

from edge_cns.errors import BadInputError, UnsupportedError
from firmware_bridge.igtl.address import parse_address


@pytest.mark.parametrize(
    ("uri", "host", "port", "text"),
    [
        ("igtl://", "127.0.0.1", 18944, "igtl://127.0.0.1:18944"),
        ("igtl://:9", "127.0.0.1", 9, "igtl://127.0.0.1:9"),
        ("igtl://localhost", "127.0.0.1", 18944, "igtl://127.0.0.1:18944"),
        ("igtl://127.0.0.5:0/", "127.0.0.5", 0, "igtl://127.0.0.5:0"),
        ("igtl://[::1]:7", "::1", 7, "igtl://[::1]:7"),
        ("igtl-client://scanner.example:7", "scanner.example", 7, "igtl-client://scanner.example:7"),
    ],
)
def test_host_and_port(uri, host, port, text):
    address = parse_address(uri)
    assert (address.host, address.port, address.text, address.bits) == (host, port, text, None)


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("igtl://0.0.0.0", "can be reached from other machines"),
        ("igtl://[::]:9", "can be reached from other machines"),
        ("igtl://scanner.example", "can be reached from other machines"),
        ("igtl://0.0.0.0?allow=", "can be reached from other machines"),
        ("igtl://127.0.0.1:99999", "no host and port that can be read"),
        ("igtl://127.0.0.1:x", "no host and port that can be read"),
        ("igtl://[::1", "no host and port that can be read"),
        ("igtl://me:secret@127.0.0.1", "host and port only"),
        ("igtl://127.0.0.1/path", "host and port only"),
        ("igtl://127.0.0.1?allow=nobody", "allow 'nobody' is no list of addresses"),
        ("igtl://127.0.0.1?bits=7", "bits is 7; give 8 to 16"),
        ("igtl://127.0.0.1?token=x", "there is no option 'token'"),
        ("igtl-client://127.0.0.1:0", "there is no port 0"),
        ("igtl-client://127.0.0.1?allow=1.2.3.4", "there is no option 'allow'"),
    ],
)
def test_what_is_refused(uri, says):
    with pytest.raises(BadInputError) as caught:
        parse_address(uri)
    assert says in str(caught.value)
    assert "secret" not in str(caught.value)


def test_who_may_connect():
    address = parse_address("igtl://0.0.0.0?allow=192.168.1.20,10.0.0.0/24&bits=12")
    assert address.bits == 12
    for host, allowed in (
        ("192.168.1.20", True),
        ("192.168.1.21", False),
        ("10.0.0.9", True),
        ("::ffff:10.0.0.9", True),
        ("::1", False),
        ("fe80::1%eth0", False),
    ):
        assert address.allows(host) is allowed
    assert parse_address("igtl://").allows("127.0.0.1")


def test_elsewhere_than_on_linux(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(UnsupportedError, match="Linux only"):
        parse_address("igtl://")
