from __future__ import annotations

import base64
import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_cns.errors import TamperedError, UnsupportedError
from edge_cns.signing.signed_file import SignedFile, digests_of, statement

DIGESTS = {"b": "b" * 64, "a": "a" * 64}
FILE = SignedFile(statement("brain.cns", DIGESTS), b"\x30\x00", key="c" * 64)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(["sha256", "files", "a" * 64]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)


def changed(value, path, new):
    """A copy of nested JSON with one member changed, or deleted for ``...``."""
    value = json.loads(json.dumps(value))
    inner = value
    for key in path[:-1]:
        inner = inner[key]
    if new is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = new
    return value


def paths(value, before=()):
    """The place of every member of nested JSON."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, member in inner:
        yield (*before, key)
        yield from paths(member, (*before, key))


@pytest.mark.parametrize("certificates", [(), (b"one", b"two")])
def test_reads_what_it_writes(certificates):
    key = "" if certificates else "c" * 64
    file = SignedFile(FILE.payload, b"signature", key, certificates)
    assert SignedFile.parse(file.to_bytes()) == file
    assert digests_of(FILE.payload) == DIGESTS


def test_what_is_signed_is_dsse():
    """The example of DSSE's protocol.md, in this payload's type."""
    assert SignedFile.to_sign(b"hello world") == b"DSSEv1 28 application/vnd.in-toto+json 11 hello world"


@pytest.mark.parametrize(
    ("path", "new"),
    [
        (["_type"], "x"),
        (["predicateType"], "https://model_signing/Digests/v0.1"),
        (["subject", 0, "digest", "sha256"], "d" * 64),
        (["subject"], []),
        (["predicate", "resources", 0, "digest"], "a" * 63 + "f"),
        (["predicate", "resources", 0, "digest"], "short"),
        (["predicate", "resources", 0, "algorithm"], "blake2"),
        (["predicate", "resources", 1, "name"], "a"),
        (["predicate", "resources"], ...),
    ],
)
def test_statements_that_are_refused(path, new):
    with pytest.raises(TamperedError, match="no signature of a bundle"):
        digests_of(json.dumps(changed(json.loads(FILE.payload), path, new)).encode())


@pytest.mark.parametrize(("name", "value"), [("method", "shards"), ("hash_type", "blake3")])
def test_other_ways_to_hash(name, value):
    with pytest.raises(UnsupportedError, match=value):
        digests_of(json.dumps(changed(json.loads(FILE.payload), ["predicate", "serialization", name], value)).encode())


@given(st.binary(max_size=300))
def test_any_bytes(content):
    for read in (SignedFile.parse, digests_of):
        with pytest.raises(TamperedError) as caught:
            read(content)
        assert "\n" not in str(caught.value)


@given(st.data())
def test_any_member_changed(data):
    """Whatever JSON is put into a file or a statement is read, or refused by type."""
    for content, read in ((FILE.to_bytes(), SignedFile.parse), (FILE.payload, digests_of)):
        value = json.loads(content)
        path = data.draw(st.sampled_from(list(paths(value))))
        new = data.draw(JSON | st.just(...))
        with suppress(TamperedError, UnsupportedError):
            read(json.dumps(changed(value, path, new)).encode())


@given(st.data())
def test_any_byte_changed(data):
    content = bytearray(FILE.to_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        read = SignedFile.parse(bytes(content))
    except TamperedError:
        return
    assert isinstance(read.payload, bytes)


def test_nothing_unbounded():
    deep = b'{"a":' * 5000 + b"1" + b"}" * 5000
    with pytest.raises(TamperedError):
        SignedFile.parse(deep)
    value = json.loads(FILE.to_bytes())
    many = [{"rawBytes": base64.b64encode(b"x").decode()}] * 11
    value["verificationMaterial"] = {"x509CertificateChain": {"certificates": many}}
    with pytest.raises(TamperedError, match="1 to 10"):
        SignedFile.parse(json.dumps(value).encode())
